"""Accounts as subjects: reconciled, due, and bound to their records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agent.admission import EARLIEST, Place, Urgency
from agent.cells import Cell, Cells
from agent.config.model import Config
from agent.contexts import Contexts
from agent.jobs import account, register
from agent.jobs.accounts import next_account_change, reconcile_account
from agent.jobs.authority import gated
from agent.jobs.context import AccountContext
from agent.jobs.lifecycle import is_suspect
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.notes import CaNotes
from agent.records.job import Failure
from agent.records.others import AccountRecord
from agent.records.slots import Slot, jobs
from agent.renewal.breaker import Standing
from agent.subjects.subject import Draw
from agent.subjects.work import Bound


class AccountPerformer(Protocol):
    """Performs the effects of an account's jobs."""

    async def for_account(
        self, record: AccountRecord, effect: account.Effect
    ) -> account.Outcome:
        """Perform an effect of an account's job; raises `AgentError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CaBooks:
    """What is remembered of the CA of an account.

    Attributes:
        standing: Tells whether it may be asked.
        notes: Returns where the outcomes there go, None for nowhere.
    """

    standing: Callable[[], Standing]
    notes: Callable[[], CaNotes | None]


class AccountWork:
    """A job of an account; satisfies `agent.runner.Work`."""

    def __init__(
        self,
        cell: Cell[AccountRecord],
        slot: Slot,
        performer: AccountPerformer,
        *,
        context: Callable[[], AccountContext | None],
        moment: Callable[[], Moment],
        ca: CaBooks,
    ) -> None:
        """Bind a slot of a cell; the job in it may be replaced meanwhile.

        `context` returns None once the account is no longer configured.
        """
        self._bound = Bound(cell, slot)
        self._performer = performer
        self._current_context = context
        self._known_context: AccountContext | None = None
        self._moment = moment
        self._ca = ca

    def next(self, now: datetime) -> Do[account.Effect] | Wait | None:
        """Return the next step; None where the job is over, or no longer wanted."""
        record = self._bound.record
        context = self._current_context()
        if not self._bound.is_there or context is None:
            return None
        self._known_context = context
        step = account.next_step(record, self._bound.slot, context, now)
        if isinstance(step, Do) and isinstance(step.effect, register.Register):
            return gated(self._ca.standing(), now, urgent=False) or step
        return step

    def begin(self, effect: account.Effect) -> None:
        """Make the intent durable."""
        self._bound.begin(effect.name)

    async def perform(self, effect: account.Effect) -> account.Outcome:
        """Perform an effect and return its outcome."""
        return await self._performer.for_account(self._bound.record, effect)

    def fold(self, effect: account.Effect, outcome: account.Outcome) -> None:
        """Write down durably what came of it, unless the job was replaced meanwhile."""
        context, moment = self._context(), self._moment()
        slot = self._bound.slot
        self._bound.fold(
            lambda record: account.fold(record, slot, effect, outcome, context, moment)
        )
        notes = self._ca.notes()
        if notes is not None and isinstance(effect, register.Register):
            failure = outcome.failure if isinstance(outcome, Failed) else None
            notes.ended(self._bound.record.name, failure, moment, order=False)

    def _context(self) -> AccountContext:
        """Return the context; the last one where a reload has removed the table."""
        context = self._current_context() or self._known_context
        if context is None:
            raise LookupError(self._bound.record.name)
        return context

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        self._bound.interrupt()


class Accounts:
    """Every account in use; satisfies `agent.subjects.subject.Subjects`."""

    def __init__(
        self, cells: Cells, contexts: Contexts, performer: AccountPerformer
    ) -> None:
        """Take the collaborators; `configure` comes before the first turn."""
        self._cells = cells
        self._contexts = contexts
        self._performer = performer
        self._config = Config()

    def configure(self, config: Config) -> None:
        """Take the configuration in force."""
        self._config = config

    def reconcile(self, moment: Draw) -> Iterator[datetime]:
        """Give every account its jobs.

        Also one that nothing orders with any more: it may have jobs.
        """
        for name in sorted(self._cells.accounts.keys() & self._config.account.keys()):
            yield from self.reconcile_one(name, moment)

    def reconcile_one(self, name: str, moment: Draw) -> Iterator[datetime]:
        """Give an account its jobs, made empty at first."""
        context = self._contexts.of_account(name)
        cell = self._cells.account(name, context.directory)
        if cell is None:
            return
        at = moment()
        cell.change(lambda record: reconcile_account(record, context, at))
        change = next_account_change(cell.record, context.config)
        if change is not None and change > at.now:
            yield change

    def jobs(self, now: datetime) -> Iterator[Urgency]:  # noqa: ARG002 -- none can wait
        """Yield every job: orders wait for them."""
        for name, cell in self._cells.accounts.items():
            if name in self._config.account:
                for slot in jobs(cell.record):
                    place = Place("account", name, slot)
                    yield Urgency(calm=False, end=EARLIEST, place=place)

    def work(self, place: Place, moment: Draw) -> AccountWork:
        """Return a job of an account, for the runner."""
        name, contexts = place.name, self._contexts
        return AccountWork(
            self._cells.accounts[name],
            place.slot,
            self._performer,
            context=lambda: (
                contexts.of_account(name) if name in self._config.account else None
            ),
            moment=moment,
            ca=CaBooks(
                standing=lambda: contexts.standing(name),
                notes=lambda: contexts.notes_of(name),
            ),
        )

    def is_suspect(self, place: Place) -> bool:
        """Tell whether a job was under way in a crash and has not got over it."""
        return is_suspect(self._cells.accounts[place.name].record, place.slot)

    def ca(self, place: Place) -> str | None:  # noqa: ARG002 -- whatever the job
        """Return None: what an account asks for is not bounded."""
        return None

    def failures(self) -> Iterator[Failure]:
        """Yield the last failure of every job that has one."""
        for cell in self._cells.accounts.values():
            for job in jobs(cell.record).values():
                if job.failure is not None:
                    yield job.failure

    async def settle(self, place: Place) -> None:
        """Let go of nothing: an account's jobs hold nothing."""
