"""A whole daemon in this process, on a clock that leaps, beside a CA on loopback.

The daemon is the real one from its composition root down; only time and randomness are
given to it. Time passes when nobody has anything to do: ninety days are a matter of
milliseconds, and a wait that is never stated would be a test that never ends.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import structs

from agent import demands, loading
from agent.benches import Tools
from agent.daemon import Daemon
from agent.host import Host
from agent.jobs.certificate import next_step
from agent.jobs.step import Wait
from agent.loading import Loaded
from agent.manager import Draws
from agent.records.certificate import CertificateRecord
from agent.records.others import AccountRecord
from agent.records.slots import jobs
from agent.solvers.http01 import Http01
from tests.ca import Config, TestCA
from tests.fakes.clock import FakeClock
from tests.integration.scene import (
    BASE,
    HTTP_PORT,
    IN_FILE,
    certificate_table,
    own_address,
)

PATIENCE: Final = 30.0
"""Real seconds for anything that a test waits for."""
TURN: Final = 0.001
"""Real seconds in which whoever is ready gets on before time leaps."""
SHORT: Final = 1.0
"""Seconds that may pass while a job is under way: it waits for one of its own steps."""
PATIENT: Final = "20s"
"""Longest real time of a request; a busy machine does not come near it."""
IMPATIENT: Final = "250ms"
"""The same, where a CA that is slow on purpose has to be slower."""


class Leaping(FakeClock):
    """A clock that goes to the next sleeper as soon as nothing else can happen.

    Attributes:
        idle: Tells whether no job is under way.
        busy: Tells whether somebody works outside of the daemon.
    """

    def __init__(self) -> None:
        """Begin now: nothing of the daemon may believe that time went back."""
        super().__init__(datetime.now(UTC).replace(microsecond=0), auto=True)
        self.idle: Callable[[], bool] = lambda: False
        self.busy: Callable[[], bool] = lambda: False

    def __call__(self) -> datetime:
        """Return the time, as the test CA wants it."""
        return self.now()

    def wakes(self, instant: datetime) -> bool:
        """Tell whether somebody sleeps until an instant, or less long."""
        left = (instant - self._now).total_seconds() + SHORT / 2
        sleepers = (due for due, _, f in self._sleepers if not f.done())
        return any(due - self._elapsed <= left for due in sleepers)

    def _schedule_jump(self) -> None:
        asyncio.get_running_loop().call_later(TURN, self._jump_to_next)

    def _jump_to_next(self) -> None:
        if not self.sleepers:
            return
        due = min(due for due, _, future in self._sleepers if not future.done())
        if self.busy() or not (self.idle() or due - self._elapsed <= SHORT):
            self._schedule_jump()
        else:
            super()._jump_to_next()


@dataclass(frozen=True, slots=True)
class Pause:
    """One moment in which nothing ran.

    Attributes:
        waits: What each job of the certificate waits for.
        account_until: When the account is tried again, if it has to be.
    """

    waits: tuple[Wait, ...]
    account_until: datetime | None


class Watched(Daemon):
    """A daemon that tells when nothing runs, and lets tests see what it remembers.

    Attributes:
        idle: Whether nothing runs.
        pauses: Every moment in which nothing ran.
        tools: What its procedures are made of.
        leaping: Its clock.
    """

    tools: Tools

    def __init__(self, host: Host, loaded: Loaded, clock: Leaping) -> None:
        """Build the daemon; the clock is that of the host."""
        self.leaping = clock
        self.idle = False
        self.pauses: list[Pause] = []
        self._paused = asyncio.Event()
        super().__init__(host, loaded)

    def hold_until(self, now: datetime) -> datetime | None:
        """Hear of a turn of the manager."""
        self.idle = False
        return super().hold_until(now)

    def paused(self) -> None:
        """Hear that nothing runs, and what everybody waits for."""
        super().paused()
        self.idle = True
        self.pauses.append(self._pause())
        self._paused.set()

    def _pause(self) -> Pause:
        now = self._host.clock.now()
        context = self._manager.contexts()["web"]
        steps = [next_step(self.web, slot, context, now) for slot in jobs(self.web)]
        waits = tuple(step for step in steps if isinstance(step, Wait))
        assert len(waits) == len(steps), "a job that could run does not"
        instants = [job.not_before for job in jobs(self.account).values()]
        return Pause(waits, min((at for at in instants if at), default=None))

    def _make_tools(self, state: Path) -> Tools:
        """Keep the tools, to see what is presented."""
        self.tools = super()._make_tools(state)
        return self.tools

    @property
    def asleep(self) -> bool:
        """Tell whether the manager sleeps already, or only has said that it will."""
        wake = self._manager._wake_at  # noqa: SLF001 -- no other way to know
        return self.idle and (wake is None or self.leaping.wakes(wake))

    @property
    def presented(self) -> frozenset[str]:
        """Return the tokens of the challenges that are presented now."""
        solver = self.tools.solvers["http-01"]
        assert isinstance(solver, Http01)
        return solver.presented

    @property
    def web(self) -> CertificateRecord:
        """Return the record of the certificate."""
        return self._cells.certificates["web"].record

    @property
    def account(self) -> AccountRecord:
        """Return the record of the account."""
        return self._cells.accounts["test"].record

    def renew(self) -> None:
        """Ask for a renewal, as an operator does."""
        now = self._host.clock.now()
        self._cells.certificates["web"].change(
            lambda record: structs.replace(record, renew_asked=now)
        )
        self._manager.touch()

    def revoke(self) -> None:
        """Ask for the revocation of what is served, as an operator does."""
        moment = self._manager.moment()
        self._cells.certificates["web"].change(
            lambda record: demands.revoke(record, {"reason": "superseded"}, moment)
        )
        self._manager.touch()

    def roll(self) -> None:
        """Ask for another account key, as an operator does."""
        now = self._host.clock.now()
        self._cells.accounts["test"].change(
            lambda record: structs.replace(record, roll_asked=now)
        )
        self._manager.touch()

    async def until(self, check: Callable[[], object]) -> None:
        """Wait until something is so in a moment in which nothing runs."""
        async with asyncio.timeout(PATIENCE):
            while not (self.idle and check()):
                self._paused.clear()
                await self._paused.wait()


@dataclass(frozen=True, slots=True)
class World:
    """A daemon and its CA.

    Attributes:
        home: Directory with everything.
        ca: The CA.
        clock: The time of both.
        daemon: The daemon; runs.
    """

    home: Path
    ca: TestCA
    clock: Leaping
    daemon: Watched

    def deployed(self, number: int) -> bool:
        """Tell whether a publication is in service and nothing is left to do."""
        record = self.daemon.web
        proven = [e.proven for e in record.endpoints.values()]
        return bool(proven) and min(proven) >= number and not jobs(record)


@asynccontextmanager
async def world(
    home: Path, config: Config | None = None, timeout: str = PATIENT
) -> AsyncIterator[World]:
    """Run a daemon with one certificate and its CA until the end of the context."""
    home.mkdir(exist_ok=True)
    (home / "run").mkdir()
    clock, address = Leaping(), own_address()
    switches = replace(
        config or Config(), now=clock, resolve=lambda _: (address, HTTP_PORT)
    )
    async with TestCA(switches) as ca:
        (home / "transport.pem").write_bytes(ca.transport_root_pem)
        (home / "issuing.pem").write_bytes(ca.issuing_root_pem)
        base = BASE.format(
            home=home,
            address=address,
            directory=ca.directory_url,
            account=IN_FILE,
            health="",
        ).replace('"5s"', f'"{timeout}"')
        path = home / "nfcertd.toml"
        path.write_text(base + certificate_table("web", more='grace = "1h"'))
        numbers = itertools.count(1)
        host = Host(
            path=path,
            environ={},
            clock=clock,
            draws=Draws(
                fraction=lambda: 0.5, token=lambda: f"{next(numbers):012x}" + "0" * 20
            ),
        )
        daemon = Watched(host, loading.load(path), clock)
        clock.idle = lambda: daemon.asleep
        clock.busy = lambda: ca.busy
        running = asyncio.create_task(daemon.run())
        try:
            yield World(home, ca, clock, daemon)
        finally:
            running.cancel()
            await asyncio.wait([running])
