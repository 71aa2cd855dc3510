"""Roll-over, update and deactivation at Pebble, which shares nothing with us."""

from pathlib import Path

import pytest

from tests.integration.offices import has_key_other_than, office
from tests.parts.pebble import PebbleOptions, pebble, pebble_missing
from tests.parts.process import free_port
from tests.parts.token import tool_missing

MISSING = pebble_missing() or tool_missing()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]


def test_pebble_changes_the_key_of_an_account(tmp_path: Path) -> None:
    """An order succeeds after it; then contacts are changed, and the account closed."""
    home = tmp_path / "office"
    options = PebbleOptions(http_port=free_port(), nonce_reject=5)
    with office(home) as place, pebble(tmp_path, options) as server:
        scene = place.place
        (scene.home / "transport.pem").write_bytes(server.ca_pem.read_bytes())
        (scene.home / "issuing.pem").write_text(server.issuing_roots())

        def configure(settings: str) -> None:
            place.configure(settings=f"terms_agreed = true\n{settings}")
            text = scene.config.read_text()
            text = text.replace(scene.ca.directory_url, server.directory_url)
            door = f"127.0.0.1:{options.http_port}"
            text = text.replace(f"{scene.address}:8080", door)
            scene.config.write_text(text)

        configure("")
        with scene.daemon() as daemon:
            daemon.settle_deployed("web")
            first = daemon.status().account()["key"]
            daemon.ask("account-roll", "test")
            daemon.settle(lambda status: has_key_other_than(status, first))
            daemon.ask("renew", "web")
            daemon.settle_deployed("web", 2)
            contact = "mailto:pki@operator.example"
            configure(f'contact = ["{contact}"]')
            daemon.ask("reload")
            daemon.settle(lambda status: status.account()["contact"] == [contact])
            daemon.ask("account-deactivate", "test", confirm="test")
            daemon.settle(lambda status: not status.account()["valid"])
            assert place.record.closed == "deactivated"
