"""A clock that several processes share and a test pushes forward.

It knows how a wall time and a monotonic time are derived from the kernel's. It does not
know who sleeps on it: sleepers look at it often enough to notice a push.
"""

import asyncio
import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_FIELDS: Final = struct.Struct("dddd")
"""Wall time and monotonic time at the making, speed, and what it was pushed by."""

LONGEST_NAP: Final = 0.02
"""Real seconds after which a sleeper looks again whether the clock was pushed."""


class SharedClock:
    """A `Clock` in a file: it runs `speed` times as fast as the kernel's.

    It is also a callable, as the test CA wants its time.
    """

    def __init__(self, path: Path) -> None:
        """Use a clock that `make` has made."""
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _FIELDS.size)

    @classmethod
    def make(cls, path: Path, speed: float = 1.0) -> "SharedClock":
        """Make the file; the clock begins at the real time."""
        path.write_bytes(_FIELDS.pack(time.time(), time.monotonic(), speed, 0.0))
        return cls(path)

    def __call__(self) -> datetime:
        """Return the wall time."""
        return self.now()

    def now(self) -> datetime:
        """Return the wall time, aware, UTC."""
        wall, _, _, _ = self._read()
        return datetime.fromtimestamp(wall + self._elapsed(), UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back; the same in all processes."""
        _, origin, _, _ = self._read()
        return origin + self._elapsed()

    def push(self, span: timedelta) -> None:
        """Let time jump forward; whoever sleeps for less than that wakes up."""
        wall, origin, speed, pushed = self._read()
        pushed += span.total_seconds()
        _FIELDS.pack_into(self._shared, 0, wall, origin, speed, pushed)

    async def sleep(self, span: timedelta) -> None:
        """Sleep for a span of this clock."""
        end = self.monotonic() + span.total_seconds()
        _, _, speed, _ = self._read()
        while (left := end - self.monotonic()) > 0:
            await asyncio.sleep(min(left / speed, LONGEST_NAP))

    async def sleep_until(self, instant: datetime) -> None:
        """Sleep until the wall time reaches an instant."""
        while (left := instant - self.now()) > timedelta(0):
            await self.sleep(left)

    def _elapsed(self) -> float:
        _, origin, speed, pushed = self._read()
        return (time.monotonic() - origin) * speed + pushed

    def _read(self) -> tuple[float, float, float, float]:
        wall, origin, speed, pushed = _FIELDS.unpack_from(self._shared)
        return wall, origin, speed, pushed
