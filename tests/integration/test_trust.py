"""Lists of trusted roots followed by a real daemon, and peers verified by a real nginx.

Peers have certificates of an old and of a new root; nginx verifies them by what the
daemon publishes. The list comes from a server that shares no code with the daemon.
"""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import serialization

from agent.control.verbs import ControlError
from tests.integration.scene import Daemon, Scene, Status, certificate_table, scene
from tests.parts.lists import ListServer, list_server
from tests.parts.nginx import Nginx, Site, nginx, nginx_missing
from tests.parts.peers import Peer, peer, talking
from tests.parts.process import free_port
from tests.vectors.trust import (
    Ca,
    entry,
    issued,
    key,
    payload,
    root,
    signed,
    succession,
)

pytestmark = pytest.mark.integration

BEGINS: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
SPEED: Final = 20
EST: Final = """
[trust.ours]
est = "{url}"
roots = "{anchors}"
interval = "1d"
delay = "2h"
overlap = "2d"
"""
SIGNED: Final = """
[trust.ours]
signed = "{url}"
list = "operator-roots"
roots = "{anchors}"
signer = "{signer}"
interval = "1d"
overlap = "2d"
"""
ENDPOINT: Final = """trust = ["ours"]
[[certificate.web.endpoint]]
verify_peers = true
reload = {{ pidfile = "{home}/nginx/nginx.pid" }}
verify = {{ connect = "127.0.0.1:{port}", within = "20s" }}
"""


def ca(number: int) -> Ca:
    """Return the n-th root of this test, in force by the real clock."""
    return root(number, begins=BEGINS)


def client(issuer: int) -> Ca:
    """Return a peer's certificate of the n-th root."""
    return issued(ca(issuer), "peer.example", BEGINS, 90 * DAY, 900 + issuer)


def shown(status: Status) -> dict[str, Any]:
    """Return the list as `status` shows it; empty before it is there."""
    found: list[dict[str, Any]] = status.view["trust"]
    return next(iter(found), {})


def at_version(status: Status, version: int) -> bool:
    """Tell whether a version of the list is published."""
    return bool(shown(status)) and shown(status)["published"] == version


def trusted(place: Scene) -> set[str]:
    """Return the fingerprints in the bundle that consumers read."""
    text = (place.state / "live/trust-ours/trust.pem").read_text()
    blocks = text.split("-----END CERTIFICATE-----\n")[:-1]
    return {
        hashlib.sha256(
            ssl.PEM_cert_to_DER_cert(f"{block}-----END CERTIFICATE-----\n")
        ).hexdigest()
        for block in blocks
    }


def of(*numbers: int) -> set[str]:
    """Return the fingerprints of roots."""
    return {ca(number).fingerprint for number in numbers}


# -- the story of EST and nginx


@dataclass(frozen=True, slots=True)
class Stage:
    """A daemon that follows a list, and an nginx that verifies peers by it."""

    place: Scene
    daemon: Daemon
    lists: ListServer
    port: int
    server: Nginx

    @contextmanager
    def reloaded(self, version: int) -> Iterator[None]:
        """Wait, after what is done inside, until nginx verifies by a version.

        The daemon proves which certificate is served, and that is the same one before
        and after; that the old worker is gone shows that the roots are the new ones.
        """
        before = self._reloads()
        yield
        self.deployed(version)
        self.wait_for_reloads(before + 1)

    def wait_for_reloads(self, number: int) -> None:
        """Wait until so many old workers have ended, and the newest is alone."""
        self.daemon.wait(
            lambda _: self._reloads() >= number and len(self.server.workers()) == 1
        )

    def _reloads(self) -> int:
        log = self.server.pidfile.with_name("error.log").read_text()
        return log.count("exited with code 0")

    def deployed(self, version: int) -> Status:
        """Wait until a version of the list is deployed with the certificate."""

        def check(status: Status) -> bool:
            web = status.certificate("web")
            return (
                at_version(status, version)
                and web["trust"] == {"ours": version}
                and status.deployed("web")
            )

        return self.daemon.wait(check)


@contextmanager
def verifying(home: Path, lists: ListServer) -> Iterator[Stage]:
    """Run all of it; the first root is in force when this yields."""
    port = free_port()
    lists.cacerts = (ca(1).certificate,)
    with scene(home, speed=SPEED) as place:
        place.configure(
            EST.format(url=lists.est, anchors=lists.anchors),
            certificate_table("web", more=ENDPOINT.format(home=home, port=port)),
        )
        with place.daemon() as daemon:
            snippet = place.state / "live/web/nginx.conf"
            daemon.settle(lambda _: snippet.exists())
            with nginx(home, Site(snippet=snippet, ports=(port,))) as server:
                stage = Stage(place, daemon, lists, port, server)
                stage.deployed(1)
                stage.wait_for_reloads(1)
                yield stage


@pytest.mark.skipif(nginx_missing() != "", reason=nginx_missing())
def test_a_root_rolls_over_and_no_peer_is_refused(tmp_path: Path) -> None:
    """Old and new peers talk to nginx through every reload of a roll-over."""
    with list_server(tmp_path / "lists") as lists, verifying(tmp_path, lists) as stage:
        old, new = (peer(tmp_path, client(n), stage.port) for n in (1, 2))
        assert old.is_accepted()
        assert not new.is_accepted()
        with talking(old):
            with stage.reloaded(2):
                lists.cacerts = (ca(1).certificate, ca(2).certificate)
                stage.daemon.ask("trust-fetch", "ours")
            with talking(new):
                stage.lists.cacerts = (ca(2).certificate,)
                _remove(stage)
                assert trusted(stage.place) == of(1, 2)
                assert stage.daemon.status().deployed("web")
                _enough(old, new)
        assert old.refused == []
        assert new.refused == []
        with talking(new):
            with stage.reloaded(3):
                stage.place.clock.push(2 * DAY + HOUR)
            _enough(new)
        assert new.refused == []
        assert not old.is_accepted()
        assert trusted(stage.place) == of(2)
        # A changed trust is a new publication, never a new order.
        assert stage.place.ca.answered_orders == 1
        assert stage.daemon.status().certificate("web")["publication"] == 3
        assert ("/.well-known/est/cacerts", "application/pkcs7-mime") in lists.asked


def _remove(stage: Stage) -> None:
    """Let two fetches, a delay apart, lack the old root."""
    fetched = len(stage.lists.asked)
    stage.daemon.ask("trust-fetch", "ours")
    stage.daemon.wait(lambda s: shown(s)["pending"] == 1)
    stage.place.clock.push(3 * HOUR)
    stage.daemon.ask("trust-fetch", "ours")
    stage.daemon.wait(lambda _: len(stage.lists.asked) >= fetched + 2)
    stage.daemon.wait(lambda _: _states(stage.daemon) == ["leaving", "trusted"])


def _states(daemon: Daemon) -> list[str]:
    [found] = daemon.ask("trust")["lists"]
    return [one["state"] for one in found["roots"]]


def _enough(*peers: Peer) -> None:
    """Wait until peers were served so often that a gap would have shown."""
    wanted = {id(one): one.served + 10 for one in peers}
    done = threading.Event()
    for _ in range(3000):
        if all(one.served >= wanted[id(one)] or one.refused for one in peers):
            return
        done.wait(0.02)
    raise AssertionError(f"served too seldom: {peers}")


@pytest.mark.skipif(nginx_missing() != "", reason=nginx_missing())
def test_an_endpoint_that_verifies_peers_waits_for_the_first_list(
    tmp_path: Path,
) -> None:
    """It is not told to serve anybody who comes, and not to serve nobody."""
    with list_server(tmp_path / "lists") as lists, scene(tmp_path) as place:
        lists.status = 503
        place.configure(
            EST.format(url=lists.est, anchors=lists.anchors),
            certificate_table("web", more=ENDPOINT.format(home=tmp_path, port=1)),
        )
        with place.daemon() as daemon:
            gate = "waits for the trusted roots of ours"
            daemon.settle(lambda s: s.job("web", "deploy").get("next") == gate)
            assert not (place.state / "live/web").exists()
            lists.status, lists.cacerts = 200, (ca(1).certificate,)
            daemon.ask("trust-fetch", "ours")
            daemon.settle(lambda _: (place.state / "live/web/trust.pem").exists())


# -- the story of signed lists


@contextmanager
def following(home: Path, lists: ListServer) -> Iterator[Scene]:
    """Configure a signed list whose first signer is pinned."""
    signer = home / "signer.pem"
    public = key(500).public_key()
    signer.write_bytes(
        public.public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
    with scene(home, speed=SPEED) as place:
        table = SIGNED.format(url=lists.list, anchors=lists.anchors, signer=signer)
        place.configure(table, certificate_table("web"))
        yield place


def said(
    place: Scene, *numbers: int, sequence: int, distrust: tuple[int, ...] = ()
) -> bytes:
    """Return what a list says, in force by the daemon's clock."""
    now = place.clock.now()
    entries: list[dict[str, object]] = [entry(ca(number)) for number in numbers]
    entries += [{"sha256": ca(n).fingerprint, "distrust": True} for n in distrust]
    return payload(
        entries, sequence=sequence, issued_at=now, expires=now + timedelta(days=90)
    )


def refuses(daemon: Daemon, why: str) -> Status:
    """Ask for the list, and wait for the alarm that says why it is not taken."""
    daemon.ask("trust-fetch", "ours")
    return daemon.wait(lambda s: f"refused-{why}" in s.alarms("ours"))


def test_a_signed_list_is_followed_and_never_back(tmp_path: Path) -> None:
    """Succession, distrust, rollback, and all of it across a SIGKILL."""
    with list_server(tmp_path / "lists") as lists, following(tmp_path, lists) as place:
        lists.signed = signed(said(place, 1, 2, sequence=4), 500)
        chain = succession(500, 501)
        with place.daemon() as daemon:
            daemon.wait(lambda s: at_version(s, 1))
            assert trusted(place) == of(1, 2)
            third = said(place, 2, 3, sequence=5, distrust=(1,))
            lists.signed = signed(third, 501, chain)
            daemon.ask("trust-fetch", "ours")
            daemon.wait(lambda s: at_version(s, 2))
            assert trusted(place) == of(2, 3)
            daemon.kill()
        with place.daemon() as daemon:
            lists.signed = signed(said(place, 1, sequence=6), 500)
            refuses(daemon, "signature")
            lists.signed = signed(said(place, 1, sequence=4), 501, chain)
            status = refuses(daemon, "rollback")
            assert shown(status)["sequence"] == 5
            with pytest.raises(ControlError, match="refused nothing"):
                daemon.ask("trust-accept", "ours")
            assert trusted(place) == of(2, 3)
            manifest = place.state / "live/trust-ours/manifest.json"
            assert json.loads(manifest.read_text())["version"] == 2


def test_a_number_far_ahead_is_the_operators(tmp_path: Path) -> None:
    """Whoever has the key for a day cannot use the numbers up."""
    with list_server(tmp_path / "lists") as lists, following(tmp_path, lists) as place:
        lists.signed = signed(said(place, 1, sequence=4), 500)
        with place.daemon() as daemon:
            daemon.wait(lambda s: at_version(s, 1))
            lists.signed = signed(said(place, 1, sequence=5000), 500)
            refuses(daemon, "step")
            daemon.ask("trust-accept", "ours")
            status = daemon.wait(lambda s: shown(s)["sequence"] == 5000)
            assert not status.alarms("ours")
            metric = 'nfcertd_trust_sequence{source="signed",trust="ours"}'
            assert place.metrics()[metric] == 5000


def test_a_list_that_would_leave_nothing_is_the_operators(tmp_path: Path) -> None:
    """It is refused with what to do; accepted, its roots go after the overlap."""
    with list_server(tmp_path / "lists") as lists, following(tmp_path, lists) as place:
        lists.signed = signed(said(place, 1, sequence=1), 500)
        with place.daemon() as daemon:
            daemon.wait(lambda s: at_version(s, 1))
            lists.signed = signed(said(place, sequence=2), 500)
            status = refuses(daemon, "empty")
            alarm = status.alarms("ours")["refused-empty"]
            assert "nfcertd trust accept ours" in alarm["action"]
            assert trusted(place) == of(1)
            daemon.ask("trust-accept", "ours")
            daemon.wait(lambda s: shown(s)["sequence"] == 2)
            assert trusted(place) == of(1)
            place.clock.push(2 * DAY + HOUR)
            daemon.wait(lambda s: at_version(s, 2))
            assert trusted(place) == set()
            assert "empty" in daemon.status().alarms("ours")


def test_a_ca_is_reached_by_the_roots_of_a_list(tmp_path: Path) -> None:
    """Its orders wait, with that reason, until the list has a version."""
    with list_server(tmp_path / "lists") as lists, following(tmp_path, lists) as place:
        text = place.config.read_text()
        file = tmp_path / "transport.pem"
        text = text.replace(f'roots = "{file}"', 'roots = "trust:tls"', 1)
        later = tmp_path / "later.pem"
        place.config.write_text(f'{text}\n[trust.tls]\nfile = "{later}"\n')
        with place.daemon() as daemon:
            lists.signed = signed(said(place, 1, sequence=1), 500)
            status = daemon.settle(_account_failure)
            assert "the list tls" in _account_failure(status)
            later.write_bytes(file.read_bytes())
            daemon.ask("trust-fetch", "tls")
            daemon.settle_deployed("web")


def _account_failure(status: Status) -> str:
    [account] = status.view["accounts"]
    failure = account["failure"]
    return str(failure["message"]) if failure else ""
