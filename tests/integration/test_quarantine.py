"""One certificate that ends the process again and again, or whose record is corrupt.

It is left alone with an alarm, and every other certificate goes on.
"""

from pathlib import Path
from typing import Final

import pytest

from agent.control.verbs import ControlError
from agent.records.certificate import CertificateRecord
from agent.records.keys import PinStatus
from agent.records.others import TokenRecord
from agent.store import Store
from tests.ca import Fault, actions
from tests.integration.scene import Scene, Status, certificate_table, scene, token_table
from tests.integration.tokens import shim, softhsm
from tests.integration.tokens import write_pin as write
from tests.parts.process import missing

pytestmark = pytest.mark.integration

SPEED: Final = 20
CRASHES: Final = 3
WRONG: Final = "4321"
EFFECTS: Final = (
    "make-key",
    "create-order",
    "fetch-authorization",
    "answer",
    "finalize",
    "download",
    "publish",
    "swap",
    "prune",
)
no_gcc = pytest.mark.skipif(bool(missing("gcc")), reason=missing("gcc"))


def left_alone(status: Status) -> bool:
    """Tell whether the sick one is in quarantine and the well one deployed."""
    sick = status.certificate("sick")
    return bool(sick and sick["state"] == "quarantined" and status.deployed("well", 1))


def start_until_left_alone(place: Scene, effect: str) -> int:
    """Start a daemon that dies in an effect of `sick`; return how often it died."""
    for died in range(2 * CRASHES):
        with place.daemon("--kill-during", f"sick:{effect}") as daemon:
            try:
                status = daemon.settle(left_alone)
            except ControlError:
                daemon.ended()
                assert daemon.died()
                continue
            alarms = status.alarms("sick")
            assert [a["severity"] for a in alarms.values()] == ["critical"], alarms
            assert next(iter(alarms)).endswith("-quarantined")
            daemon.ask("renew", "well")
            daemon.settle(lambda s: s.deployed("well", 2))
            return died
    raise AssertionError("it dies for ever")


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_certificate_that_crashes_the_process_is_left_alone(
    tmp_path: Path, effect: str
) -> None:
    """Three crashes in one effect are enough, and orders do not pile up meanwhile."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("sick"), certificate_table("well"))
        assert start_until_left_alone(place, effect) == CRASHES
        assert place.ca.answered_orders <= 2 + CRASHES
        with place.daemon() as daemon:
            assert left_alone(daemon.status())
            daemon.ask("release", "sick")
            status = daemon.settle(lambda s: s.deployed("sick"))
            assert not status.alarms("sick")


def test_three_kills_in_different_places_quarantine_nobody(tmp_path: Path) -> None:
    """Power cuts while it moves on are not the certificate's fault."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        for effect in ("make-key", "answer", "finalize", "publish", "swap"):
            with place.daemon("--kill-during", f"web:{effect}") as daemon:
                with pytest.raises(ControlError):
                    daemon.settle(lambda s: s.deployed("web"))
                daemon.ended()
        with place.daemon() as daemon:
            status = daemon.settle(lambda s: s.deployed("web"))
            assert not status.alarms("web")


def test_a_stop_is_no_crash(tmp_path: Path) -> None:
    """SIGTERM in mid-order, four times, ends in the same order and no quarantine."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        place.ca.faults.add(
            Fault(resource="authz", action=actions.Delay(2), times=None)
        )
        for number in range(1, 5):
            with place.daemon() as daemon:
                daemon.wait(
                    lambda _, n=number: place.ca.log.count("authz") >= n  # type: ignore[misc]  # binds the loop's value
                )
            assert daemon.ended() == 0
        place.ca.faults.clear()
        with place.daemon() as daemon:
            status = daemon.settle(lambda s: s.deployed("web"))
            assert not status.alarms("web")
        assert place.ca.answered_orders == 1


def test_a_corrupt_record_takes_its_own_subject_only(tmp_path: Path) -> None:
    """The certificate is quarantined and its file untouched; the other goes on."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("sick"), certificate_table("well"))
        both_deployed(place)
        record = place.state / "records/certificate/sick.json"
        whole = record.read_bytes()
        record.write_bytes(whole[: len(whole) // 2])
        with place.daemon() as daemon:
            status = daemon.status()
            alarms = status.alarms("certificate sick")
            assert alarms["record-quarantined"]["severity"] == "critical"
            with pytest.raises(ControlError, match="quarantine"):
                daemon.ask("renew", "sick")
            daemon.ask("renew", "well")
            daemon.settle(lambda s: s.deployed("well", 2))
        assert record.read_bytes() == whole[: len(whole) // 2]
        record.write_bytes(whole)
        with place.daemon() as daemon:
            status = daemon.settle(lambda s: s.deployed("sick"))
            assert not status.alarms("certificate sick")
        assert place.ca.answered_orders == 3


def both_deployed(place: Scene) -> None:
    """Run a daemon until both certificates are deployed."""
    with place.daemon() as daemon:
        for name in ("sick", "well"):
            daemon.settle_deployed(name)


def test_a_corrupt_account_stops_its_orders_and_nothing_else(tmp_path: Path) -> None:
    """No account is registered in its place, and no certificate crashes on it."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("well"))
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("well"))
        record = place.state / "records/account/test.json"
        whole = record.read_bytes()
        record.write_text('{"version": 99, "kind": "account", "record": {}}')
        place.configure(certificate_table("well"), certificate_table("late"))
        begun = len(place.ca.log)
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.job("late", "issue"))
            assert status.alarms("account test")
            daemon.ask("renew", "well")
            status = daemon.wait(lambda s: s.job("well", "issue"))
            for name in ("late", "well"):
                assert "account" in status.job(name, "issue")["next"]
        assert len(place.ca.log) == begun
        record.write_bytes(whole)
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("late"))
        assert len(place.ca.accounts) == 1


@no_gcc
def test_a_corrupt_memory_of_a_pin_is_not_taken_for_none(tmp_path: Path) -> None:
    """A wrong PIN that was tried is not tried again because its record is damaged."""
    token = shim(tmp_path, softhsm(tmp_path))
    write(token.pin_file, WRONG)
    with scene(tmp_path, token=token, speed=SPEED) as place:
        place.configure(
            token_table(token),
            certificate_table("sick", 'token = "hsm"'),
            certificate_table("well"),
        )
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.alarms("hsm"))
            daemon.settle(lambda s: s.deployed("well"))
        known = Store(place.state).get(TokenRecord, "hsm")
        assert known is not None
        assert known.pin.status is PinStatus.REFUSED
        (place.state / "records/token/hsm.json").write_text("{")
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.alarms("token hsm"))
            daemon.ask("renew", "well")
            daemon.settle(lambda s: s.deployed("well", 2))
            status = daemon.wait(lambda s: s.job("sick", "issue").get("failure"))
            assert not status.token("hsm")["up"]
        assert (place.state / "records/token/hsm.json").read_text() == "{"
    assert token.logins == 1


def test_a_newer_record_is_refused_and_kept(tmp_path: Path) -> None:
    """What a later version wrote is not read, and not overwritten."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("sick"), certificate_table("well"))
        both_deployed(place)
        record = place.state / "records/certificate/sick.json"
        newer = record.read_text().replace('"version": 1', '"version": 2', 1)
        record.write_text(newer)
        with place.daemon() as daemon:
            alarm = daemon.status().alarms("certificate sick")["record-quarantined"]
            assert "newer" in alarm["cause"]
        assert record.read_text() == newer
        record.write_text(newer.replace('"version": 2', '"version": 1', 1))
        assert Store(place.state).get(CertificateRecord, "sick") is not None
