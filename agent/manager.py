"""The manager: configuration to subjects, subjects to jobs, jobs to tasks.

It knows what is due and who may run. The next wake-up is the minimum over all jobs, in
one place; exactly one place sleeps until it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final, Protocol

from agent.admission import Admission, Place, Urgency
from agent.cells import Cells
from agent.clock import Clock
from agent.config.model import Config
from agent.config.nf import Nf
from agent.contexts import Contexts
from agent.errors import AgentError
from agent.jobs.context import AccountContext, Context
from agent.jobs.step import Moment, Wait
from agent.runner import Work, run
from agent.subjects.accounts import AccountPerformer, Accounts
from agent.subjects.certificates import CertificatePerformer, Certificates
from agent.subjects.lists import ListPerformer, Lists
from agent.subjects.nfs import Nfs
from agent.subjects.subject import Subjects

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


class EveryPerformer(CertificatePerformer, AccountPerformer, ListPerformer, Protocol):
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
        self._housekeeping = housekeeping
        self._clock = clock
        self._draws = draws
        self._contexts = Contexts(cells)
        self._subjects = _every_kind(cells, self._contexts, performer)
        self._admission = Admission(self._is_suspect, self._ca, self._contexts.room)
        self._config = Config()
        self._install = ""
        self._changed = asyncio.Event()
        self._running: dict[Place, float] = {}
        self._store_broken_until = datetime.min.replace(tzinfo=UTC)
        self._turned_at = clock.monotonic()
        self._wake_at: datetime | None = None
        self.store_failure = ""
        self.clock_held = False

    def add(self, kind: str, subjects: Subjects) -> None:
        """Take a further kind; it is reconciled after all that there are."""
        self._subjects[kind] = subjects

    def configure(self, config: Config, install: str) -> None:
        """Take a checked configuration; what is under way goes on."""
        self._config = config
        self._install = install
        self._contexts.configure(config, install)
        for kind in self._subjects.values():
            kind.configure(config)
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
            wake = self._reconcile()
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
        return self._subjects[place.subject].is_suspect(place)

    def _ca(self, place: Place) -> str | None:
        return self._subjects[place.subject].ca(place)

    def _reconcile(self) -> datetime:
        wake = LATEST
        for kind in self._subjects.values():
            wake = min([wake, *kind.reconcile(self.moment)])
        self.store_failure = ""
        return wake

    def _due(self, now: datetime) -> list[tuple[Place, datetime | None]]:
        """Return jobs that are not running, those due first by their urgency.

        None as instant means due; the earliest end comes first, so that a burst of
        renewals cannot starve the certificate that is about to end.
        """
        found: list[tuple[Urgency, datetime | None]] = []
        every = (kind.jobs(now) for kind in self._subjects.values())
        for urgency in chain.from_iterable(every):
            place = urgency.place
            if place in self._running:
                continue
            step = self._work(place).next(now)
            if not isinstance(step, Wait):
                found.append((urgency, None))
            elif step.until is not None:
                found.append((urgency, step.until))
        found.sort(key=lambda one: one[0])
        return [(urgency.place, until) for urgency, until in found]

    def _waits_for_hung(self) -> bool:
        """Tell whether a job could go on if its token's module did not hang."""
        return any(
            failure.kind == HungModuleError.kind
            for kind in self._subjects.values()
            for failure in kind.failures()
        )

    def _start(self, group: asyncio.TaskGroup, place: Place) -> None:
        self._running[place] = self._clock.monotonic()
        label = f"{place.subject} {place.name} {place.slot.kind} {place.slot.name}"
        group.create_task(self._run(place), name=label.strip())

    async def _run(self, place: Place) -> None:
        try:
            await run(self._work(place), self._clock)
            await self._subjects[place.subject].settle(place)
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

    def _work(self, place: Place) -> Work[Any, Any]:
        return self._subjects[place.subject].work(place, self.moment)

    def account_context(self, name: str) -> AccountContext:
        """Return the context of a configured account."""
        return self._contexts.of_account(name)

    def nfs(self) -> Mapping[str, Nf]:
        """Return the tables of the configured network functions."""
        return self._config.nf

    def ends(self, certificate: str) -> bool:
        """Tell whether the network function of a certificate is decommissioned."""
        return self._contexts.ends(certificate)

    def accounts(self, certificate: str) -> tuple[str, ...]:
        """Return the accounts of a configured certificate."""
        return self._contexts.accounts(certificate)

    def idle_accounts(self) -> frozenset[str]:
        """Return the accounts that only decommissioned network functions had."""
        return self._contexts.idle_accounts()

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


def _every_kind(
    cells: Cells, contexts: Contexts, performer: EveryPerformer
) -> dict[str, Subjects]:
    """Return every kind of subject, in the order in which they are reconciled.

    Lists first: what certificates publish depends on them.
    """
    accounts = Accounts(cells, contexts, performer)
    return {
        "trust": Lists(cells, performer),
        "account": accounts,
        "certificate": Certificates(cells, contexts, accounts, performer),
        "nf": Nfs(cells, contexts),
    }
