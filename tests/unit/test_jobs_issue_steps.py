"""What comes next in an order: for every phase, every intent and every state."""

from datetime import timedelta

import pytest

from agent.jobs.issue import effects
from agent.jobs.issue.steps import next_step
from agent.jobs.step import Do, Wait
from agent.records.job import Disposition
from tests.vectors.records import (
    AUTHORIZATIONS,
    NOW,
    PHASES,
    answering,
    authorization,
    failure,
    issue_job,
)

VIEW = effects.View(
    account_ready=True, account_reason="not registered", in_service_until=None
)
UNREADY = effects.View(
    account_ready=False,
    account_reason="not registered",
    account_at=NOW + timedelta(minutes=5),
    in_service_until=None,
)
INTENTS = [
    "",
    "make-key",
    "create-order",
    "find-order",
    "fetch-authorization",
    "answer",
    "finalize",
    "fetch-order",
    "download",
    "of-a-later-version",
]
EXPECTED: dict[tuple[str, str], str] = {
    ("key-chosen", ""): "make-key",
    ("key-chosen", "make-key"): "make-key",
    ("key-made", ""): "create-order",
    ("key-made", "create-order"): "find-order",
    ("key-made", "find-order"): "find-order",
    ("answering-nothing", ""): "fetch-order",
    ("answering-unasked", ""): "fetch-authorization",
    ("answering-asked", ""): "answer",
    ("answering-asked", "answer"): "fetch-authorization",
    ("answering-asked", "fetch-authorization"): "fetch-authorization",
    ("answering-answered", ""): "fetch-authorization",
    ("answering-answered", "answer"): "fetch-authorization",
    ("answering-valid", ""): "fetch-order",
    ("finalizing", ""): "finalize",
    ("finalizing", "finalize"): "fetch-order",
    ("finalizing", "fetch-order"): "fetch-order",
    ("processing", ""): "fetch-order",
    ("downloading", ""): "download",
    ("downloading", "download"): "download",
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("intent", INTENTS)
def test_there_is_always_one_thing_to_do(phase: str, intent: str) -> None:
    """Each phase with each intent, whether it makes sense or not, has an effect."""
    job = issue_job(PHASES[phase], intent=intent)
    step = next_step(job, VIEW, NOW)
    assert isinstance(step, Do)
    wanted = EXPECTED.get((phase, intent), EXPECTED[phase, ""])
    assert step.effect.name == wanted


@pytest.mark.parametrize("phase", PHASES)
def test_without_an_account_only_the_key_is_made(phase: str) -> None:
    """Everything else waits, until the account is tried again."""
    step = next_step(issue_job(PHASES[phase]), UNREADY, NOW)
    if phase == "key-chosen":
        assert isinstance(step, Do)
    else:
        assert step == Wait(until=UNREADY.account_at, reason="not registered")
    later = NOW + timedelta(hours=1)
    waiting = next_step(issue_job(PHASES["key-made"]), UNREADY, later)
    assert waiting == Wait(until=None, reason="not registered")


@pytest.mark.parametrize(
    ("phase", "failures", "failed", "reason"),
    [
        ("key-made", 2, True, "after 2 failed attempts: transport went wrong"),
        ("key-made", 0, True, "transport went wrong"),
        ("answering-answered", 0, False, "the ca validates"),
        ("processing", 0, False, "the ca issues"),
        ("finalizing", 0, False, "the ca asked for patience"),
    ],
)
def test_a_wait_has_its_reason(
    phase: str, failures: int, failed: bool, reason: str
) -> None:
    """A failure, or what the CA is doing; and it ends at its instant."""
    at = NOW + timedelta(seconds=1)
    last = failure(disposition=Disposition.WAIT_UNTIL) if failed else None
    job = issue_job(PHASES[phase], not_before=at, failures=failures, failure=last)
    assert next_step(job, VIEW, NOW) == Wait(until=at, reason=reason)
    assert isinstance(next_step(job, VIEW, at), Do)


def test_everything_is_answered_before_anything_is_polled() -> None:
    """The CA validates in parallel: fetch all, answer all, then poll the first open."""
    open_ = [AUTHORIZATIONS["valid"], authorization(2, asked=False), authorization(3)]
    for number, expected, then in (
        (2, "fetch-authorization", authorization(2)),
        (2, "answer", authorization(2, answered=True)),
        (3, "answer", authorization(3, answered=True)),
        (2, "fetch-authorization", authorization(2, answered=True, valid=True)),
        (3, "fetch-authorization", authorization(3, answered=True, valid=True)),
    ):
        step = next_step(issue_job(answering(*open_)), VIEW, NOW)
        assert isinstance(step, Do)
        assert step.effect.name == expected
        assert isinstance(step.effect, effects.Answer | effects.FetchAuthorization)
        assert step.effect.authorization.url == open_[number - 1].url
        open_[number - 1] = then
    step = next_step(issue_job(answering(*open_)), VIEW, NOW)
    assert isinstance(step, Do)
    assert step.effect.name == "fetch-order"
