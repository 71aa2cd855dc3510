"""One way to tell endpoints, whatever kind they are, and never twice for one reason.

It knows that a target is a shared object: several certificates on one nginx are told
together. It does not know how a target is told, nor what follows from a failure.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from agent.clock import Clock
from agent.config.endpoints import Reload
from agent.endpoints.errors import EndpointDeniedError, EndpointError

WINDOW: Final = timedelta(seconds=2)
"""Publications that are due within this span share one signal."""


class Target(Protocol):
    """Tells endpoints of one kind."""

    async def tell(self, reload: Reload) -> None:
        """Deliver the signal or the reload; raises the errors of this package."""
        ...

    async def find(self, reload: Reload) -> None:
        """Return where there is somebody to be told; raises as `tell`."""
        ...


@dataclass(slots=True)
class _Round:
    """Those who want the same thing of the same target.

    Attributes:
        users: How many are inside; the round is forgotten with the last.
        arrived: How many ever came.
        covered: How many had come when the last finished delivery began.
        due: Monotonic seconds at which the open window ends.
        failure: How the last finished delivery failed.
    """

    users: int = 0
    arrived: int = 0
    covered: int = 0
    due: float = 0.0
    failure: EndpointError | None = None


@dataclass(slots=True)
class _Shared:
    """A target and who uses it."""

    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rounds: dict[Reload, _Round] = field(default_factory=dict)


class Signals:
    """Tells endpoints: one delivery at a time for each, shared by those who wait."""

    def __init__(
        self, clock: Clock, units: Target, pidfiles: Target, window: timedelta = WINDOW
    ) -> None:
        """Tell units and pidfiles by the given targets."""
        self._clock = clock
        self._units = units
        self._pidfiles = pidfiles
        self._window = window
        self._shared: dict[str, _Shared] = {}

    async def tell(self, reload: Reload) -> None:
        """Wait for company, then deliver, or share a delivery that began since.

        Cancelling one who waits never takes the delivery from the others.

        Raises:
            EndpointError: One of its subclasses; the same for all who share.
        """
        target, name = self._choose(reload)
        shared = self._shared.setdefault(name, _Shared())
        current = shared.rounds.setdefault(reload, _Round())
        shared.users += 1
        current.users += 1
        try:
            await self._take_part(target, shared.lock, current, reload)
        finally:
            current.users -= 1
            shared.users -= 1
            if not current.users:
                del shared.rounds[reload]
            if not shared.users:
                del self._shared[name]

    async def find(self, reload: Reload) -> None:
        """Return where the target is there; nothing is delivered.

        Raises:
            EndpointError: One of its subclasses.
        """
        target, _ = self._choose(reload)
        await target.find(reload)

    async def _take_part(
        self, target: Target, lock: asyncio.Lock, current: _Round, reload: Reload
    ) -> None:
        """Sleep to the end of the open window, then deliver unless that was done."""
        current.arrived += 1
        ticket = current.arrived
        now = self._clock.monotonic()
        if current.due <= now:
            current.due = now + self._window.total_seconds()
        await self._clock.sleep(timedelta(seconds=current.due - now))
        async with lock:
            if current.covered < ticket:
                await _deliver(target, current, reload)
            elif current.failure is not None:
                raise _copy(current.failure)

    def _choose(self, reload: Reload) -> tuple[Target, str]:
        """Return who tells it, and what names the target."""
        if reload.unit is not None:
            return self._units, f"unit:{reload.unit}"
        if reload.pidfile is not None:
            return self._pidfiles, f"pidfile:{reload.pidfile}"
        raise EndpointDeniedError("the reload names neither unit nor pidfile")


async def _deliver(target: Target, current: _Round, reload: Reload) -> None:
    """Tell the target for all who have come by now, and keep the outcome for them."""
    covers = current.arrived
    try:
        await target.tell(reload)
    except EndpointError as error:
        current.covered, current.failure = covers, error
        raise
    current.covered, current.failure = covers, None


def _copy(error: EndpointError) -> EndpointError:
    """Return an equal error, because one object cannot be raised in two tasks."""
    copy = type(error)(str(error), retry_at=error.retry_at, hint=error.hint)
    copy.__cause__ = error.__cause__
    return copy
