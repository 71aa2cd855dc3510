"""What becomes of an order after each answer, and after none."""

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from agent.acme.problem import Problem
from agent.jobs.issue import effects
from agent.jobs.issue.fold import MAX_POLLS, POLLS_BEFORE_AGAIN, fold
from agent.jobs.issue.steps import next_step
from agent.jobs.step import Do, Wait
from agent.records.phases import (
    Answering,
    Downloading,
    Finalizing,
    KeyMade,
    Processing,
)
from tests.vectors.answers import (
    ASKED,
    EFFECTS,
    KEY,
    MINUTE,
    SECOND,
    STATUSES,
    VIEW,
    after,
    seen,
    shown,
)
from tests.vectors.records import (
    NAME,
    NOW,
    ORDER,
    PHASES,
    answering,
    authorization,
    checked,
    issue_job,
    moment,
)


@pytest.mark.parametrize(
    ("phase", "effect", "status", "expected"),
    [
        ("key-made", "create-order", "pending", Answering),
        ("key-made", "create-order", "ready", Finalizing),
        ("key-made", "create-order", "valid", Downloading),
        ("key-made", "create-order", "processing", Processing),
        ("key-made", "create-order", "invalid", KeyMade),
        ("key-made", "find-order", "pending", Answering),
        ("key-made", "find-order", "ready", Finalizing),
        ("key-made", "find-order", "processing", Processing),
        ("answering-nothing", "fetch-order", "pending", Answering),
        ("answering-nothing", "fetch-order", "ready", Finalizing),
        ("answering-nothing", "fetch-order", "new-state", Answering),
        ("finalizing", "finalize", "processing", Processing),
        ("finalizing", "finalize", "valid", Downloading),
        ("finalizing", "finalize", "ready", Finalizing),
        ("finalizing", "finalize", "pending", Processing),
        ("finalizing", "finalize", "invalid", KeyMade),
        ("finalizing", "fetch-order", "ready", Finalizing),
        ("processing", "fetch-order", "processing", Processing),
        ("processing", "fetch-order", "pending", Processing),
        ("processing", "fetch-order", "ready", Finalizing),
        ("processing", "fetch-order", "valid", Downloading),
        ("processing", "fetch-order", "canceled", Processing),
        ("processing", "fetch-order", "invalid", KeyMade),
    ],
)
def test_an_order_is_continued_by_its_status(
    phase: str, effect: str, status: str, expected: type
) -> None:
    """The next phase keeps the key, and the order where there still is one."""
    job = after(PHASES[phase], effect, seen(status))
    assert type(job.phase) is expected
    assert job.phase.key == KEY
    assert (job.intent, job.running) == ("", False)


OUTCOMES: list[effects.Outcome] = [
    *(seen(status) for status in STATUSES),
    *(seen(status, certificate=None) for status in STATUSES),
    *(
        shown(status, challenge)
        for status in STATUSES
        for challenge in ("", "pending", "invalid", "new-state")
    ),
    effects.Answered(),
    effects.OrderNotFound(),
    effects.KeyExists(b"spki", "serial"),
    effects.Downloaded(checked(1)),
]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("effect", EFFECTS)
def test_no_answer_is_unexpected(phase: str, effect: str) -> None:
    """Every phase with every answer goes on, waits, or begins anew; none raises."""
    for outcome in OUTCOMES:
        job = after(PHASES[phase], effect, outcome)
        assert job.phase.key == KEY
        assert not job.running
        assert isinstance(next_step(job, VIEW, NOW), Do | Wait)


def test_a_new_order_has_its_authorizations_to_do() -> None:
    """Their URLs are remembered, and nothing else is known of them."""
    job = after(PHASES["key-made"], "create-order", seen("pending"))
    assert isinstance(job.phase, Answering)
    assert job.phase.order == ORDER
    assert [a.url for a in job.phase.authorizations] == list(ORDER.authorizations)
    assert not any(a.challenge or a.answered for a in job.phase.authorizations)


def test_a_valid_order_without_a_certificate_is_asked_again() -> None:
    """The URL of the certificate is what ends the wait."""
    job = after(PHASES["processing"], "fetch-order", seen("valid", certificate=None))
    assert isinstance(job.phase, Processing)
    assert job.not_before == NOW + SECOND


def test_an_invalid_order_says_why() -> None:
    """The problem of the order is the message of the failure."""
    error = Problem(type="urn:ietf:params:acme:error:caa", detail="forbidden")
    job = after(PHASES["processing"], "fetch-order", seen("invalid", error=error))
    assert job.failure is not None
    assert job.failure.kind == "acme.order-invalid"
    assert job.failure.message == "the ca gave the order up: caa: forbidden"
    bare = after(PHASES["processing"], "fetch-order", seen("invalid"))
    assert bare.failure is not None
    assert bare.failure.message.endswith("no reason given")


def test_polls_are_spaced_and_end() -> None:
    """1, 2, 4 seconds; as the CA asks; and never after the order has expired."""
    job = issue_job(PHASES["processing"])
    for wait in (1, 2, 4, 8):
        job = fold(job, EFFECTS["fetch-order"], seen("processing"), VIEW, moment())
        assert job.not_before == NOW + wait * SECOND
    asked = replace_retry(seen("processing"), NOW + 7 * SECOND)
    assert after(PHASES["processing"], "fetch-order", asked).not_before == (
        NOW + 7 * SECOND
    )
    for phase, effect in (
        ("processing", "fetch-order"),
        ("answering-nothing", "fetch-order"),
        ("finalizing", "finalize"),
    ):
        status = "ready" if effect == "finalize" else "processing"
        gone = replace(ORDER, expires=NOW)
        old = replace(PHASES[phase], order=gone)
        late = after(old, effect, seen(status, expires=NOW))
        assert late.failure is not None
        assert late.failure.kind == "acme.order-expired"
        assert isinstance(late.phase, KeyMade)


def replace_retry(outcome: effects.OrderSeen, at: datetime) -> effects.OrderSeen:
    """Return an outcome with a Retry-After."""
    return effects.OrderSeen(outcome.url, outcome.order, at)


def test_an_order_without_an_expiry_ends_as_well() -> None:
    """After a little more than a day of polls it is given up."""
    endless = seen("processing", expires=None)
    job = after(PHASES["processing"], "fetch-order", endless, polls=MAX_POLLS)
    assert job.failure is not None
    assert job.failure.message == f"the ca came to no end in {MAX_POLLS} polls"
    fresh = after(PHASES["finalizing"], "finalize", endless, polls=MAX_POLLS)
    assert isinstance(fresh.phase, Processing)
    assert fresh.polls == 1


def test_a_request_that_moves_nothing_is_not_repeated_at_once() -> None:
    """A CA that answers finalize with `ready` is finalized again, ever later."""
    job = issue_job(PHASES["finalizing"])
    for wait in (1, 2, 4):
        job = fold(job, EFFECTS["finalize"], seen("ready"), VIEW, moment())
        assert job.not_before == NOW + wait * SECOND
        step = next_step(job, VIEW, NOW + wait * SECOND)
        assert isinstance(step, Do)
        assert step.effect.name == "finalize"


@pytest.mark.parametrize(
    ("before", "status", "challenge", "answered", "valid"),
    [
        (authorization(asked=False), "pending", "pending", False, False),
        (authorization(asked=False), "pending", "processing", True, False),
        (authorization(asked=False), "pending", "valid", True, False),
        (ASKED, "pending", "pending", False, False),
        (ASKED, "pending", "processing", True, False),
        (ASKED, "valid", "valid", False, True),
        (authorization(answered=True), "valid", "valid", True, True),
    ],
)
def test_an_authorization_is_remembered(
    before: Any, status: str, challenge: str, answered: bool, valid: bool
) -> None:
    """A challenge that the CA has begun with counts as answered."""
    other = authorization(2)
    job = issue_job(answering(before, other))
    effect = effects.FetchAuthorization(before)
    job = fold(job, effect, shown(status, challenge), VIEW, moment())
    assert isinstance(job.phase, Answering)
    first, second = job.phase.authorizations
    assert second == other
    assert (first.identifier, first.answered, first.valid) == (NAME, answered, valid)
    assert job.not_before is None


def test_an_answered_authorization_is_polled() -> None:
    """Pending or unknown, it is asked again later, as the CA wants."""
    waiting = answering(authorization(answered=True))
    effect = effects.FetchAuthorization(authorization(answered=True))
    for status, retry_at, wait in (
        ("pending", None, SECOND),
        ("new-state", None, SECOND),
        ("pending", NOW + MINUTE, MINUTE),
    ):
        outcome = shown(status, "processing", retry_at)
        job = fold(issue_job(waiting), effect, outcome, VIEW, moment())
        assert job.not_before == NOW + wait
        assert job.phase == waiting


@pytest.mark.parametrize(
    ("status", "challenge", "reason"),
    [
        ("invalid", "invalid", "(invalid): dns: no such name"),
        ("expired", "pending", "(expired): no reason given"),
        ("deactivated", "pending", "(deactivated): no reason given"),
        ("revoked", "pending", "(revoked): no reason given"),
        ("pending", "invalid", "(pending): dns: no such name"),
    ],
)
def test_a_refused_name_ends_the_order(
    status: str, challenge: str, reason: str
) -> None:
    """Also where only our challenge is over and others stay open for ever."""
    phase = PHASES["answering-answered"]
    job = after(phase, "fetch-authorization", shown(status, challenge))
    assert isinstance(job.phase, KeyMade)
    assert job.failure is not None
    assert job.failure.message == f"the ca did not validate {NAME} {reason}"
    assert job.failures == 1


def test_the_last_valid_name_makes_the_order_ready() -> None:
    """Finalize follows at once: an extra look at the order is no use."""
    only = effects.FetchAuthorization(ASKED)
    job = fold(issue_job(answering(ASKED)), only, shown("valid"), VIEW, moment())
    assert job.phase == Finalizing(key=KEY, order=ORDER)


def test_an_answer_is_followed_by_a_wait_when_all_are_answered() -> None:
    """The first answer goes on to the second; the last one waits as asked."""
    phase = answering(ASKED, authorization(2))
    first = fold(
        issue_job(phase), effects.Answer(ASKED), effects.Answered(), VIEW, moment()
    )
    assert first.not_before is None
    for retry_at, wait in ((None, SECOND), (NOW + MINUTE, MINUTE)):
        last = effects.Answer(authorization(2))
        job = fold(first, last, effects.Answered(retry_at), VIEW, moment())
        assert job.not_before == NOW + wait
        assert job.polls == 1


@pytest.mark.parametrize(
    ("polls", "challenge", "then"),
    [
        (POLLS_BEFORE_AGAIN - 1, "pending", "fetch-authorization"),
        (POLLS_BEFORE_AGAIN, "pending", "answer"),
        (POLLS_BEFORE_AGAIN, "processing", "fetch-authorization"),
        (2 * POLLS_BEFORE_AGAIN, "pending", "answer"),
    ],
)
def test_a_challenge_that_stays_unheard_is_answered_again(
    polls: int, challenge: str, then: str
) -> None:
    """Not soon, since some CAs show it so while they validate; the polls go on."""
    waiting = answering(authorization(answered=True))
    effect = effects.FetchAuthorization(authorization(answered=True))
    before = issue_job(waiting, polls=polls)
    job = fold(before, effect, shown("pending", challenge), VIEW, moment())
    step = next_step(job, VIEW, job.not_before or NOW)
    assert isinstance(step, Do)
    assert step.effect.name == then
    assert job.polls == polls + 1
    if then == "answer":
        answered = fold(job, step.effect, effects.Answered(), VIEW, moment())
        assert answered.polls == polls + 2
        assert answered.not_before == NOW + SECOND
