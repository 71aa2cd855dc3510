"""What a change of a record means, in the words of the journal."""

import logging
from typing import Any

import pytest
from msgspec.structs import replace

from agent.events import narrate, narrate_account
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.job import Alarm, Severity
from agent.records.keys import KeyState
from agent.records.others import RegisterJob
from agent.records.phases import AccountKeyMade, Stage
from tests.vectors.records import (
    ACCOUNT,
    NOW,
    PHASES,
    deploy_job,
    enrolled,
    failure,
    issue_job,
    key,
    publication,
)

ONE, TWO = enrolled(), enrolled(2)
ORDERED = replace(ONE, issue=issue_job(PHASES["key-made"]))
FAILED = replace(ONE, issue=issue_job(PHASES["key-made"], failure=failure()))
ALARM = Alarm(severity=Severity.MAJOR, cause="no certificate", raised=NOW)
AGAIN = replace(publication(1), number=2, look="other")


def told(before: CertificateRecord, after: CertificateRecord) -> list[tuple[str, str]]:
    """Return kind and text of every event."""
    return [(event.kind, event.text) for event in narrate(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        (ONE, ONE, []),
        (ONE, replace(ONE, orders=9), []),
        (
            CertificateRecord(name="amf1"),
            replace(ONE, keys=(), endpoints={}),
            [
                (
                    "certificate.issued",
                    "certificate 1 issued, ends 2026-04-30T12:00:00Z",
                )
            ],
        ),
        (
            ONE,
            replace(ONE, publications=(publication(1), AGAIN), publication_count=2),
            [
                (
                    "certificate.republished",
                    "certificate 1 published again, its files have changed",
                )
            ],
        ),
        (ONE, ORDERED, [("issue.begun", "issue begins: due")]),
        (ORDERED, FAILED, [("issue.failed", "issue: transport went wrong")]),
        (FAILED, FAILED, []),
        (FAILED, ORDERED, []),
        (
            ONE,
            replace(ONE, deploy={"b": deploy_job(Stage.SWAPPED)}),
            [("deploy.begun", "deploy b begins: served")],
        ),
        (
            ONE,
            replace(ONE, endpoints={"": replace(ONE.endpoints[""], live=2)}),
            [("endpoint.swapped", "endpoint: live points to publication 2")],
        ),
        (
            ONE,
            replace(ONE, endpoints={"": replace(ONE.endpoints[""], proven=2)}),
            [
                (
                    "endpoint.deployed",
                    "endpoint: publication 2 is deployed (served, seen over the wire)",
                )
            ],
        ),
        (
            ONE,
            replace(
                ONE,
                endpoints={
                    **ONE.endpoints,
                    "b": EndpointRecord(live=1, proven=1, by="nobody-asked"),
                },
            ),
            [
                ("endpoint.swapped", "endpoint b: live points to publication 1"),
                (
                    "endpoint.deployed",
                    "endpoint b: publication 1 is deployed (nobody-asked)",
                ),
            ],
        ),
        (ONE, replace(ONE, keys=(*ONE.keys, key(2, KeyState.CHOSEN))), []),
        (ONE, replace(ONE, keys=(*ONE.keys, key(2))), [("key.made", "key 2 made")]),
        (
            ONE,
            replace(ONE, keys=(key(1, KeyState.DESTROYED),)),
            [("key.destroyed", "key 1 destroyed")],
        ),
        (
            ONE,
            replace(ONE, alarms={"expired": ALARM}),
            [("alarm.raised", "alarm expired: no certificate")],
        ),
        (
            replace(ONE, alarms={"expired": ALARM}),
            ONE,
            [("alarm.cleared", "alarm expired is over")],
        ),
        (
            replace(ONE, alarms={"expired": ALARM}),
            replace(ONE, alarms={"expired": replace(ALARM, cause="other")}),
            [],
        ),
    ],
)
def test_a_change_is_told_once(
    before: CertificateRecord, after: CertificateRecord, events: list[Any]
) -> None:
    """What is the same is not told, what is new is told in constant words."""
    assert told(before, after) == events


def test_events_carry_data_and_a_severity() -> None:
    """An alarm is an error, a failure a warning, the rest information."""
    (begun,) = narrate(ONE, ORDERED)
    assert begun.fields == {"job": "job", "slot": "issue"}
    assert begun.severity == logging.INFO
    (failed,) = narrate(ORDERED, FAILED)
    assert failed.fields["failure"] == "transport"
    assert failed.severity == logging.WARNING
    (alarm,) = narrate(ONE, replace(ONE, alarms={"expired": ALARM}))
    assert alarm.fields == {"alarm": "expired", "severity": "major"}
    assert alarm.severity == logging.ERROR


def test_an_account_is_told_of() -> None:
    """When it becomes valid, and when its registration fails, each once."""
    job = RegisterJob(id="r", phase=AccountKeyMade(), reason="new", created=NOW)
    new = replace(ACCOUNT, url="", register=job)
    failed = replace(new, register=replace(job, failure=failure()))
    assert [e.kind for e in narrate_account(new, ACCOUNT)] == ["account.valid"]
    assert list(narrate_account(ACCOUNT, ACCOUNT)) == []
    (event,) = narrate_account(new, failed)
    assert event.text == "register: transport went wrong"
    assert list(narrate_account(failed, failed)) == []
    told = [e.kind for e in narrate_account(ACCOUNT, failed)]
    assert told == ["register.begun", "register.failed"]
