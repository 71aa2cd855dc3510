"""The manager: configuration to subjects, subjects to jobs, jobs to tasks.

It knows what is due and who may run. The next wake-up is the minimum over all jobs, in
one place; exactly one place sleeps until it.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from agent.admission import Admission, Place
from agent.cells import Cell, Cells
from agent.clock import Clock
from agent.config.lookup import account_of, ca_of
from agent.config.model import Certificate, Config
from agent.errors import AgentError
from agent.jobs.accounts import reconcile_account
from agent.jobs.context import Context
from agent.jobs.lifecycle import is_suspect
from agent.jobs.reconcile import next_change, reconcile
from agent.jobs.step import Moment, Wait
from agent.records.certificate import Slot, jobs
from agent.records.others import AccountRecord
from agent.runner import run
from agent.work import AccountWork, CertificateWork, Performer

LATEST: Final = datetime.max.replace(tzinfo=UTC)
STORE_PAUSE: Final = timedelta(seconds=10)
"""How long the daemon waits after its state could not be written."""
IDLE: Final = timedelta(seconds=45)
"""A pause longer than this is no pause inside an order: connections are let go."""
OVERDUE: Final = timedelta(minutes=2)
"""A due job that has not been started for so long means that we hang."""


class HungModuleError(AgentError):
    """A PKCS#11 module hangs and work is due: only a new process gets rid of it."""

    kind = "token.hung"


class Housekeeping(Protocol):
    """What the manager asks of its surroundings between jobs."""

    def hold_until(self, now: datetime) -> datetime | None:
        """Return until when nothing may be begun, None where nothing holds us."""
        ...

    def paused(self) -> None:
        """Hear that nothing runs until the next wake-up."""
        ...

    async def rest(self) -> None:
        """Let go of what an idle daemon does not need."""
        ...

    def hung_too_long(self) -> str:
        """Return which module hangs beyond its limit, empty for none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Randomness, injected: a float in [0, 1) and 32 hexadecimal digits."""

    fraction: Callable[[], float]
    token: Callable[[], str]


class Manager:
    """Keeps the jobs of all subjects running."""

    def __init__(
        self,
        cells: Cells,
        performer: Performer,
        housekeeping: Housekeeping,
        *,
        clock: Clock,
        draws: Draws,
    ) -> None:
        """Take the collaborators; `configure` comes before `run`."""
        self._cells = cells
        self._performer = performer
        self._housekeeping = housekeeping
        self._clock = clock
        self._draws = draws
        self._admission = Admission(self._is_suspect, self._ca)
        self._config = Config()
        self._install = ""
        self._changed = asyncio.Event()
        self._running: dict[Place, float] = {}
        self._store_broken_until = datetime.min.replace(tzinfo=UTC)
        self._turned_at = clock.monotonic()
        self._wake_at: datetime | None = None
        self.store_failure = ""
        self.clock_held = False

    def configure(self, config: Config, install: str) -> None:
        """Take a checked configuration; what is under way goes on."""
        self._config = config
        self._install = install
        self.touch()

    @property
    def label_prefix(self) -> str:
        """Return how the labels of keys of this installation begin."""
        return f"nfcertd/{self._install}/"

    def touch(self) -> None:
        """Look at everything again now."""
        self._changed.set()

    def overdue(self) -> bool:
        """Tell whether a due job has not been started for too long.

        The watchdog asks this and nothing else: a waiting daemon is a healthy one.
        """
        late = self._clock.monotonic() - self._turned_at > OVERDUE.total_seconds()
        wake = self._wake_at
        slept_over = wake is not None and self._clock.now() >= wake + OVERDUE
        return late and (slept_over or self._changed.is_set())

    def contexts(self) -> dict[str, Context]:
        """Return the context of every configured certificate."""
        return {name: self._context(name) for name in self._config.certificate}

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            HungModuleError: On purpose, so that systemd starts a new process.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                wake = self._turn(group)
                self._turned_at = self._clock.monotonic()
                self._wake_at = None if wake == LATEST else wake
                if not self._running:
                    await self._pause(wake)
                await self._sleep(wake)

    async def _pause(self, wake: datetime) -> None:
        self._housekeeping.paused()
        if wake - self._clock.now() > IDLE:
            await self._housekeeping.rest()

    def _turn(self, group: asyncio.TaskGroup) -> datetime:
        """Reconcile, start what is due, and return when to look again."""
        now = self._clock.now()
        hung = self._housekeeping.hung_too_long()
        if hung and self._waits_for_hung():
            raise HungModuleError(f"the module of token {hung} hangs and work is due")
        held = self._housekeeping.hold_until(now)
        self.clock_held = held is not None
        if held is not None or now < self._store_broken_until:
            return held or self._store_broken_until
        try:
            wake = self._reconcile(now)
        except AgentError as error:
            return self._store_broke(error, now)
        due = self._due(now)
        ready = [place for place, until in due if until is None]
        alone = self._admission.alone(self._running, ready)
        for place, until in due:
            if until is not None:
                wake = min(wake, until)
            elif self._admission.admits(place, self._running, alone):
                self._start(group, place)
        return wake

    def _is_suspect(self, place: Place) -> bool:
        if place.subject == "account":
            return is_suspect(self._cells.accounts[place.name].record, place.slot)
        return is_suspect(self._cells.certificates[place.name].record, place.slot)

    def _reconcile(self, now: datetime) -> datetime:
        wake = LATEST
        for name in self._config.certificate:
            cell = self._cells.certificate(name)
            if cell is None:
                continue
            self._reconcile_account(account_of(self._config, self._table(name)))
            context = self._context(name)
            # Drawn only if something changes, yet the same for the whole edit.
            moment = self.moment()
            cell.change(
                lambda record, c=context, m=moment: reconcile(record, c, m)  # type: ignore[misc]  # defaults bind the loop's values
            )
            wake = min(wake, next_change(cell.record, context, now) or LATEST)
        self.store_failure = ""
        return wake

    def _reconcile_account(self, name: str) -> None:
        config = self._config.account[name]
        directory = self._config.ca[config.ca].directory
        cell = self._cells.account(name, directory)
        if cell is None:
            return
        moment = self.moment()
        cell.change(
            lambda record: reconcile_account(
                record, config, directory, self._install, moment
            )
        )

    def _due(self, now: datetime) -> list[tuple[Place, datetime | None]]:
        """Return jobs that are not running, those due first by their urgency.

        None as instant means due; the earliest end comes first, so that a burst of
        renewals cannot starve the certificate that is about to end.
        """
        found: list[tuple[datetime, Place, datetime | None]] = []
        for place, end in self._places():
            if place in self._running:
                continue
            step = self._next(place, now)
            if not isinstance(step, Wait):
                found.append((end, place, None))
            elif step.until is not None:
                found.append((end, place, step.until))
        return [(place, until) for _, place, until in sorted(found, key=_urgency)]

    def _places(self) -> Iterator[tuple[Place, datetime]]:
        for name, account in self._cells.accounts.items():
            if account.record.register is not None and name in self._config.account:
                yield Place("account", name, Slot("register")), _EARLIEST
        for name, cell in self._cells.certificates.items():
            if name in self._config.certificate:
                current = cell.record.current
                urgent = current is None or cell.record.replacing is not None
                end = _EARLIEST if urgent or current is None else current.not_after
                for slot in jobs(cell.record):
                    yield Place("certificate", name, slot), end

    def _waits_for_hung(self) -> bool:
        """Tell whether a job could go on if its token's module did not hang."""
        failures = [
            job.failure
            for cell in self._cells.certificates.values()
            for job in jobs(cell.record).values()
        ] + [
            cell.record.register.failure
            for cell in self._cells.accounts.values()
            if cell.record.register is not None
        ]
        return any(f is not None and f.kind == "token.hung" for f in failures)

    def _ca(self, place: Place) -> str | None:
        """Return the CA that a job asks something of; None where it asks nothing."""
        if place.slot.kind not in {"issue", "revoke"} or not self._has(place):
            return None
        return ca_of(self._table(place.name))

    def _start(self, group: asyncio.TaskGroup, place: Place) -> None:
        self._running[place] = self._clock.monotonic()
        label = f"{place.subject} {place.name} {place.slot.kind} {place.slot.name}"
        group.create_task(self._run(place), name=label.strip())

    async def _run(self, place: Place) -> None:
        try:
            if place.subject == "account":
                await run(self._account_work(place), self._clock)
            else:
                await run(self._certificate_work(place), self._clock)
                cell = self._cells.certificates[place.name]
                await self._performer.settle(cell.record)
        except AgentError as error:
            # Only the store fails here; everything else is folded into the job.
            self._store_broke(error, self._clock.now())
        finally:
            del self._running[place]
            self._changed.set()

    def _store_broke(self, error: AgentError, now: datetime) -> datetime:
        self.store_failure = str(error)
        self._store_broken_until = now + STORE_PAUSE
        return self._store_broken_until

    def _next(self, place: Place, now: datetime) -> object:
        if place.subject == "account":
            return self._account_work(place).next(now)
        return self._certificate_work(place).next(now)

    def _account_work(self, place: Place) -> AccountWork:
        cell = self._cells.accounts[place.name]
        return AccountWork(
            cell,
            self._performer,
            wanted=lambda: place.name in self._config.account,
            moment=self.moment,
        )

    def _certificate_work(self, place: Place) -> CertificateWork:
        return CertificateWork(
            self._cells.certificates[place.name],
            place.slot,
            self._performer,
            context=lambda: self._context(place.name) if self._has(place) else None,
            moment=self.moment,
            account=self._account_cell(place),
        )

    def _has(self, place: Place) -> bool:
        return place.name in self._config.certificate

    def _account_cell(self, place: Place) -> Cell[AccountRecord] | None:
        if not self._has(place):
            return None
        name = account_of(self._config, self._table(place.name))
        return self._cells.accounts.get(name)

    def _context(self, name: str) -> Context:
        table = self._table(name)
        ca = ca_of(table)
        account = self._cells.accounts.get(account_of(self._config, table))
        token = self._config.token.get(table.key.token or "")
        return Context(
            config=table,
            ca=ca,
            directory=self._config.ca[ca].directory,
            install=self._install,
            account=None if account is None else account.record,
            accounts={n: cell.record for n, cell in self._cells.accounts.items()},
            never_destroy=token is not None and token.destroy == "never",
        )

    def _table(self, name: str) -> Certificate:
        return self._config.certificate[name]

    def moment(self) -> Moment:
        """Return the instant and fresh randomness, for one edit."""
        return Moment(
            now=self._clock.now(),
            draw=self._draws.fraction(),
            token=self._draws.token(),
        )

    async def _sleep(self, until: datetime) -> None:
        """Sleep until an instant or a change; the only place that sleeps for jobs."""
        if until == LATEST:
            await self._changed.wait()
            return
        async with asyncio.TaskGroup() as naps:
            nap = naps.create_task(self._nap(until), name="nap")
            await self._changed.wait()
            nap.cancel()

    async def _nap(self, until: datetime) -> None:
        await self._clock.sleep_until(until)
        self._changed.set()


_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


def _urgency(entry: tuple[datetime, Place, datetime | None]) -> tuple[datetime, Place]:
    end, place, _ = entry
    return end, place
