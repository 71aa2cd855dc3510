"""Alarms: raised once, kept with their instant, and over when their cause is."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.jobs.alarms import account_alarms, token_alarms, with_alarms
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition, Severity
from agent.records.keys import PinRecord, PinStatus
from agent.records.others import AccountRecord, RegisterJob, TokenRecord
from agent.records.phases import AccountKeyMade, Stage
from tests.vectors.records import (
    DAY,
    DIRECTORY,
    NOW,
    PHASES,
    context,
    deploy_job,
    enrolled,
    failure,
    issue_job,
)

CONTEXT = context()
END = NOW + 60 * DAY
OPERATOR = Disposition.NEEDS_OPERATOR


def failing(**envelope: Any) -> CertificateRecord:
    """Return an enrolled certificate whose renewal has this envelope."""
    return replace(enrolled(), issue=issue_job(PHASES["key-made"], **envelope))


@pytest.mark.parametrize(
    ("record", "now", "alarms"),
    [
        (CertificateRecord(name="x"), NOW, {}),
        (enrolled(), NOW, {}),
        (enrolled(), END - 4.5 * DAY, {"expiring": Severity.CRITICAL}),
        (enrolled(), END, {"expired": Severity.CRITICAL}),
        (failing(failures=2, failure=failure()), NOW, {}),
        (
            failing(failures=3, failure=failure()),
            NOW,
            {"issue-failing": Severity.WARNING},
        ),
        (
            failing(failures=1, failure=failure("x", OPERATOR)),
            NOW,
            {"issue-failing": Severity.MAJOR},
        ),
        (failing(crashes=2), NOW, {}),
        (failing(crashes=3), NOW, {"issue-quarantined": Severity.CRITICAL}),
        (
            replace(
                enrolled(),
                deploy={
                    "b": replace(
                        deploy_job(Stage.PUBLISHED),
                        failures=1,
                        failure=failure("deploy.reverted"),
                    )
                },
            ),
            NOW,
            {"deploy-b-failing": Severity.WARNING},
        ),
    ],
)
def test_an_alarm_has_its_cause(
    record: CertificateRecord, now: datetime, alarms: dict[str, Severity]
) -> None:
    """What a person must know, and how bad it is."""
    found = with_alarms(record, CONTEXT, now)
    assert {slug: alarm.severity for slug, alarm in found.alarms.items()} == alarms
    assert all(alarm.raised == now for alarm in found.alarms.values())


def test_an_alarm_is_raised_once_and_cleared() -> None:
    """It keeps its instant while its words change; over, it is gone."""
    bad = with_alarms(failing(failures=3, failure=failure()), CONTEXT, NOW)
    later = NOW + timedelta(hours=1)
    assert with_alarms(bad, CONTEXT, later) is bad
    worse = failing(failures=4, failure=failure("acme:caa", OPERATOR))
    again = with_alarms(replace(worse, alarms=bad.alarms), CONTEXT, later)
    assert again.alarms["issue-failing"].raised == NOW
    assert again.alarms["issue-failing"].cause == "acme:caa went wrong"
    assert again.alarms["issue-failing"].severity is Severity.MAJOR
    over = with_alarms(replace(again, issue=None), CONTEXT, later)
    assert over.alarms == {}


def test_an_account_has_alarms_as_well() -> None:
    """For what needs an operator, for what fails on and on, and for crashes."""
    job = RegisterJob(id="r", phase=AccountKeyMade(), reason="new", created=NOW)
    base = AccountRecord(name="operator", directory=DIRECTORY)
    assert account_alarms(base) == {}
    assert account_alarms(replace(base, register=job)) == {}
    later = NOW + timedelta(hours=1)
    refused = replace(job, failures=1, failure=failure("x", OPERATOR, at=later))
    found = account_alarms(replace(base, register=refused))
    assert found["register-failing"].raised == later
    crashed = replace(job, crashes=3)
    found = account_alarms(replace(base, register=crashed))
    assert found["register-quarantined"].raised == NOW


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (PinStatus.UNTRIED, None),
        (PinStatus.ATTEMPTING, None),
        (PinStatus.ACCEPTED, None),
        (PinStatus.REFUSED, "pin-refused"),
        (PinStatus.LOCKED, "pin-locked"),
    ],
)
def test_a_pin_that_is_not_taken_is_an_alarm(
    status: PinStatus, slug: str | None
) -> None:
    """Since it was refused, as far as that is known."""
    for since, raised in ((NOW - DAY, NOW - DAY), (None, NOW)):
        record = TokenRecord(name="hsm", pin=PinRecord(status=status, since=since))
        found = token_alarms(record, NOW)
        assert list(found) == ([] if slug is None else [slug])
        assert all(alarm.raised == raised for alarm in found.values())
