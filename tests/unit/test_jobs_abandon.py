"""What orders that were given up leave behind is deactivated, and nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.acme.identifiers import Identifier
from agent.acme.messages import Authorization
from agent.jobs.abandon import Deactivate, comes_first
from agent.jobs.certificate import fold, next_step
from agent.jobs.context import Context
from agent.jobs.issue import effects
from agent.jobs.lifecycle import begin, found_running
from agent.jobs.reconcile import reconcile
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.abandonment import Abandoned, AbandonJob
from agent.records.certificate import CertificateRecord
from agent.records.codec import decode, encode
from agent.records.job import Disposition, Failure
from agent.records.others import RollJob
from agent.records.phases import IssuePhase, KeyMade, Probing
from agent.records.slots import Slot
from agent.views import certificate_view
from tests.vectors.records import (
    ACCOUNT,
    DIRECTORY,
    NAME,
    NOW,
    ORDER,
    PHASES,
    answering,
    authorization,
    certificate_table,
    context,
    enrolled,
    failure,
    issue_job,
    key_id,
    moment,
    order,
)

CONTEXT = context()
ABANDON, ISSUE = Slot("abandon"), Slot("issue")
ONE, TWO = (f"https://ca.example/authz/{n}" for n in (1, 2))
INVALID = Failed(failure("acme.order-invalid"))


def ordering(phase: IssuePhase, told: Context = CONTEXT) -> CertificateRecord:
    """Return a first certificate whose order has come to a phase."""
    return replace(
        enrolled(),
        publications=(),
        publication_count=0,
        endpoints={},
        issue=issue_job(phase),
        wanted=told.wanted,
    )


def left(*urls: str, **changes: Any) -> CertificateRecord:
    """Return a certificate with authorizations that were left behind."""
    phase: dict[str, Any] = {
        "ca": "operator",
        "directory": DIRECTORY,
        "account": ACCOUNT.url,
        "authorizations": urls,
        **changes,
    }
    job = AbandonJob(id="left", phase=Abandoned(**phase), reason="over", created=NOW)
    return replace(ordering(KeyMade(key=key_id(1))), abandon=job)


def kept(record: CertificateRecord) -> tuple[str, ...]:
    """Return what is to be deactivated."""
    return () if record.abandon is None else record.abandon.phase.authorizations


def seen(status: str, challenge: str = "pending") -> effects.AuthorizationSeen:
    """Return an authorization as the CA shows it."""
    shown = Authorization(identifier=Identifier(type="dns", value=NAME), status=status)
    return effects.AuthorizationSeen(shown, "", "", challenge)


@pytest.mark.parametrize(
    ("status", "challenge", "urls"),
    [("invalid", "invalid", (TWO,)), ("pending", "invalid", (ONE, TWO))],
)
def test_what_is_pending_when_a_name_fails_is_remembered(
    status: str, challenge: str, urls: tuple[str, ...]
) -> None:
    """Not the one that has ended, and in the same write that gives the order up."""
    record = ordering(answering(authorization(1, answered=True), authorization(2)))
    effect = effects.FetchAuthorization(authorization(1, answered=True))
    outcome = seen(status, challenge)
    after = fold(record, ISSUE, effect, outcome, CONTEXT, moment())
    assert after.issue is not None
    assert after.issue.phase == KeyMade(key=key_id(1))
    assert kept(after) == urls


def test_what_is_valid_is_left_to_the_next_order() -> None:
    """It may be reused."""
    record = ordering(answering(authorization(1, valid=True), authorization(2)))
    effect = effects.FetchAuthorization(authorization(2))
    lost = Failed(failure("acme.order-mismatch", Disposition.NEEDS_OPERATOR))
    assert kept(fold(record, ISSUE, effect, lost, CONTEXT, moment())) == (TWO,)


@pytest.mark.parametrize("phase", ["key-made", "finalizing", "processing"])
def test_without_pending_ones_there_is_nothing_to_do(phase: str) -> None:
    """No order yet, or one whose names are all proven."""
    record = ordering(PHASES[phase])
    effect = effects.FetchOrder(ORDER)
    after = fold(record, ISSUE, effect, INVALID, CONTEXT, moment())
    assert after.abandon is None


def test_an_order_that_is_refused_when_it_is_seen_leaves_its_own() -> None:
    """It lacks the profile that is required."""
    told = context(certificate_table(profile="short"))
    record = ordering(KeyMade(key=key_id(1)), told)
    outcome = effects.OrderSeen(ORDER.url, order("pending"))
    effect = effects.CreateOrder(key_id(1))
    after = fold(record, ISSUE, effect, outcome, told, moment())
    assert kept(after) == ORDER.authorizations


def test_a_changed_configuration_gives_the_order_up() -> None:
    """The job is begun anew, and what it left is not lost."""
    record = ordering(answering(authorization(1), authorization(2, valid=True)))
    other = context(certificate_table(names=("other.example",)))
    after = reconcile(record, other, moment())
    assert after.issue is not None
    assert after.issue.id != "job"
    assert kept(after) == (ONE,)


def test_they_are_deactivated_one_after_the_other() -> None:
    """Also after a restart; the job ends with the last one."""
    record = left(ONE, TWO)
    for url in (ONE, TWO):
        step = next_step(record, ABANDON, CONTEXT, NOW)
        assert step == Do(Deactivate(url))
        running = begin(record, ABANDON, Deactivate.name)
        record = found_running(decode(encode(running), CertificateRecord))
        assert next_step(record, ABANDON, CONTEXT, NOW) == Do(Deactivate(url))
        effect = Deactivate(url)
        record = fold(record, ABANDON, effect, Performed(), CONTEXT, moment())
    assert record.abandon is None


def test_more_are_added_to_those_that_are_left() -> None:
    """Once each, and no more than a bound; those of another account are let go."""
    both = answering(authorization(1), authorization(2))
    record = replace(left(ONE), issue=issue_job(both))
    effect = effects.FetchAuthorization(authorization(2, answered=True))
    after = fold(record, ISSUE, effect, INVALID, CONTEXT, moment())
    assert kept(after) == (ONE, TWO)
    many = left(*(f"{ONE}/{n}" for n in range(100)))
    full = replace(many, issue=record.issue)
    assert len(kept(fold(full, ISSUE, effect, INVALID, CONTEXT, moment()))) == 100
    stranger = left(ONE, account="https://ca.example/account/2")
    foreign = replace(stranger, issue=record.issue)
    assert kept(fold(foreign, ISSUE, effect, INVALID, CONTEXT, moment())) == (ONE,)


def test_what_the_order_under_way_needs_is_spared() -> None:
    """CAs list pending authorizations again."""
    record = replace(left(*ORDER.authorizations, "https://ca.example/authz/3"))
    record = replace(record, issue=issue_job(answering(authorization(1))))
    step = next_step(record, ABANDON, CONTEXT, NOW)
    assert step == Do(Deactivate("https://ca.example/authz/3"))
    needed = replace(left(*ORDER.authorizations), issue=record.issue)
    assert isinstance(next_step(needed, ABANDON, CONTEXT, NOW), Wait)


def test_a_new_order_waits_until_the_first_try_is_over() -> None:
    """Deactivated after it was listed again, it would spoil that order."""
    record = left(ONE)
    assert isinstance(next_step(record, ISSUE, CONTEXT, NOW), Wait)
    effect = Deactivate(ONE)
    failed = fold(record, ABANDON, effect, Failed(failure()), CONTEXT, moment())
    assert isinstance(next_step(failed, ISSUE, CONTEXT, NOW), Do)
    done = fold(record, ABANDON, effect, Performed(), CONTEXT, moment())
    assert isinstance(next_step(done, ISSUE, CONTEXT, NOW), Do)


@pytest.mark.parametrize(
    ("failed", "tries"),
    [
        (failure("transport"), 3),
        (failure("acme:serverInternal"), 3),
        (failure("acme:rateLimited"), 3),
        (failure("acme.not-found"), 1),
        (failure("acme:malformed", Disposition.NEEDS_OPERATOR), 1),
        (failure("acme:unauthorized", Disposition.NEEDS_OPERATOR), 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Failure) else "",
)
def test_it_is_best_effort(failed: Failure, tries: int) -> None:
    """A few tries with back-off, then the next; nobody is called."""
    record, now = left(ONE, TWO), NOW
    for count in range(tries):
        assert kept(record) == (ONE, TWO)
        step = next_step(record, ABANDON, CONTEXT, now)
        if count:
            assert isinstance(step, Wait)
            assert step.until is not None
            now = step.until
        at = replace(failed, at=now)
        effect = Deactivate(ONE)
        record = fold(record, ABANDON, effect, Failed(at), CONTEXT, moment(now))
        assert reconcile(record, CONTEXT, moment(now)).alarms == {}
    assert kept(record) == (TWO,)
    assert record.abandon is not None
    assert record.abandon.failure is None
    assert next_step(record, ABANDON, CONTEXT, now) == Do(Deactivate(TWO))


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "https://ca.example/account/2"},
        {"directory": "https://other.example/directory"},
    ],
)
def test_what_nobody_can_sign_for_is_dropped(changes: dict[str, str]) -> None:
    """The account is gone; the authorizations expire by themselves."""
    assert reconcile(left(ONE, **changes), CONTEXT, moment()).abandon is None


def test_an_older_account_that_is_still_known_signs() -> None:
    """The configuration may name another one meanwhile."""
    older = replace(ACCOUNT, name="older", url="https://ca.example/account/2")
    told = Context(
        config=CONTEXT.config,
        ca="operator",
        directory=DIRECTORY,
        install=CONTEXT.install,
        account=ACCOUNT,
        accounts={"older": older},
    )
    record = reconcile(left(ONE, account=older.url), told, moment())
    assert kept(record) == (ONE,)


def test_an_account_that_was_given_up_signs_nothing() -> None:
    """The CA would refuse it for good; nobody waits for it."""
    closed = replace(ACCOUNT, closed="deactivated", closed_at=NOW)
    told = context(account=closed)
    assert reconcile(left(ONE), told, moment()).abandon is None
    assert not comes_first(left(ONE), told)
    assert comes_first(left(ONE), CONTEXT)


def test_it_waits_while_nobody_knows_the_key_of_the_account() -> None:
    """Meanwhile nothing is signed in its name."""
    phase = Probing(key=key_id(98))
    job = RollJob(id="r", phase=phase, reason="old", created=NOW)
    told = context(account=replace(ACCOUNT, roll=job))
    step = next_step(left(ONE), ABANDON, told, NOW)
    assert step == Wait(
        until=None, reason="the key of the account operator is being replaced"
    )


def test_an_emergency_does_not_wait() -> None:
    """What is about to end is ordered at once."""
    last = replace(left(ONE), publications=enrolled().publications)
    last = replace(last, publication_count=1)
    assert isinstance(next_step(last, ISSUE, CONTEXT, NOW), Wait)
    assert last.current is not None
    late = last.current.not_after - timedelta(hours=1)
    assert isinstance(next_step(last, ISSUE, CONTEXT, late), Do)


def test_it_is_shown_as_a_job_and_not_as_what_comes_next() -> None:
    """`plan` speaks of the certificate."""
    view = certificate_view(left(ONE), CONTEXT, NOW + timedelta(seconds=1))
    slots = [job.slot for job in view.jobs]
    assert "abandon" in slots
    assert not view.plan.next.startswith("abandon")
