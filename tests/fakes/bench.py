"""A manager among fakes, on a clock that passes while nothing runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from agent.cells import Cells
from agent.config.model import Config
from agent.events import Event
from agent.manager import Draws, Manager
from agent.records.certificate import CertificateRecord
from agent.records.codec import Record
from agent.records.others import AccountRecord
from tests.fakes.clock import FakeClock
from tests.fakes.parts import House, MemoryStore, ScriptedPerformer


class Diary(FakeClock):
    """A clock that jumps while the manager is idle, and remembers who slept.

    Attributes:
        slept: Until when somebody slept.
        idle: Tells whether time may pass: no job runs.
    """

    def __init__(self) -> None:
        """Begin with nothing slept."""
        super().__init__(auto=True)
        self.slept: list[datetime] = []
        self.idle: Callable[[], bool] = lambda: False

    async def sleep_until(self, instant: datetime) -> None:
        """Remember the instant."""
        self.slept.append(instant)
        await super().sleep_until(instant)

    def _jump_to_next(self) -> None:
        if self.idle():
            super()._jump_to_next()


class Bench:
    """A manager among fakes.

    Attributes:
        clock: Jumps when everything waits.
        store: What is durable.
        cells: What is in memory.
        performer: Performs everything at once.
        house: The surroundings.
        events: What was told.
    """

    def __init__(self, *records: Record) -> None:
        """Begin with some records on the disk."""
        self.clock = Diary()
        self.store = MemoryStore(*records)
        self.events: list[Event] = []
        self.cells = Cells(self.store, self.events.append)
        self.cells.load()
        self.performer = ScriptedPerformer(self.clock)
        self.house = House(self.clock)
        self.clock.idle = lambda: self.house.idle
        numbers = iter(range(1, 1 << 30))
        draws = Draws(
            fraction=lambda: 0.5, token=lambda: f"{next(numbers):012x}" + "0" * 20
        )
        self.manager = Manager(
            self.cells, self.performer, self.house, clock=self.clock, draws=draws
        )

    def configure(self, table: Config) -> None:
        """Give a configuration to the manager."""
        self.manager.configure(table, "0" * 16)

    def certificate(self, name: str = "web") -> CertificateRecord:
        """Return a certificate's record in memory."""
        return self.cells.certificates[name].record

    def account(self, name: str = "test") -> AccountRecord:
        """Return an account's record in memory."""
        return self.cells.accounts[name].record

    def done(self, name: str = "web", number: int = 1) -> bool:
        """Tell whether a publication is deployed and nothing is under way."""
        cell = self.cells.certificates.get(name)
        if cell is None:
            return False
        proven = [endpoint.proven for endpoint in cell.record.endpoints.values()]
        idle = cell.record.issue is None and not cell.record.deploy
        return idle and bool(proven) and min(proven) >= number

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run the manager until the end of the context."""
        task = asyncio.create_task(self.manager.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def until(self, check: Callable[[], object]) -> None:
        """Run the manager until something is so, five real seconds at most."""
        async with self.running() as task, asyncio.timeout(5):
            while not check():
                if task.done():
                    task.result()
                await asyncio.sleep(0)


async def spin(check: Callable[[], object]) -> None:
    """Wait until something is so, five real seconds at most."""
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0)


class Gate:
    """Trouble that lets orders wait until it is opened.

    Attributes:
        waiting: Who waits.
        most: The most that ever waited at once.
    """

    def __init__(self, effect: str) -> None:
        """Hold this effect up."""
        self._effect = effect
        self._open = asyncio.Event()
        self.waiting: set[str] = set()
        self.most = 0

    async def __call__(self, subject: str, effect: str) -> None:
        """Wait at the gate."""
        if effect != self._effect:
            return
        self.waiting.add(subject)
        self.most = max(self.most, len(self.waiting))
        try:
            await self._open.wait()
        finally:
            self.waiting.discard(subject)

    def open(self) -> None:
        """Let everybody through."""
        self._open.set()
