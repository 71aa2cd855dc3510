"""Pebble, which is not ours, accepts what revokes a certificate."""

import json
from pathlib import Path

import pytest

from tests.integration.scene import Daemon, certificate_table, scene
from tests.parts.pebble import Pebble, PebbleOptions, pebble, pebble_missing
from tests.parts.process import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(pebble_missing()), reason=pebble_missing()),
]


def revoke(daemon: Daemon, server: Pebble, by: str, reason: str) -> str:
    """Have the newest certificate revoked, and return what Pebble says of it."""
    serial = daemon.status().certificate("web")["serial"]
    daemon.ask("revoke", "web", confirm="web", reason=reason, by=by)
    daemon.wait(lambda s: s.certificate("web")["serial"] != serial)
    shown = json.loads(
        server.get(f"{server.management}/cert-status-by-serial/{serial}")
    )
    return f"{shown['Status']} {shown.get('Reason', 0)}"


def test_pebble_revokes_by_account_and_by_key(tmp_path: Path) -> None:
    """Each time a new certificate is ordered, with a new key."""
    home = tmp_path / "scene"
    home.mkdir()
    options = PebbleOptions(http_port=free_port(), nonce_reject=5)
    with scene(home) as place, pebble(tmp_path, options) as server:
        (home / "transport.pem").write_bytes(server.ca_pem.read_bytes())
        (home / "issuing.pem").write_text(server.issuing_roots())
        place.configure(certificate_table("web", more='grace = "0s"'))
        text = place.config.read_text()
        for old, new in {
            place.ca.directory_url: server.directory_url,
            f"{place.address}:8080": f"127.0.0.1:{options.http_port}",
            "[account.test]\n": "[account.test]\nterms_agreed = true\n",
        }.items():
            text = text.replace(old, new)
        place.config.write_text(text)
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            assert revoke(daemon, server, "account", "superseded") == "Revoked 4"
            daemon.settle_deployed("web", 2)
            assert revoke(daemon, server, "key", "keyCompromise") == "Revoked 1"
            daemon.settle_deployed("web", 3)
