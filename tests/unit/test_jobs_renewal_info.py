"""The question when to renew: asked when it is due, answered into the record."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.events import narrate
from agent.jobs.certificate import fold, next_step
from agent.jobs.context import Context
from agent.jobs.lifecycle import begin, found_running
from agent.jobs.reconcile import next_change, reconcile
from agent.jobs.renewal_info import AskRenewalInfo, Informed, ask_again
from agent.jobs.step import Do, Failed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition, Failure
from agent.records.renewal import RenewalRecord
from agent.records.slots import Slot
from agent.renewal.plan import Rule, due
from agent.views import certificate_view
from tests.vectors.records import (
    DAY,
    NOW,
    PHASES,
    context,
    enrolled,
    failure,
    issue_job,
    moment,
)

CONTEXT = context()
SLOT = Slot("renewal-info")
CERTID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
HOUR = timedelta(hours=1)
START, END = NOW + DAY, NOW + 3 * DAY
TOLD = Informed(start=START, end=END, retry_at=NOW + 6 * HOUR)


def known(record: CertificateRecord | None = None, **changes: Any) -> CertificateRecord:
    """Return a certificate whose CA offers renewal information."""
    record = record or enrolled()
    last = record.publications[-1]
    fields = {"certid": CERTID, "renewal_info": True, **changes}
    told = replace(last, issuance=replace(last.issuance, **fields))
    return replace(record, publications=(*record.publications[:-1], told))


def asking(record: CertificateRecord | None = None) -> CertificateRecord:
    """Return the record with its question begun."""
    asked = reconcile(record or known(), CONTEXT, moment())
    assert asked.renewal_info is not None
    return begin(asked, SLOT, AskRenewalInfo.name)


def answered(
    outcome: Informed | Failed,
    record: CertificateRecord | None = None,
    now: datetime = NOW,
    draw: float = 0.5,
) -> CertificateRecord:
    """Return the record after a question."""
    effect = AskRenewalInfo(CERTID)
    asked = asking() if record is None else record
    return fold(asked, SLOT, effect, outcome, CONTEXT, moment(now, draw=draw))


def test_the_ca_is_asked_right_after_the_issue() -> None:
    """By one job, which is no longer there when it is answered."""
    record = reconcile(known(), CONTEXT, moment())
    assert next_step(record, SLOT, CONTEXT, NOW) == Do(AskRenewalInfo(CERTID))
    after = answered(TOLD)
    assert after.renewal_info is None
    assert reconcile(after, CONTEXT, moment()) == after


@pytest.mark.parametrize(
    ("record", "told", "now"),
    [
        (enrolled(), CONTEXT, NOW),
        (known(renewal_info=False), CONTEXT, NOW),
        (known(certid=""), CONTEXT, NOW),
        (known(), CONTEXT, NOW + 60 * DAY),
        (replace(known(), held=True), CONTEXT, NOW),
        (known(), context(directory="https://other.example/directory"), NOW),
        (replace(known(), issue=issue_job(PHASES["key-made"])), CONTEXT, NOW),
    ],
    ids=[
        "the ca offers none",
        "the ca offered none",
        "no key identifier",
        "expired",
        "held",
        "another ca now",
        "its successor is ordered",
    ],
)
def test_nobody_is_asked_in_vain(
    record: CertificateRecord, told: Context, now: datetime
) -> None:
    """Never after the end, never once it is being replaced (section 4.3)."""
    assert reconcile(record, told, moment(now)).renewal_info is None


def test_a_question_that_became_pointless_is_dropped() -> None:
    """Not while it is on its way."""
    waiting = reconcile(known(), CONTEXT, moment())
    held = replace(waiting, held=True)
    assert reconcile(held, CONTEXT, moment()).renewal_info is None
    running = begin(held, SLOT, AskRenewalInfo.name)
    assert reconcile(running, CONTEXT, moment()) == running


def test_the_pick_is_drawn_once_for_a_window() -> None:
    """The same window again keeps it, another one draws anew."""
    first = answered(TOLD, draw=0.25)
    assert first.renewal is not None
    assert first.renewal.pick == START + 12 * HOUR
    later = NOW + 7 * HOUR
    again = reconcile(first, CONTEXT, moment(later))
    assert again.renewal_info is not None
    same = answered(TOLD, again, later, draw=0.75)
    assert same.renewal is not None
    assert same.renewal.pick == first.renewal.pick
    moved = answered(replace_window(TOLD, END + DAY), again, later, draw=0.75)
    assert moved.renewal is not None
    assert moved.renewal.pick == START + 0.75 * 3 * DAY


def replace_window(told: Informed, end: datetime) -> Informed:
    """Return an answer with another end."""
    return Informed(start=told.start, end=end, retry_at=told.retry_at)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (None, 6 * HOUR),
        (timedelta(0), timedelta(minutes=1)),
        (timedelta(seconds=59), timedelta(minutes=1)),
        (6 * HOUR, 6 * HOUR),
        (DAY, DAY),
        (400 * DAY, DAY),
    ],
)
def test_retry_after_is_clamped(asked: timedelta | None, waits: timedelta) -> None:
    """Between a minute and a day (section 4.3.2); six hours without one."""
    assert ask_again(None if asked is None else NOW + asked, NOW) == NOW + waits


def test_the_next_question_is_a_reason_to_wake_up() -> None:
    """And is begun then, not before."""
    record = answered(TOLD)
    at = NOW + 6 * HOUR
    assert next_change(record, CONTEXT, NOW) == at
    early = reconcile(record, CONTEXT, moment(at - timedelta(seconds=1)))
    assert early.renewal_info is None
    assert reconcile(record, CONTEXT, moment(at)).renewal_info is not None


def test_the_pick_is_when_it_is_renewed() -> None:
    """`status` and `plan` say which rule decided; then the order begins."""
    record = answered(TOLD)
    planned = due(record, None)
    assert planned is not None
    assert (planned.at, planned.rule) == (NOW + 2 * DAY, Rule.SUGGESTED)
    view = certificate_view(record, CONTEXT, NOW)
    assert (view.renew_at, view.rule) == (NOW + 2 * DAY, Rule.SUGGESTED)
    assert (view.plan.at, view.plan.rule) == (NOW + 2 * DAY, Rule.SUGGESTED)
    assert view.suggestion is not None
    assert (view.suggestion.start, view.suggestion.end) == (START, END)
    begun = reconcile(record, CONTEXT, moment(NOW + 2 * DAY))
    assert begun.issue is not None
    assert "renewal-information" in begun.issue.reason


def test_the_information_of_another_certificate_says_nothing() -> None:
    """It is remembered with the name of the certificate that it is about."""
    record = replace(known(), renewal=RenewalRecord(certid="a.b", pick=NOW))
    assert record.suggestion is None
    planned = due(record, None)
    assert planned is not None
    assert planned.rule == Rule.TWO_THIRDS


def test_an_answer_for_a_certificate_that_was_replaced_is_dropped() -> None:
    """The newer one is asked about next."""
    newer = known(enrolled(2), certid="newer.AQ")
    record = replace(newer, renewal_info=asking().renewal_info)
    after = answered(TOLD, record)
    assert (after.renewal, after.renewal_info) == (None, None)
    assert reconcile(after, CONTEXT, moment()).renewal_info is not None


@pytest.mark.parametrize(
    ("failed", "waits"),
    [
        (failure("transport"), [1, 10, 20, 40, 360, 360]),
        (failure("acme:serverInternal"), [1, 10, 20, 40, 360, 360]),
        (failure("acme:about:blank"), [1, 10, 20, 40, 360]),
        (failure("acme.protocol"), [360, 360]),
        (failure("acme.renewal-info"), [360]),
        (failure("acme.not-found"), [360]),
        (failure("acme:malformed", Disposition.NEEDS_OPERATOR), [360]),
        (failure("acme:about:blank", Disposition.NEEDS_OPERATOR), [360]),
    ],
    ids=lambda value: value.kind if isinstance(value, Failure) else "",
)
def test_passing_errors_are_backed_off_from_and_lasting_ones_wait(
    failed: Failure, waits: list[int]
) -> None:
    """A few tries, then six hours as after a lasting error (section 4.3.3)."""
    record, now = asking(), NOW
    for minutes in waits:
        record = answered(Failed(replace(failed, at=now)), record, now)
        step = next_step(record, SLOT, CONTEXT, now)
        assert isinstance(step, Wait)
        assert step.until == now + timedelta(minutes=minutes)
        assert step.reason
        assert record.renewal is not None
        assert record.renewal.ask_at == step.until
        now = step.until
        record = begin(record, SLOT, AskRenewalInfo.name)


def test_a_limit_of_the_ca_is_kept_and_bounded() -> None:
    """Its Retry-After is never undercut, nor obeyed for more than a day."""
    for asked, waits in ((12 * HOUR, 12 * HOUR), (90 * DAY, DAY)):
        limited = failure(
            "acme:rateLimited", Disposition.WAIT_UNTIL, retry_at=NOW + asked
        )
        record = answered(Failed(limited))
        assert record.renewal_info is not None
        assert record.renewal_info.not_before == NOW + waits


def test_nobody_is_called_because_the_ca_does_not_answer() -> None:
    """Our own rules renew: a warning after three failures, never more."""
    record, now = asking(), NOW
    for _ in range(3):
        lost = failure("acme:malformed", Disposition.NEEDS_OPERATOR, at=now)
        record = answered(Failed(lost), record, now)
        now += 7 * HOUR
    alarmed = reconcile(record, CONTEXT, moment(now))
    assert alarmed.alarms["renewal-info-failing"].severity == "warning"
    planned = due(alarmed, None)
    assert planned is not None
    assert planned.rule == Rule.TWO_THIRDS


def test_a_window_that_was_told_holds_while_the_ca_does_not_answer() -> None:
    """What is remembered is not thrown away by a failure."""
    record = reconcile(answered(TOLD), CONTEXT, moment(NOW + 7 * HOUR))
    lost = answered(Failed(failure()), record, NOW + 7 * HOUR)
    assert lost.renewal is not None
    assert lost.renewal.pick == NOW + 2 * DAY


def test_a_crash_in_a_question_asks_it_again() -> None:
    """It is harmless; three of them quarantine it as any other job."""
    record = found_running(asking())
    assert next_step(record, SLOT, CONTEXT, NOW) == Do(AskRenewalInfo(CERTID))
    for _ in range(2):
        record = found_running(begin(record, SLOT, AskRenewalInfo.name))
    step = next_step(record, SLOT, CONTEXT, NOW)
    assert isinstance(step, Wait)
    assert "quarantined" in step.reason


def test_a_window_is_told_once_with_its_explanation() -> None:
    """The questions themselves are no news."""
    before = asking()
    url = "https://ca.example/incident"
    after = answered(Informed(start=START, end=END, explanation=url))
    (event,) = list(narrate(before, after))
    assert event.kind == "renewal-info.window"
    assert url in event.text
    assert event.fields == {"explanation": url}
    assert list(narrate(known(), before)) == []
    asked = reconcile(after, CONTEXT, moment(NOW + 7 * HOUR))
    told = Informed(start=START, end=END, explanation=url)
    assert list(narrate(asked, answered(told, asked, NOW + 7 * HOUR))) == []


def test_an_issue_forgets_what_was_told_of_the_last_one() -> None:
    """What the CA suggested was for the certificate that is replaced."""
    view = certificate_view(known(), CONTEXT, NOW)
    assert view.suggestion is None
