"""Issued is not deployed: what endpoints do, and what follows from it.

The endpoints are real processes that load their certificate again on SIGHUP, in every
mood; what they serve is seen over the wire.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.integration.scene import (
    Daemon,
    Scene,
    Status,
    View,
    certificate_table,
    scene,
)
from tests.integration.served import (
    PORT,
    TlsServer,
    Watcher,
    table,
    tls_server,
    watching,
)

pytestmark = pytest.mark.integration

SPEED: Final = 20
ENDPOINT: Final = "[[certificate.web.endpoint]]\n"


@dataclass(frozen=True, slots=True)
class Stage:
    """A daemon with one certificate at one endpoint, deployed once."""

    place: Scene
    daemon: Daemon
    server: TlsServer
    watcher: Watcher

    def job(self, status: Status) -> View:
        """Return the deployment that is under way."""
        return status.job("web", "deploy")

    def failing(self, kind: str) -> Status:
        """Wait until the deployment has failed in a way, and return the status."""
        return self.daemon.wait(
            lambda s: (self.job(s).get("failure") or {"kind": ""})["kind"] == kind
        )

    def is_served(self, status: Status) -> bool:
        """Tell whether the newest certificate is what the endpoint serves."""
        fingerprint: str = status.certificate("web")["fingerprint"]
        return fingerprint == self.server.serves()


def begin(stack: ExitStack, home: Path, more: str = "") -> Stage:
    """Deploy a first certificate, and begin to watch the endpoint."""
    place = stack.enter_context(scene(home, speed=SPEED))
    live, ours = place.state / "live/web", home / "endpoint"
    server = stack.enter_context(tls_server(ours, live, place.address))
    endpoint = ENDPOINT + table(ours, place.address)
    place.configure(certificate_table("web", more=more + endpoint))
    daemon = stack.enter_context(place.daemon())
    daemon.settle(lambda s: s.deployed("web"))
    watcher = stack.enter_context(watching(server.address))
    return Stage(place, daemon, server, watcher)


def test_a_renewal_is_served_without_a_failed_handshake(tmp_path: Path) -> None:
    """The new certificate is proven over the wire, after exactly one signal."""
    with ExitStack() as stack:
        on = begin(stack, tmp_path)
        on.daemon.ask("renew", "web")
        status = on.daemon.settle(lambda s: s.deployed("web", 2))
        endpoint = status.certificate("web")["endpoints"][0]
        assert on.is_served(status)
        assert (endpoint["by"], endpoint["proven"], on.server.signals) == ("wire", 2, 2)
        assert endpoint["issued_to_served"] > 0
    assert on.watcher.looks
    assert not on.watcher.failures


def test_two_endpoints_have_a_phase_each(tmp_path: Path) -> None:
    """One serves the new certificate while the other, deaf to reloads, does not yet."""
    with scene(tmp_path, speed=SPEED) as place, ExitStack() as stack:
        servers, text = [], ""
        for number, name in enumerate(("left", "right"), start=1):
            host = f"127.0.{number}.{place.address.rpartition('.')[2]}"
            home, live = tmp_path / name, place.state / f"live/web@{name}"
            servers.append(stack.enter_context(tls_server(home, live, host)))
            text += ENDPOINT + table(home, host, name)
        place.configure(certificate_table("web", more=text))
        daemon = stack.enter_context(place.daemon())
        daemon.settle(lambda s: s.deployed("web"))
        left, right = servers
        right.feel("ignore")
        daemon.ask("renew", "web")
        status = daemon.wait(lambda s: s.job("web", "deploy right").get("failure"))
        shown = {e["name"]: e for e in status.certificate("web")["endpoints"]}
        assert (shown["left"]["deployed"], shown["right"]["deployed"]) == (True, False)
        assert shown["left"]["live"] == shown["right"]["live"] == 2
        web = status.certificate("web")
        assert (web["issued"], web["deployed"], web["state"]) == (
            *(True, False),
            "deploying",
        )
        assert left.serves() == web["fingerprint"] != right.serves()
        right.feel("")
        daemon.settle(lambda s: s.deployed("web", 2))
        assert right.serves() == web["fingerprint"]
        assert place.ca.answered_orders == 2


def test_an_endpoint_that_is_not_running_is_awaited_and_then_proven(
    tmp_path: Path,
) -> None:
    """No failure is counted while there is nobody to signal; then it is told."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        endpoint = ENDPOINT + table(home, place.address)
        place.configure(certificate_table("web", more=endpoint))
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.job("web", "deploy").get("failure"))
            for _ in range(4):
                place.clock.push(timedelta(minutes=3))
                status = daemon.wait(lambda s: s.job("web", "deploy")["at"])
            job = status.job("web", "deploy")
            assert job["failure"]["kind"] == "endpoint.down"
            assert job["failures"] == 0
            assert not status.alarms("web")
            with tls_server(home, live, place.address) as server:
                status = daemon.settle(lambda s: s.deployed("web"))
                assert server.serves() == status.certificate("web")["fingerprint"]
        assert place.ca.answered_orders == 1


def test_an_endpoint_that_hangs_over_its_reload_is_told_again(tmp_path: Path) -> None:
    """It was started while it was awaited, and takes connections in silence."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        endpoint = ENDPOINT + table(home, place.address)
        place.configure(certificate_table("web", more=endpoint))
        home.mkdir()
        (home / "mood").write_text("hang")
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.job("web", "deploy").get("failure"))
            with tls_server(home, live, place.address) as server:
                status = daemon.settle(lambda s: s.deployed("web"))
                assert server.signals == 2
                assert server.serves() == status.certificate("web")["fingerprint"]
        assert place.ca.answered_orders == 1


def test_an_endpoint_that_does_not_reload_is_told_again_and_is_an_alarm(
    tmp_path: Path,
) -> None:
    """It serves the old one: told again with back-off, an alarm, never a new order."""
    with ExitStack() as stack:
        on = begin(stack, tmp_path)
        on.server.feel("ignore")
        on.daemon.ask("renew", "web")
        on.failing("deploy.old")
        status = on.daemon.settle(lambda s: s.alarms("web"))
        assert "still served" in status.alarms("web")["deploy-failing"]["cause"]
        assert on.server.signals >= 4
        on.server.feel("")
        status = on.daemon.settle(lambda s: s.deployed("web", 2))
        assert on.is_served(status)
        assert not status.alarms("web")
        assert on.place.ca.answered_orders == 2
    assert not on.watcher.failures


def test_an_endpoint_that_keeps_what_it_began_with_is_told_again(
    tmp_path: Path,
) -> None:
    """Before anything of ours was served, somebody else's certificate is an old one."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        endpoint = ENDPOINT + table(home, place.address)
        place.configure(certificate_table("web", more=endpoint))
        with (
            tls_server(home, live, place.address) as server,
            place.daemon() as daemon,
        ):
            server.feel("ignore")
            daemon.settle(lambda _: server.signals > 1)
            job = daemon.wait(lambda s: s.job("web", "deploy")).job("web", "deploy")
            assert job["failure"]["kind"] == "deploy.old"
            server.feel("")
            status = daemon.settle_deployed("web")
            assert server.serves() == status.certificate("web")["fingerprint"]


def test_an_endpoint_that_breaks_is_reverted_and_deployed_again_later(
    tmp_path: Path,
) -> None:
    """It refuses the new certificate, gets the old one back, and the new one later."""
    with ExitStack() as stack:
        on = begin(stack, tmp_path)
        old = on.server.serves()
        on.server.feel("refuse 2")
        on.daemon.ask("renew", "web")
        status = on.failing("deploy.reverted")
        on.daemon.wait(lambda s: on.job(s)["at"])
        assert on.server.serves() == old
        assert (on.place.state / "live/web").resolve().name == "1"
        status = on.daemon.status()
        assert "reverted" in status.alarms("web")["deploy-failing"]["cause"]
        endpoint = status.certificate("web")["endpoints"][0]
        assert (endpoint["live"], endpoint["proven"]) == (1, 1)
        begun = len(on.place.ca.log)
        on.server.feel("")
        status = on.daemon.settle(lambda s: s.deployed("web", 2))
        assert on.is_served(status)
        assert len(on.place.ca.log) == begun
        assert not status.alarms("web")


def test_what_is_not_ours_never_reverts(tmp_path: Path) -> None:
    """Somebody else's certificate is an alarm; the link stays on the new one."""
    with ExitStack() as stack:
        on = begin(stack, tmp_path)
        on.server.feel("first")
        on.daemon.ask("renew", "web")
        on.failing("deploy.foreign")
        status = on.daemon.settle(lambda s: s.alarms("web"))
        assert "not ours" in status.alarms("web")["deploy-failing"]["cause"]
        assert (on.place.state / "live/web").resolve().name == "2"
        on.server.feel("")
        on.server.part.signal(1)  # type: ignore[arg-type]  # SIGHUP, as an operator does
        on.daemon.settle(lambda s: s.deployed("web", 2))
        assert on.place.ca.answered_orders == 2


def test_a_deaf_process_never_receives_a_signal(tmp_path: Path) -> None:
    """SIGHUP would end it: it lives, an alarm says why, a renewal changes nothing."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        endpoint = ENDPOINT + table(home, place.address)
        place.configure(certificate_table("web", more=endpoint))
        with (
            tls_server(home, live, place.address, "deaf") as server,
            place.daemon() as daemon,
        ):
            first = server.serves()
            status = daemon.settle(lambda s: s.alarms("web"))
            alarm = status.alarms("web")["deploy-failing"]
            assert alarm["severity"] == "major"
            assert "does not handle signal" in alarm["cause"]
            for _ in range(3):
                place.clock.push(timedelta(days=2))
                daemon.wait(lambda s: s.job("web", "deploy")["at"])
            daemon.ask("renew", "web")
            daemon.wait(lambda s: s.certificate("web")["publication"] == 2)
            daemon.wait(lambda s: s.job("web", "deploy").get("failure"))
            assert server.part.alive
            assert server.serves() == first


def test_a_recycled_pid_never_receives_a_signal(tmp_path: Path) -> None:
    """The pidfile names a process of another control group: it is awaited, not told."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        pidfile = f'pidfile = "{home}/endpoint.pid"'
        text = ENDPOINT + table(home, place.address)
        elsewhere = text.replace(pidfile, f'{pidfile}, cgroup = "/nowhere.slice"')
        place.configure(certificate_table("web", more=elsewhere))
        with (
            tls_server(home, live, place.address) as server,
            place.daemon() as daemon,
        ):
            status = daemon.wait(lambda s: s.job("web", "deploy").get("failure"))
            assert "stale" in status.job("web", "deploy")["failure"]["message"]
            place.clock.push(timedelta(hours=1))
            daemon.wait(lambda s: s.job("web", "deploy")["at"])
            assert server.signals == 0


def test_hold_stops_everything_and_release_lets_it_go_on(tmp_path: Path) -> None:
    """A held certificate is not renewed when it is due; released, it is."""
    with ExitStack() as stack:
        on = begin(stack, tmp_path)
        on.daemon.ask("hold", "web")
        begun = len(on.place.ca.log)
        on.place.clock.push(timedelta(days=80))
        status = on.daemon.wait(lambda s: s.certificate("web")["state"] == "held")
        assert len(on.place.ca.log) == begun
        assert "held" in status.certificate("web")["plan"]["next"]
        on.daemon.ask("release", "web")
        on.daemon.settle(lambda s: s.deployed("web", 2))


def test_a_hold_during_a_deployment_keeps_the_old_one_in_service(
    tmp_path: Path,
) -> None:
    """Held before the swap, the link and the endpoint stay; released, it goes on."""
    with ExitStack() as stack:
        on = begin(stack, tmp_path)
        old = on.server.serves()
        on.daemon.ask("renew", "web")
        on.daemon.ask("hold", "web")
        on.daemon.wait(lambda s: not any(map(_running, s.certificate("web")["jobs"])))
        assert on.server.serves() == old
        on.daemon.ask("release", "web")
        status = on.daemon.settle(lambda s: s.deployed("web", 2))
        assert on.is_served(status)


def _running(job: View) -> bool:
    return bool(job["running"])


def test_manual_waits_for_a_release_for_each_publication(tmp_path: Path) -> None:
    """It is issued and published, and nobody is told before an operator says so."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        more = f'deploy = "manual"\n{ENDPOINT}{table(home, place.address)}'
        place.configure(certificate_table("web", more=more))
        with (
            tls_server(home, live, place.address) as server,
            place.daemon() as daemon,
        ):
            for number in (1, 2):
                status = daemon.wait(
                    lambda s: "release" in s.job("web", "deploy").get("next", "")
                )
                assert status.certificate("web")["publication"] == number
                assert server.signals == number - 1
                daemon.ask("release", "web")
                status = daemon.settle_deployed("web", number)
                assert server.serves() == status.certificate("web")["fingerprint"]
                if number == 1:
                    daemon.ask("renew", "web")


def test_an_endpoint_that_watches_its_files_is_proven_without_a_signal(
    tmp_path: Path,
) -> None:
    """Nobody is to be told there: it has a link of its own, and is looked at."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        verified = ENDPOINT + table(home, place.address)
        plain = (
            f'[[certificate.web.endpoint]]\nname = "watcher"\n'
            f'verify = {{ connect = "{place.address}:{PORT}", within = "10s" }}\n'
        )
        place.configure(certificate_table("web", more=verified + plain))
        with (
            tls_server(home, live, place.address),
            place.daemon() as daemon,
        ):
            status = daemon.settle(lambda s: s.deployed("web"))
            shown = {e["name"]: e for e in status.certificate("web")["endpoints"]}
            assert [e["by"] for e in shown.values()] == ["wire", "wire"]
            links = sorted(path.name for path in place.state.glob("live/*"))
            assert links == ["web", "web@watcher"]
