"""What is heard of a certificate's status, and what follows from it."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.config.model import Status
from agent.jobs import status
from agent.jobs.certificate import fold, next_step
from agent.jobs.reconcile import next_change, reason_to_issue, reconcile
from agent.jobs.status import AskStatus, Heard
from agent.jobs.step import Do, Failed
from agent.pki.reasons import REASONS
from agent.records.certificate import CertificateRecord
from agent.records.revocation import Replaced, Revocation
from agent.records.slots import Slot
from agent.renewal.revocation import (
    CONSEQUENCES,
    Consequence,
    check_interval,
    patience,
)
from tests.vectors.records import (
    DAY,
    NOW,
    certificate_table,
    context,
    enrolled,
    failure,
    fingerprint,
    issued,
    key_id,
    moment,
    publication,
)

SLOT = Slot("status")
FIRST = fingerprint(1)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
STOPPING = sorted(r for r, c in CONSEQUENCES.items() if c is Consequence.STOP)
REPLACING = sorted(set(CONSEQUENCES) - set(STOPPING))


def watched(**more: object) -> CertificateRecord:
    """Return a certificate that says where its status can be had."""
    known = replace(issued(1), crl=("http://ca.example/crl",))
    return replace(enrolled(), issued=(known,), **more)


def heard(revoked: str, record: CertificateRecord | None = None) -> CertificateRecord:
    """Return the certificate after its CA has spoken."""
    before = reconcile(record or watched(), context(), moment())
    assert before.checking is not None
    step = next_step(before, SLOT, context(), NOW)
    assert isinstance(step, Do)
    outcome = Heard(revoked, "crl")
    return fold(before, SLOT, step.effect, outcome, context(), moment())


def test_the_table_knows_every_reason() -> None:
    """And no other."""
    assert CONSEQUENCES.keys() == REASONS.keys()
    assert STOPPING == [
        "affiliationChanged",
        "certificateHold",
        "cessationOfOperation",
        "privilegeWithdrawn",
    ]


@pytest.mark.parametrize("reason", REPLACING)
def test_what_can_be_made_good_is_ordered_anew_at_once(reason: str) -> None:
    """With a new key."""
    record = heard(reason)
    assert record.checking is None
    assert record.revocation(FIRST) == Revocation(at=NOW, reason=reason, ours=False)
    after = reconcile(record, context(), moment())
    assert after.issue is not None
    assert after.issue.reason == f"it is revoked, for {reason}"
    assert after.issue.phase.key != key_id(1)
    assert after.replaced == Replaced(fingerprint=FIRST, at=NOW)
    assert after.alarms["revoked"].action == ""


@pytest.mark.parametrize("reason", STOPPING)
def test_what_the_ca_would_not_issue_again_is_not_ordered(reason: str) -> None:
    """Not even when its renewal is due; an alarm says what to do."""
    record = heard(reason)
    for now in (NOW, NOW + 45 * DAY, NOW + 60 * DAY):
        after = reconcile(record, context(), moment(now))
        assert after.issue is None
        assert "nfcertd renew" in after.alarms["revoked"].action
    asked = replace(record, renew_asked=NOW)
    assert reason_to_issue(asked, context(), NOW) == "an operator asked for it"
    other = context(certificate_table(names=("other.example",)))
    assert reason_to_issue(record, other, NOW) == "the configuration changed its names"


def test_a_ca_that_revokes_what_it_issues_is_not_asked_in_a_loop() -> None:
    """Once in a quarter of the lifetime."""
    second = replace(issued(2), crl=("http://ca.example/crl",))
    known = Replaced(fingerprint=FIRST, at=NOW - DAY)
    record = replace(enrolled(2), issued=(second,), replaced=known)
    revocation = Revocation(at=NOW, reason="superseded", ours=False)
    revoked = record.with_revocation(fingerprint(2), revocation)
    assert reason_to_issue(revoked, context(), NOW) is None
    allowed = NOW - DAY + 90 * DAY / 4
    assert next_change(revoked, context(), NOW) == allowed
    assert (
        reason_to_issue(revoked, context(), allowed) == "it is revoked, for superseded"
    )


def test_an_order_for_it_that_is_begun_again_is_the_same_one() -> None:
    """A configuration that changes meanwhile must not cost a quarter of the life."""
    begun = reconcile(heard("superseded"), context(), moment())
    again = replace(begun, issue=None, wanted=None)
    after = reconcile(again, context(), moment(NOW + HOUR))
    assert after.issue is not None
    assert after.replaced == begun.replaced


def test_a_key_that_the_ca_calls_compromised_is_never_used_again() -> None:
    """As if an operator had said so."""
    assert heard("keyCompromise").compromised == {key_id(1)}
    assert heard("superseded").compromised == frozenset()


def test_only_a_hold_is_taken_back() -> None:
    """Everything else is for good, and is not asked about again."""
    held = heard("certificateHold")
    later = replace(held, status=None)
    free = heard("", later)
    assert free.revocation(FIRST) is None
    assert "revoked" not in reconcile(free, context(), moment()).alarms
    assert status.due_at(heard("superseded"), context()) is None
    assert status.due_at(held, context()) is not None


def test_what_we_have_revoked_ourselves_stays_so() -> None:
    """Whatever an old CRL says."""
    ours = Revocation(at=NOW, reason="superseded", ours=True)
    record = watched().with_revocation(FIRST, ours)
    assert status.due_at(record, context()) is None


def test_a_good_answer_is_remembered_until_the_next_time() -> None:
    """An hour later, or a little before."""
    record = heard("")
    known = record.status
    assert known is not None
    assert (known.checked_at, known.source, known.failure) == (NOW, "crl", "")
    assert NOW + 54 * MINUTE <= known.next_at <= NOW + HOUR
    assert reconcile(record, context(), moment()).checking is None
    assert next_change(record, context(), NOW) == known.next_at
    assert reconcile(record, context(), moment(known.next_at)).checking is not None


def test_an_unknown_status_is_no_revocation() -> None:
    """It is an alarm only after long."""
    before = reconcile(watched(), context(), moment())
    effect = AskStatus(FIRST, "n" * 32)
    failed = Failed(failure("retrieval"))
    record = fold(before, SLOT, effect, failed, context(), moment())
    assert record.revocation(FIRST) is None
    assert record.status is not None
    assert record.status.failing_since == NOW
    assert reconcile(record, context(), moment()).alarms == {}
    late = NOW + patience(90 * DAY)
    checks = reconcile(record, context(), moment(late))
    alarm = checks.alarms["status-unknown"]
    assert alarm.severity == "warning"
    again = fold(checks, SLOT, effect, failed, context(), moment(late))
    assert again.status is not None
    assert again.status.failing_since == NOW
    assert heard("", replace(again, status=None, checking=None)).status is not None


def test_an_answer_about_the_past_is_dropped() -> None:
    """Another certificate was issued meanwhile."""
    before = reconcile(watched(), context(), moment())
    newer = replace(before, publications=(*before.publications, publication(2)))
    effect = AskStatus(FIRST, "n" * 32)
    after = fold(newer, SLOT, effect, Heard("superseded", "crl"), context(), moment())
    assert after.status is None
    assert after.checking is None
    assert after.revocation(FIRST) is None


@pytest.mark.parametrize("why", ["switched off", "no source", "no certificate"])
def test_nothing_is_asked_where_nobody_could_answer(why: str) -> None:
    """Or where nobody wants to know."""
    off = context(certificate_table(status=Status(check=False)))
    match why:
        case "switched off":
            record, about = watched(), off
        case "no source":
            record, about = replace(enrolled(), issued=(issued(1),)), context()
        case _:
            record, about = CertificateRecord(name="web"), context()
    assert status.reconcile(record, about, moment()).checking is None
    checking = reconcile(watched(), context(), moment())
    assert status.reconcile(checking, off, moment()).checking is None


@pytest.mark.parametrize(
    ("life", "interval"),
    [
        (90 * DAY, HOUR),
        (10 * HOUR, 30 * MINUTE),
        (5 * MINUTE, MINUTE),
    ],
)
def test_the_interval_is_relative_to_the_life(
    life: timedelta, interval: timedelta
) -> None:
    """Between a minute and an hour."""
    assert check_interval(life) == interval
