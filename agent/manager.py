"""The manager: configuration to subjects, subjects to jobs, jobs to tasks.

It knows what is due and who may run. The next wake-up is the minimum over all jobs, in
one place; exactly one place sleeps until it.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from agent.admission import EARLIEST, Admission, Place, Urgency
from agent.cells import Cells
from agent.clock import Clock
from agent.config.model import Config
from agent.contexts import Contexts
from agent.errors import AgentError
from agent.jobs.accounts import next_account_change, reconcile_account
from agent.jobs.authority import choose, is_emergency
from agent.jobs.context import AccountContext, Context
from agent.jobs.lifecycle import is_suspect
from agent.jobs.reconcile import next_change, reason_to_issue, reconcile
from agent.jobs.step import Moment, Wait
from agent.lists import ListPerformer, Lists
from agent.records.certificate import CertificateRecord, jobs
from agent.records.others import account_jobs
from agent.runner import run
from agent.work import AccountWork, Books, CaBooks, CertificateWork, Performer

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


class EveryPerformer(Performer, ListPerformer, Protocol):
    """Performs the effects of every kind of subject."""


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
        performer: EveryPerformer,
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
        self._contexts = Contexts(cells)
        self._admission = Admission(self._is_suspect, self._ca, self._contexts.room)
        self._lists = Lists(cells, performer)
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
        self._contexts.configure(config, install)
        self._lists.configure(config.trust)
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
        return {n: self._contexts.current(n) for n in self._config.certificate}

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
        if place.subject == "trust":
            return self._lists.is_suspect(place.name)
        if place.subject == "account":
            return is_suspect(self._cells.accounts[place.name].record, place.slot)
        return is_suspect(self._cells.certificates[place.name].record, place.slot)

    def _reconcile(self, now: datetime) -> datetime:
        # Lists first: what certificates publish depends on them.
        wake = min(self._lists.reconcile(self.moment), default=LATEST)
        for name in sorted(self._cells.accounts.keys() & self._config.account.keys()):
            # Also one that nothing orders with any more: it may have jobs.
            wake = min(wake, self._reconcile_account(name))
        for name in self._config.certificate:
            cell = self._cells.certificate(name)
            if cell is None:
                continue
            for account in self._contexts.accounts(name):
                if account not in self._cells.accounts:
                    wake = min(wake, self._reconcile_account(account))
            # Drawn only if something changes, yet the same for the whole edit.
            moment = self.moment()
            cell.change(lambda record, m=moment: self._reconciled(record, m))  # type: ignore[misc]  # a default binds the loop's value
            context = self._contexts.of(cell.record)
            wake = min(wake, next_change(cell.record, context, now) or LATEST)
        self.store_failure = ""
        return wake

    def _reconciled(
        self, record: CertificateRecord, moment: Moment
    ) -> CertificateRecord:
        """Choose the CA, then say which jobs should exist for it: one transaction."""
        context = self._contexts.of(record)
        reason = reason_to_issue(record, context, moment.now)
        record = choose(record, context, reason, moment.now)
        return reconcile(record, self._contexts.of(record), moment)

    def _reconcile_account(self, name: str) -> datetime:
        """Reconcile an account, and return when that would do something by itself."""
        context = self.account_context(name)
        cell = self._cells.account(name, context.directory)
        if cell is None:
            return LATEST
        moment = self.moment()
        cell.change(lambda record: reconcile_account(record, context, moment))
        change = next_account_change(cell.record, context.config)
        return LATEST if change is None or change <= moment.now else change

    def _due(self, now: datetime) -> list[tuple[Place, datetime | None]]:
        """Return jobs that are not running, those due first by their urgency.

        None as instant means due; the earliest end comes first, so that a burst of
        renewals cannot starve the certificate that is about to end.
        """
        found: list[tuple[Urgency, datetime | None]] = []
        for urgency in self._places(now):
            place = urgency.place
            if place in self._running:
                continue
            step = self._next(place, now)
            if not isinstance(step, Wait):
                found.append((urgency, None))
            elif step.until is not None:
                found.append((urgency, step.until))
        found.sort(key=lambda one: one[0])
        return [(urgency.place, until) for urgency, until in found]

    def _places(self, now: datetime) -> Iterator[Urgency]:
        for name, slot in self._lists.due():
            yield Urgency(calm=False, end=EARLIEST, place=Place("trust", name, slot))
        for name, account in self._cells.accounts.items():
            if name in self._config.account:
                for slot in account_jobs(account.record):
                    place = Place("account", name, slot)
                    yield Urgency(calm=False, end=EARLIEST, place=place)
        for name, cell in self._cells.certificates.items():
            if name in self._config.certificate and (slots := jobs(cell.record)):
                current = cell.record.current
                replacing = cell.record.replacing is not None
                end = EARLIEST if current is None or replacing else current.not_after
                context = self._contexts.of(cell.record)
                calm = not (replacing or is_emergency(cell.record, context, now))
                for slot in slots:
                    place = Place("certificate", name, slot)
                    yield Urgency(calm=calm, end=end, place=place)

    def _waits_for_hung(self) -> bool:
        """Tell whether a job could go on if its token's module did not hang."""
        failures = [
            job.failure
            for cell in self._cells.certificates.values()
            for job in jobs(cell.record).values()
        ] + [
            job.failure
            for cell in self._cells.accounts.values()
            for job in account_jobs(cell.record).values()
        ]
        return any(f is not None and f.kind == "token.hung" for f in failures)

    def _ca(self, place: Place) -> str | None:
        """Return the CA that a job asks something of; None where it asks nothing."""
        asks = place.slot.kind in {"issue", "revoke", "renewal-info", "abandon"}
        if not asks or not self._has(place):
            return None
        return self._contexts.current(place.name).ca

    def _start(self, group: asyncio.TaskGroup, place: Place) -> None:
        self._running[place] = self._clock.monotonic()
        label = f"{place.subject} {place.name} {place.slot.kind} {place.slot.name}"
        group.create_task(self._run(place), name=label.strip())

    async def _run(self, place: Place) -> None:
        try:
            if place.subject == "trust":
                await run(self._lists.work(place.name, self.moment), self._clock)
            elif place.subject == "account":
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
        if place.subject == "trust":
            return self._lists.work(place.name, self.moment).next(now)
        if place.subject == "account":
            return self._account_work(place).next(now)
        return self._certificate_work(place).next(now)

    def _account_work(self, place: Place) -> AccountWork:
        name = place.name
        return AccountWork(
            self._cells.accounts[name],
            place.slot,
            self._performer,
            context=lambda: (
                self.account_context(name) if name in self._config.account else None
            ),
            moment=self.moment,
            ca=CaBooks(
                standing=lambda: self._contexts.standing(name),
                notes=lambda: self._contexts.notes_of(name),
            ),
        )

    def account_context(self, name: str) -> AccountContext:
        """Return the context of a configured account."""
        return self._contexts.of_account(name)

    def _certificate_work(self, place: Place) -> CertificateWork:
        return CertificateWork(
            self._cells.certificates[place.name],
            place.slot,
            self._performer,
            context=lambda: (
                self._contexts.current(place.name) if self._has(place) else None
            ),
            moment=self.moment,
            books=Books(
                account=self._contexts.account(place.name), notes=self._contexts.notes
            ),
        )

    def _has(self, place: Place) -> bool:
        return place.name in self._config.certificate

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
