"""The loop that every durable job runs in; resumption is a call of the same loop.

    next -> intent durable -> perform -> fold -> durable -> next ...

It knows neither kinds nor effects: a `Work` says what comes next and what follows.
"""

import asyncio
from datetime import datetime
from typing import Protocol, TypeVar

from agent.clock import Clock
from agent.errors import AgentError
from agent.jobs.step import Do, Failed, Wait
from agent.renewal.disposition import failure_of

E = TypeVar("E", bound="Named")
O = TypeVar("O")  # noqa: E741 -- an outcome


class Named(Protocol):
    """An effect has a name, which is the intent that becomes durable."""

    @property
    def name(self) -> str:
        """Return the name of the effect."""
        ...


class Work(Protocol[E, O]):
    """One job of one subject, bound to its record and to who performs its effects."""

    def next(self, now: datetime) -> Do[E] | Wait | None:
        """Return the next step; None where the job is over."""
        ...

    def begin(self, effect: E) -> None:
        """Make the intent durable."""
        ...

    async def perform(self, effect: E) -> O:
        """Perform an effect and return its outcome."""
        ...

    def fold(self, effect: E, outcome: O | Failed) -> None:
        """Write down durably what came of it."""
        ...

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        ...


async def run(work: Work[E, O], clock: Clock) -> None:
    """Run one job until it waits or is over.

    A bug (anything but an `AgentError`) ends the process with the job marked as
    running: after three such ends the job is quarantined and the others go on.

    Raises:
        StoreError: A step could not be made durable; the next call resumes it as after
            a crash.
    """
    while isinstance(step := work.next(clock.now()), Do):
        effect = step.effect
        work.begin(effect)
        outcome: O | Failed
        try:
            outcome = await work.perform(effect)
        except AgentError as error:
            outcome = Failed(failure_of(error, clock.now()))
        except asyncio.CancelledError:
            work.interrupt()
            raise
        work.fold(effect, outcome)
