"""The loop that every job runs in: the intent is durable before the act."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from agent.errors import AgentError
from agent.jobs.step import Do, Failed, Wait
from agent.records.job import Disposition
from agent.runner import run
from agent.store import StoreError
from agent.transport import TransportError
from tests.fakes.clock import START, FakeClock


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do, by its name."""

    name: str


class BugError(Exception):
    """What nobody expected."""


class Plan:
    """A job with a list of effects, which writes down what happens to it.

    Attributes:
        todo: What is still to be done, then it waits.
        diary: What happened, in order.
        failing: What performing an effect raises.
        full: Steps after which the disk is full: `begin` or `fold`.
        outcomes: What was folded.
    """

    def __init__(self, *todo: str) -> None:
        """Begin with these effects."""
        self.todo = [Effect(name) for name in todo]
        self.diary: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.full = ""
        self.outcomes: list[str | Failed] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.last: Wait | None = None

    def next(self, now: datetime) -> Do[Effect] | Wait | None:
        """Return the next effect, then the last word."""
        assert now >= START
        return Do(self.todo[0]) if self.todo else self.last

    def begin(self, effect: Effect) -> None:
        """Write the intent down."""
        self._write("begin", effect)

    async def perform(self, effect: Effect) -> str:
        """Perform, fail or wait."""
        self.diary.append(f"perform {effect.name}")
        await self.gate.wait()
        if effect.name in self.failing:
            raise self.failing[effect.name]
        return f"{effect.name} done"

    def fold(self, effect: Effect, outcome: str | Failed) -> None:
        """Write down what came of it."""
        self._write("fold", effect)
        self.todo.pop(0)
        self.outcomes.append(outcome)

    def interrupt(self) -> None:
        """Write down that we were interrupted."""
        self.diary.append("interrupt")

    def _write(self, step: str, effect: Effect) -> None:
        if self.full == step:
            raise StoreError("no space left on device")
        self.diary.append(f"{step} {effect.name}")


@pytest.mark.parametrize(
    "last", [None, Wait(until=START + timedelta(days=1), reason="later")]
)
async def test_effects_run_one_after_the_other_until_the_job_waits(
    last: Wait | None,
) -> None:
    """Intent, act, outcome; the next effect is asked for after the outcome."""
    plan = Plan("a", "b")
    plan.last = last
    await run(plan, FakeClock())
    assert plan.diary == [
        *("begin a", "perform a", "fold a"),
        *("begin b", "perform b", "fold b"),
    ]
    assert plan.outcomes == ["a done", "b done"]


async def test_a_job_that_waits_does_nothing() -> None:
    """Asked again and again it costs nothing."""
    plan = Plan()
    await run(plan, FakeClock())
    assert plan.diary == []


async def test_a_failure_is_an_outcome() -> None:
    """Kind, words and instant are folded, and the loop goes on by the job's will."""
    plan = Plan("a", "b")
    plan.failing["a"] = TransportError("no answer from ca.example in time")
    await run(plan, FakeClock())
    failed, done = plan.outcomes
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "transport"
    assert failed.failure.message == "no answer from ca.example in time"
    assert failed.failure.at == START
    assert failed.failure.disposition is Disposition.BACK_OFF
    assert done == "b done"


async def test_a_failure_keeps_what_the_peer_asked_for() -> None:
    """Retry-After and the hint are data of the error."""
    until = START + timedelta(hours=1)
    plan = Plan("a")
    plan.failing["a"] = TransportError("no", retry_at=until, hint="wait")
    await run(plan, FakeClock())
    [failed] = plan.outcomes
    assert isinstance(failed, Failed)
    assert (failed.failure.retry_at, failed.failure.hint) == (until, "wait")
    assert failed.failure.disposition is Disposition.WAIT_UNTIL


@pytest.mark.parametrize(
    "bug", [BugError(), KeyError("x"), OSError(5, "io"), AssertionError()]
)
async def test_a_bug_leaves_the_job_running(bug: Exception) -> None:
    """It is no outcome and no interruption: the next start counts a crash."""
    plan = Plan("a", "b")
    plan.failing["a"] = bug
    with pytest.raises(type(bug)):
        await run(plan, FakeClock())
    assert plan.diary == ["begin a", "perform a"]


async def test_a_cancelled_effect_is_an_interruption() -> None:
    """A shutdown is no crash; nothing is folded."""
    plan = Plan("a", "b")
    plan.gate.clear()
    task = asyncio.create_task(run(plan, FakeClock()))
    while "perform a" not in plan.diary:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert plan.diary == ["begin a", "perform a", "interrupt"]


async def test_what_cannot_be_written_down_is_not_done() -> None:
    """The intent could not be made durable: the act does not happen."""
    plan = Plan("a")
    plan.full = "begin"
    with pytest.raises(StoreError):
        await run(plan, FakeClock())
    assert plan.diary == []


async def test_an_outcome_that_cannot_be_written_down_ends_the_loop() -> None:
    """The next call resumes from the intent, as after a crash."""
    plan = Plan("a", "b")
    plan.full = "fold"
    with pytest.raises(StoreError):
        await run(plan, FakeClock())
    assert plan.diary == ["begin a", "perform a"]


async def test_an_error_without_a_kind_of_its_own_is_the_operators() -> None:
    """What the table does not know is never retried blindly."""
    plan = Plan("a")
    plan.failing["a"] = AgentError("what is this")
    await run(plan, FakeClock())
    [failed] = plan.outcomes
    assert isinstance(failed, Failed)
    assert failed.failure.disposition is Disposition.NEEDS_OPERATOR
