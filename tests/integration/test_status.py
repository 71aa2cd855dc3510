"""A CA revokes a certificate by itself, and the daemon hears of it and acts."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from agent.pki.reasons import REASONS
from agent.renewal.revocation import CONSEQUENCES, Consequence
from tests.ca import Config, Statements
from tests.integration.scene import Daemon, Scene, Status, certificate_table, scene

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ALLOWED = 'status.allow = ["127.0.0.0/8"]\ngrace = "0s"'
ONE_CHECK = timedelta(hours=1, minutes=1)
SAYABLE = sorted(set(REASONS) - {"removeFromCRL"})


@contextmanager
def enrolled(
    home: Path, statements: Statements, more: str = ALLOWED
) -> Iterator[tuple[Scene, Daemon]]:
    """Run a daemon whose certificate says where its status can be had."""
    with scene(home, Config(statements=statements)) as place:
        place.configure(certificate_table("web", more=more))
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
            yield place, daemon


def checked(status: Status) -> str:
    """Return when the status of the certificate was last heard of."""
    return str(status.certificate("web")["status_checked_at"] or "")


def hear(daemon: Daemon) -> Status:
    """Let an hour pass, and return what the daemon says once it has asked."""
    before = checked(daemon.status())
    daemon.clock.push(ONE_CHECK)
    return daemon.wait(lambda s: checked(s) > before)


def test_what_follows_is_decided_by_the_reason(tmp_path: Path) -> None:
    """Ordered anew with a new key, or stopped with an alarm; by OCSP and by CRL."""
    for number, reason in enumerate(SAYABLE):
        home = tmp_path / reason
        home.mkdir()
        by_ocsp = number % 2 == 0
        statements = Statements(ocsp=by_ocsp, crl=not by_ocsp)
        with enrolled(home, statements) as (place, daemon):
            assert checked(hear(daemon))
            first = place.ca.certificates[0]
            place.ca.revoke(first.serial, REASONS[reason])
            daemon.clock.push(ONE_CHECK)
            if CONSEQUENCES[reason] is Consequence.REPLACE:
                daemon.settle_deployed("web", 2)
                old, new = (c.leaf.public_key() for c in place.ca.certificates)
                assert old != new, reason
            else:
                status = daemon.wait(lambda s: s.certificate("web")["revoked"])
                assert status.certificate("web")["state"] == "revoked", reason
                assert "revoked" in status.alarms("web"), reason
                daemon.clock.push(ONE_CHECK * 24 * 60)
                daemon.wait(lambda s: s.certificate("web"))
                assert place.ca.answered_orders == 1, reason
        assert set(place.ca.status.requests) == {"/ocsp" if by_ocsp else "/crl"}


def test_a_hold_that_is_taken_back_is_over(tmp_path: Path) -> None:
    """Nothing was ordered, and the alarm ends by itself."""
    with enrolled(tmp_path, Statements()) as (place, daemon):
        serial = place.ca.certificates[0].serial
        place.ca.revoke(serial, REASONS["certificateHold"])
        daemon.clock.push(ONE_CHECK)
        daemon.wait(lambda s: s.alarms("web"))
        place.ca.release(serial)
        daemon.clock.push(ONE_CHECK)
        daemon.wait(lambda s: not s.alarms("web"))
        assert place.metrics()['nfcertd_certificate_revoked{certificate="web"}'] == 0
        assert place.ca.answered_orders == 1


@pytest.mark.parametrize("more", [ALLOWED, 'grace = "0s"'])
def test_an_unknown_status_alarms_after_a_day_and_does_nothing(
    tmp_path: Path, more: str
) -> None:
    """A responder that is down; and one on loopback that is not allowed."""
    statements = Statements(down=more == ALLOWED)
    with enrolled(tmp_path, statements, more) as (place, daemon):
        daemon.clock.push(ONE_CHECK)
        daemon.wait(lambda s: s.certificate("web")["status_failure"])
        assert not daemon.status().alarms("web")
        daemon.clock.push(ONE_CHECK * 24)
        status = daemon.wait(lambda s: s.alarms("web"))
        assert set(status.alarms("web")) == {"status-unknown"}
        assert status.certificate("web")["deployed"]
        unknown = 'nfcertd_certificate_status_unknown{certificate="web"}'
        assert place.metrics()[unknown] == 1
        if more != ALLOWED:
            assert place.ca.status.requests == []
        assert place.ca.answered_orders == 1


def test_certificates_of_one_ca_share_its_crl(tmp_path: Path) -> None:
    """It is fetched once an interval, however many read it."""
    with scene(tmp_path, Config(statements=Statements(ocsp=False))) as place:
        names = ("one", "two", "three")
        place.configure(*(certificate_table(n, more=ALLOWED) for n in names))
        with place.daemon() as daemon:
            for name in names:
                daemon.settle_deployed(name)
            daemon.clock.push(ONE_CHECK)
            daemon.wait(
                lambda s: all(s.certificate(n)["status_checked_at"] for n in names)
            )
        assert place.ca.status.requests == ["/crl"]
