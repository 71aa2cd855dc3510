"""The only reader of time: wall clock, monotonic clock, and sleep.

Everything else takes a `Clock` or a `now`. Wall time is aware UTC. A sleep until a wall
instant is cut into slices that read the wall clock again, because a host without a
battery-backed clock jumps by years when its time is first set.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

SLICE: Final = timedelta(seconds=60)
"""Longest uninterrupted sleep; bounds how late a clock jump is noticed."""


class Clock(Protocol):
    """Where time comes from.

    `now` MUST be aware and UTC. `monotonic` MUST never go back; its unit is seconds and
    only differences mean something. Both sleeps MUST be cancellable.
    """

    def now(self) -> datetime:
        """Return the wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin that never go back."""
        ...

    async def sleep(self, span: timedelta) -> None:
        """Sleep for a span of monotonic time."""
        ...

    async def sleep_until(self, instant: datetime) -> None:
        """Return once `now() >= instant`, however the wall clock jumps meanwhile."""
        ...


class SystemClock:
    """The clock of the host."""

    def now(self) -> datetime:
        """Return the wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the kernel's monotonic time in seconds."""
        return time.monotonic()

    async def sleep(self, span: timedelta) -> None:
        """Sleep for a span of monotonic time."""
        await asyncio.sleep(max(span.total_seconds(), 0))

    async def sleep_until(self, instant: datetime) -> None:
        """Sleep in slices of at most `SLICE` until the wall clock reaches `instant`."""
        while (left := instant - self.now()) > timedelta(0):
            await self.sleep(min(left, SLICE))
