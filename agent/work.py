"""Jobs bound to their records: what the runner sees of a certificate or an account."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from agent.cells import Cell
from agent.jobs import account, certificate, register
from agent.jobs.authority import gated
from agent.jobs.context import AccountContext, Context
from agent.jobs.issue import effects as issue
from agent.jobs.lifecycle import (
    begin,
    begin_account,
    interrupt,
    interrupt_account,
)
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.notes import CaNotes
from agent.records.certificate import CertificateRecord, Slot, jobs
from agent.records.others import AccountRecord, account_jobs
from agent.renewal.breaker import Standing


class Performer(Protocol):
    """Performs the effects of all kinds; knows the procedures."""

    async def for_certificate(
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: certificate.Effect,
        context: Context,
    ) -> certificate.Outcome:
        """Perform an effect of a certificate's job; raises `AgentError`."""
        ...

    async def for_account(
        self, record: AccountRecord, effect: account.Effect
    ) -> account.Outcome:
        """Perform an effect of an account's job; raises `AgentError`."""
        ...

    async def settle(self, record: CertificateRecord) -> None:
        """Let go of what a certificate's jobs no longer need."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where a certificate's work writes down what concerns others as well.

    Attributes:
        account: The account that orders it now, None before its record exists.
        notes: Returns where the outcomes at a CA go.
    """

    account: Cell[AccountRecord] | None
    notes: Callable[[str], CaNotes | None]


def _at_ca(effect: certificate.Effect) -> bool:
    """Tell whether an effect asks a CA for something."""
    return isinstance(effect, issue.Effect) and not isinstance(effect, issue.MakeKey)


class CertificateWork:
    """A job of a certificate; satisfies `agent.runner.Work`."""

    def __init__(
        self,
        cell: Cell[CertificateRecord],
        slot: Slot,
        performer: Performer,
        *,
        context: Callable[[], Context | None],
        moment: Callable[[], Moment],
        books: Books,
    ) -> None:
        """Bind a slot of a cell; the job in it may be replaced meanwhile.

        `context` returns None once the certificate is no longer configured.
        """
        self._cell = cell
        self._slot = slot
        self._performer = performer
        self._current_context = context
        self._known_context: Context | None = None
        self._moment = moment
        self._books = books
        self._notes: CaNotes | None = None
        self._job = ""

    def next(self, now: datetime) -> Do[certificate.Effect] | Wait | None:
        """Return the next step; None where the job is over, or no longer wanted."""
        record = self._cell.record
        context = self._current_context()
        if self._slot not in jobs(record) or context is None:
            return None
        self._known_context = context
        return certificate.next_step(record, self._slot, context, now)

    def begin(self, effect: certificate.Effect) -> None:
        """Make the intent durable."""
        self._job = jobs(self._cell.record)[self._slot].id
        self._notes = self._books.notes(self._context().ca) if _at_ca(effect) else None
        if self._notes is not None and isinstance(effect, issue.CreateOrder):
            self._notes.ordering(self._moment().now)
        self._cell.change(lambda record: begin(record, self._slot, effect.name))

    async def perform(self, effect: certificate.Effect) -> certificate.Outcome:
        """Perform an effect and return its outcome."""
        return await self._performer.for_certificate(
            self._cell.record, self._slot, effect, self._context()
        )

    def fold(self, effect: certificate.Effect, outcome: certificate.Outcome) -> None:
        """Write down durably what came of it, unless the job was replaced meanwhile."""
        context, moment = self._context(), self._moment()

        def edit(record: CertificateRecord) -> CertificateRecord:
            job = jobs(record).get(self._slot)
            if job is None or job.id != self._job:
                return record
            return certificate.fold(
                record, self._slot, effect, outcome, context, moment
            )

        self._cell.change(edit)
        self._note_account(effect, outcome)
        if self._notes is not None:
            failure = outcome.failure if isinstance(outcome, Failed) else None
            order = isinstance(effect, issue.CreateOrder)
            account = context.wanted.account
            self._notes.ended(account, failure, moment, order=order)

    def _note_account(
        self, effect: certificate.Effect, outcome: certificate.Outcome
    ) -> None:
        """Tell the account what its orders showed of it."""
        if self._books.account is None or self._slot.kind != "issue":
            return
        match outcome:
            case Failed(failure) if failure.kind == "acme:accountDoesNotExist":
                self._books.account.change(
                    lambda record: replace(record, url="", lost=record.lost + 1)
                )
            case Failed(failure) if failure.kind == "acme:userActionRequired":
                self._books.account.change(
                    lambda record: replace(record, blocked=failure)
                )
            case issue.OrderSeen() if isinstance(effect, issue.CreateOrder):
                self._books.account.change(
                    lambda record: replace(record, lost=0, blocked=None)
                )
            case _:
                pass

    def _context(self) -> Context:
        """Return the context; the last one where a reload has removed the table."""
        context = self._current_context() or self._known_context
        if context is None:
            raise LookupError(self._cell.record.name)
        return context

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        if self._slot in jobs(self._cell.record):
            self._cell.change(lambda record: interrupt(record, self._slot))


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
        performer: Performer,
        *,
        context: Callable[[], AccountContext | None],
        moment: Callable[[], Moment],
        ca: CaBooks,
    ) -> None:
        """Bind a slot of a cell; the job in it may be replaced meanwhile.

        `context` returns None once the account is no longer configured.
        """
        self._cell = cell
        self._slot = slot
        self._performer = performer
        self._current_context = context
        self._known_context: AccountContext | None = None
        self._moment = moment
        self._ca = ca
        self._job = ""

    def next(self, now: datetime) -> Do[account.Effect] | Wait | None:
        """Return the next step; None where the job is over, or no longer wanted."""
        record = self._cell.record
        context = self._current_context()
        if self._slot not in account_jobs(record) or context is None:
            return None
        self._known_context = context
        step = account.next_step(record, self._slot, context, now)
        if isinstance(step, Do) and isinstance(step.effect, register.Register):
            return gated(self._ca.standing(), now, urgent=False) or step
        return step

    def begin(self, effect: account.Effect) -> None:
        """Make the intent durable."""
        self._job = account_jobs(self._cell.record)[self._slot].id
        self._cell.change(lambda record: begin_account(record, self._slot, effect.name))

    async def perform(self, effect: account.Effect) -> account.Outcome:
        """Perform an effect and return its outcome."""
        return await self._performer.for_account(self._cell.record, effect)

    def fold(self, effect: account.Effect, outcome: account.Outcome) -> None:
        """Write down durably what came of it, unless the job was replaced meanwhile."""
        context, moment = self._context(), self._moment()

        def edit(record: AccountRecord) -> AccountRecord:
            job = account_jobs(record).get(self._slot)
            if job is None or job.id != self._job:
                return record
            return account.fold(record, self._slot, effect, outcome, context, moment)

        self._cell.change(edit)
        notes = self._ca.notes()
        if notes is not None and isinstance(effect, register.Register):
            failure = outcome.failure if isinstance(outcome, Failed) else None
            notes.ended(self._cell.record.name, failure, moment, order=False)

    def _context(self) -> AccountContext:
        """Return the context; the last one where a reload has removed the table."""
        context = self._current_context() or self._known_context
        if context is None:
            raise LookupError(self._cell.record.name)
        return context

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        if self._slot in account_jobs(self._cell.record):
            self._cell.change(lambda record: interrupt_account(record, self._slot))
