"""What becomes of an order after a request that failed."""

import pytest
from msgspec.structs import replace

from agent.jobs.issue import effects
from agent.jobs.issue.fold import MAX_LOOKS, fold
from agent.jobs.issue.steps import next_step
from agent.jobs.step import Do, Wait
from agent.records.job import Disposition
from agent.records.phases import KeyChosen, KeyMade
from tests.vectors.answers import EFFECTS, KEY, MINUTE, VIEW, after, failed, shown
from tests.vectors.records import (
    NOW,
    PHASES,
    failure,
    issue_job,
    moment,
)


@pytest.mark.parametrize(
    ("phase", "effect", "kind", "then"),
    [
        ("key-chosen", "make-key", "token.absent", "make-key"),
        ("key-chosen", "make-key", "acme.protocol", "make-key"),
        ("key-made", "create-order", "transport", "find-order"),
        ("key-made", "create-order", "acme.protocol", "find-order"),
        ("key-made", "create-order", "acme:about:blank", "find-order"),
        ("key-made", "create-order", "acme:rateLimited", "create-order"),
        ("key-made", "create-order", "acme:badNonce", "create-order"),
        ("key-made", "create-order", "token.absent", "create-order"),
        ("key-made", "create-order", "acme:rejectedIdentifier", "create-order"),
        ("key-made", "find-order", "transport", "find-order"),
        ("key-made", "find-order", "token.absent", "find-order"),
        ("key-made", "find-order", "acme:serverInternal", "find-order"),
        ("key-made", "find-order", "acme:malformed", "create-order"),
        ("key-made", "find-order", "acme.not-found", "create-order"),
        ("answering-asked", "answer", "transport", "fetch-authorization"),
        ("answering-asked", "answer", "acme.protocol", "fetch-authorization"),
        ("answering-asked", "answer", "solver.self-check", "answer"),
        ("answering-asked", "answer", "acme:malformed", "fetch-authorization"),
        ("answering-asked", "answer", "acme:accountDoesNotExist", "create-order"),
        (
            "answering-answered",
            "fetch-authorization",
            "transport",
            "fetch-authorization",
        ),
        ("answering-answered", "fetch-authorization", "acme.not-found", "create-order"),
        ("finalizing", "finalize", "transport", "fetch-order"),
        ("finalizing", "finalize", "token.hung", "finalize"),
        ("finalizing", "finalize", "acme:badCSR", "finalize"),
        ("finalizing", "finalize", "acme:orderNotReady", "fetch-order"),
        ("finalizing", "finalize", "acme:unauthorized", "fetch-order"),
        ("processing", "fetch-order", "transport", "fetch-order"),
        ("processing", "fetch-order", "acme:unauthorized", "fetch-order"),
        ("processing", "fetch-order", "acme.not-found", "create-order"),
        ("downloading", "download", "transport", "download"),
        ("downloading", "download", "acme:serverInternal", "download"),
        ("downloading", "download", "acme:unauthorized", "download"),
        ("downloading", "download", "pki.chain", "create-order"),
    ],
)
def test_a_failure_keeps_what_can_be_continued(
    phase: str, effect: str, kind: str, then: str
) -> None:
    """What may have arrived is looked for; what is over begins with a new order."""
    job = after(PHASES[phase], effect, failed(kind))
    later = job.not_before or NOW
    step = next_step(job, VIEW, later)
    assert isinstance(step, Do)
    assert step.effect.name == then
    assert job.phase.key == KEY
    if kind != "acme:orderNotReady":
        assert job.failures == 1
        assert later > NOW


@pytest.mark.parametrize(
    ("phase", "effect"),
    [
        ("answering-asked", "answer"),
        ("answering-answered", "fetch-authorization"),
        ("finalizing", "finalize"),
        ("processing", "fetch-order"),
        ("downloading", "download"),
    ],
)
def test_a_refusal_is_met_by_one_more_look_and_no_further(
    phase: str, effect: str
) -> None:
    """Refused in the same way again, the order is given up; in another, looked at."""
    facts = {"failures": 1, "failure": failure("acme:unauthorized")}
    same = after(PHASES[phase], effect, failed("acme:unauthorized"), **facts)
    assert isinstance(same.phase, KeyMade)
    other = after(PHASES[phase], effect, failed("acme:malformed"), **facts)
    assert other.phase == PHASES[phase]


def test_a_key_that_was_never_made_stays_chosen() -> None:
    """Giving an order up does not pretend that there is a key."""
    job = after(PHASES["key-chosen"], "make-key", failed("acme:malformed"))
    assert job.phase == KeyChosen(key=KEY)


def test_an_unlisted_order_is_asked_for_anew() -> None:
    """After a wait that was kept already at once; after a crash with a wait first."""
    waited = after(PHASES["key-made"], "find-order", effects.OrderNotFound())
    step = next_step(waited, VIEW, NOW)
    assert isinstance(step, Do)
    assert step.effect.name == "create-order"
    facts = {"crashes": 1, "crashed_in": "create-order"}
    crashed = after(PHASES["key-made"], "find-order", effects.OrderNotFound(), **facts)
    assert isinstance(next_step(crashed, VIEW, NOW), Wait)
    assert crashed.failure is not None
    assert crashed.failure.kind == "acme.order-lost"
    assert crashed.crashes == 1


def test_a_ca_that_fails_to_list_orders_is_not_asked_for_ever() -> None:
    """Unless it asked for patience, which is kept, or failed in another way before."""
    often = {"failures": MAX_LOOKS, "failure": failure("acme.protocol")}
    for kind, then in (
        ("acme.protocol", "acme.order-lost"),
        ("acme:serverInternal", "acme:serverInternal"),
        ("acme:rateLimited", "acme:rateLimited"),
    ):
        job = after(PHASES["key-made"], "find-order", failed(kind), **often)
        assert job.failure is not None
        assert job.failure.kind == then
    patient = failed(
        "acme:rateLimited",
        retry_at=NOW + MINUTE,
        disposition=Disposition.WAIT_UNTIL,
    )
    job = after(PHASES["key-made"], "find-order", patient, **often)
    assert job.not_before is not None
    assert job.not_before >= NOW + MINUTE
    assert job.intent == "find-order"


def test_looking_first_does_not_hide_a_crash() -> None:
    """An effect that ends the process again and again is counted through its looks."""
    job = issue_job(
        PHASES["answering-asked"], crashes=2, crashed_in="answer", intent="answer"
    )
    job = fold(
        replace(job, intent="fetch-authorization"),
        EFFECTS["fetch-authorization"],
        shown("pending"),
        VIEW,
        moment(),
    )
    assert job.crashes == 2
    answered = fold(
        replace(job, intent="answer"),
        EFFECTS["answer"],
        effects.Answered(),
        VIEW,
        moment(),
    )
    assert answered.crashes == 0
