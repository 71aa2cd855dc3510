"""SIGHUP replaces the configuration as a whole, or not at all and says so."""

import signal
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from agent.control.verbs import ControlError
from tests.ca import Config, Fault, actions
from tests.integration.scene import (
    Daemon,
    Scene,
    Status,
    certificate_table,
    scene,
    token_table,
)
from tests.integration.served import table, tls_server
from tests.integration.tokens import softhsm

pytestmark = pytest.mark.integration

SPEED: Final = 20
SUCCESS: Final = "nfcertd_config_last_reload_success"


def hup(daemon: Daemon) -> Status:
    """Send SIGHUP, and return the first status after the reload."""
    before = daemon.status().view["config"]["reload_at"]
    daemon.part.signal(signal.SIGHUP)
    return daemon.wait(lambda s: s.view["config"]["reload_at"] != before)


BROKEN: Final = {
    "no toml": "[[[",
    "an unknown key": '\n[certificate.new]\nnames = ["new.example"]\nnmae = 1\n',
    "a ca that is not there": certificate_table("new").replace('"test"', '"tset"'),
    "what needs a restart": "",
}


def spoil(place: Scene, name: str) -> None:
    """Make the configuration file bad in one way."""
    text = place.config.read_text()
    if BROKEN[name]:
        place.config.write_text(text + BROKEN[name])
    else:
        place.config.write_text(text.replace("/run", "/elsewhere"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_file_leaves_the_running_configuration_in_force(
    tmp_path: Path, name: str
) -> None:
    """The log, the metric and `status` say so; orders go on under the old one."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            assert place.metrics()[SUCCESS] == 1
            spoil(place, name)
            status = hup(daemon)
            config = status.view["config"]
            assert not config["reload_ok"]
            assert config["problems"]
            assert "not reloaded: " in place.log()
            assert place.metrics()[SUCCESS] == 0
            with pytest.raises(ControlError, match="not reloaded"):
                daemon.ask("reload")
            daemon.ask("renew", "web")
            daemon.settle(lambda s: s.deployed("web", 2))
            place.configure(certificate_table("web"), certificate_table("new"))
            assert hup(daemon).view["config"]["reload_ok"]
            assert place.metrics()[SUCCESS] == 1
            daemon.settle(lambda s: s.deployed("new"))
            assert place.ca.answered_orders == 3


def test_a_good_file_applies_at_once(tmp_path: Path) -> None:
    """Another name is another certificate, ordered now and by the same account."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            names = ("web.example", "www.example")
            place.configure(certificate_table("web", names=names))
            hup(daemon)
            status = daemon.settle(lambda s: s.deployed("web", 2))
            assert tuple(status.certificate("web")["names"]) == names
            assert len(place.ca.certificates[-1].names) == 2
        assert len(place.ca.accounts) == 1


def test_the_same_file_changes_nothing(tmp_path: Path) -> None:
    """A reload without a change makes no request and no write of a record."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        writes = tmp_path / "writes"
        with place.daemon("--writes", str(writes)) as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            before = writes.read_text(), len(place.ca.log)
            assert hup(daemon).view["config"]["reload_ok"]
            daemon.ask("keys")
            assert (writes.read_text(), len(place.ca.log)) == before


def test_removing_a_certificate_makes_it_unmanaged_and_destroys_nothing(
    tmp_path: Path,
) -> None:
    """Record, key, publication and link stay; months later nothing is renewed."""
    with scene(tmp_path, speed=SPEED) as place:
        both = certificate_table("web"), certificate_table("old")
        place.configure(*both)
        with place.daemon() as daemon:
            for name in ("web", "old"):
                daemon.settle_deployed(name)
            kept = files(place)
            place.configure(certificate_table("web"))
            hup(daemon)
            status = daemon.wait(lambda s: s.certificate("old")["state"] == "unmanaged")
            assert status.certificate("old")["plan"]["rule"] == "unmanaged"
            place.clock.push(timedelta(days=200))
            daemon.settle(lambda s: s.certificate("web")["publication"] > 1)
            assert kept <= files(place)
            assert daemon.status().certificate("old")["publication"] == 1
            with pytest.raises(ControlError):
                daemon.ask("renew", "old")
            place.configure(*both)
            hup(daemon)
            status = daemon.settle(lambda s: s.deployed("old", 2))


def files(place: Scene) -> set[str]:
    """Return what there is of the certificate `old`, and the keys."""
    state = place.state
    found = [*state.glob("certificates/old/1/*"), *state.glob("live/old")]
    found += [*state.glob("records/certificate/old.json")]
    keys = [path for path in state.glob("keys/*.pem") if "old" in _owner(place, path)]
    return {str(path) for path in found + keys}


def _owner(place: Scene, key: Path) -> str:
    record = place.state / "records/certificate/old.json"
    return "old" if key.stem in record.read_text() else ""


def test_removing_a_certificate_in_mid_order_ends_nothing_but_its_order(
    tmp_path: Path,
) -> None:
    """Its request is under way when its table goes: the process lives on."""
    with scene(tmp_path, speed=SPEED) as place:
        both = certificate_table("web"), certificate_table("late")
        place.configure(certificate_table("web"))
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            place.ca.faults.add(Fault(resource="authz", action=actions.Delay(1)))
            place.configure(*both)
            hup(daemon)
            daemon.wait(lambda _: place.ca.log.count("authz") == 3)
            place.configure(certificate_table("web"))
            hup(daemon)
            daemon.ask("renew", "web")
            daemon.settle(lambda s: s.deployed("web", 2))
            daemon.wait(lambda _: all(entry.status for entry in place.ca.log))
            assert daemon.status().certificate("late")["state"] == "unmanaged"
            place.configure(*both)
            hup(daemon)
            status = daemon.settle(lambda s: s.deployed("late"))
            assert not status.alarms("late")
        assert daemon.ended() == 0
        assert place.ca.answered_orders == 3


def test_a_reload_in_mid_order_does_not_disturb_the_order(tmp_path: Path) -> None:
    """The CA's table changes while a request is under way: still one order."""
    with scene(tmp_path, Config(challenge_polls=1), speed=SPEED) as place:
        place.configure(certificate_table("web"))
        place.ca.faults.add(Fault(resource="challenge", action=actions.Delay(1)))
        with place.daemon() as daemon:
            daemon.wait(lambda _: place.ca.log.count("challenge"))
            text = place.config.read_text()
            place.config.write_text(text.replace('timeout = "5s"', 'timeout = "6s"'))
            assert hup(daemon).view["config"]["reload_ok"]
            daemon.settle(lambda s: s.deployed("web"))
        assert place.ca.answered_orders == 1


def test_a_new_token_is_used_without_a_restart(tmp_path: Path) -> None:
    """A certificate moves from a file to a token: another key, and the old one goes."""
    token = softhsm(tmp_path)
    with scene(tmp_path, token=token, speed=SPEED) as place:
        place.configure(certificate_table("web", more='grace = "0s"'))
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
            web = certificate_table("web", 'token = "hsm"', more='grace = "0s"')
            place.configure(token_table(token), web)
            hup(daemon)
            status = daemon.settle(lambda s: s.deployed("web", 2))
            assert status.token("hsm")["up"]
            daemon.ask("ack", "web")
            daemon.wait(lambda _: len(daemon.ask("keys")["keys"]) == 2)
            stores = {key["store"] for key in daemon.ask("keys")["keys"]}
            assert stores == {"hsm", "file"}


def test_an_endpoint_that_is_added_gets_what_was_issued(tmp_path: Path) -> None:
    """A new endpoint is deployed to without a new order."""
    with scene(tmp_path, speed=SPEED) as place:
        home, live = tmp_path / "endpoint", place.state / "live/web"
        place.configure(certificate_table("web"))
        with (
            tls_server(home, live, place.address) as server,
            place.daemon() as daemon,
        ):
            daemon.settle(lambda s: s.deployed("web"))
            more = f"[[certificate.web.endpoint]]\n{table(home, place.address)}"
            place.configure(certificate_table("web", more=more))
            hup(daemon)
            status = daemon.settle(lambda s: s.deployed("web") and server.signals == 1)
            shown = status.certificate("web")
            assert shown["fingerprint"] == server.serves()
            assert place.ca.answered_orders == 1
