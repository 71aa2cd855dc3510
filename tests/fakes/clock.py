"""A clock that tests move by hand, or that jumps to the next sleeper by itself."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)
"""Where fake time begins."""


class FakeClock:
    """A `Clock` whose time passes only when it is told to.

    With `auto` it jumps to the earliest sleeper as soon as every other task is blocked,
    so that ninety virtual days run at once.
    """

    def __init__(self, start: datetime = START, *, auto: bool = False) -> None:
        """Begin at `start`."""
        self._now = start
        self._elapsed = 0.0
        self._auto = auto
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        """Return the fake wall time."""
        return self._now

    def monotonic(self) -> float:
        """Return the fake monotonic time in seconds."""
        return self._elapsed

    @property
    def sleepers(self) -> int:
        """Return how many tasks sleep on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def advance(self, span: timedelta) -> None:
        """Let time pass, and wake who is due."""
        self._now += span
        self._elapsed += span.total_seconds()
        self._wake()

    def jump(self, instant: datetime) -> None:
        """Set the wall clock without letting monotonic time pass."""
        self._now = instant

    async def sleep(self, span: timedelta) -> None:
        """Block until time has been advanced by `span`."""
        if span <= timedelta(0):
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        due = self._elapsed + span.total_seconds()
        heapq.heappush(self._sleepers, (due, self._count, future))
        if self._auto:
            self._schedule_jump()
        await future

    async def sleep_until(self, instant: datetime) -> None:
        """Block until the fake wall clock reaches `instant`."""
        while (left := instant - self._now) > timedelta(0):
            await self.sleep(left)

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed + 1e-9:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def _schedule_jump(self) -> None:
        loop = asyncio.get_running_loop()
        # Several turns of the loop let tasks that are ready run before time moves.
        loop.call_later(0.002, self._jump_to_next)

    def _jump_to_next(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._sleepers:
            left = self._sleepers[0][0] - self._elapsed
            self.advance(timedelta(seconds=max(left, 0)))
