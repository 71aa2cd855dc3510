"""Certificates as subjects: reconciled, due, and bound to their records."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from msgspec.structs import replace

from agent.admission import EARLIEST, Place, Urgency
from agent.cells import Cell, Cells
from agent.config.model import Config
from agent.contexts import Contexts
from agent.jobs import certificate
from agent.jobs.authority import choose, is_emergency
from agent.jobs.context import Context
from agent.jobs.issue import effects as issue
from agent.jobs.lifecycle import is_suspect
from agent.jobs.reconcile import next_change, reason_to_issue, reconcile
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.notes import CaNotes
from agent.records.certificate import CertificateRecord
from agent.records.job import Failure
from agent.records.others import AccountRecord
from agent.records.slots import Slot, jobs
from agent.subjects.accounts import Accounts
from agent.subjects.subject import Draw
from agent.subjects.work import Bound

ASK_THE_CA: Final = frozenset({"issue", "revoke", "renewal-info", "abandon", "series"})
"""The kinds of jobs that ask the CA for something: what bounds it counts them."""


class CertificatePerformer(Protocol):
    """Performs the effects of a certificate's jobs."""

    async def for_certificate(
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: certificate.Effect,
        context: Context,
    ) -> certificate.Outcome:
        """Perform an effect of a certificate's job; raises `AgentError`."""
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
        performer: CertificatePerformer,
        *,
        context: Callable[[], Context | None],
        moment: Callable[[], Moment],
        books: Books,
    ) -> None:
        """Bind a slot of a cell; the job in it may be replaced meanwhile.

        `context` returns None once the certificate is no longer configured.
        """
        self._bound = Bound(cell, slot)
        self._performer = performer
        self._current_context = context
        self._known_context: Context | None = None
        self._moment = moment
        self._books = books
        self._notes: CaNotes | None = None

    def next(self, now: datetime) -> Do[certificate.Effect] | Wait | None:
        """Return the next step; None where the job is over, or no longer wanted."""
        record = self._bound.record
        context = self._current_context()
        if not self._bound.is_there or context is None:
            return None
        self._known_context = context
        return certificate.next_step(record, self._bound.slot, context, now)

    def begin(self, effect: certificate.Effect) -> None:
        """Make the intent durable."""
        self._notes = self._books.notes(self._context().ca) if _at_ca(effect) else None
        if self._notes is not None and isinstance(effect, issue.CreateOrder):
            self._notes.ordering(self._moment().now)
        self._bound.begin(effect.name)

    async def perform(self, effect: certificate.Effect) -> certificate.Outcome:
        """Perform an effect and return its outcome."""
        return await self._performer.for_certificate(
            self._bound.record, self._bound.slot, effect, self._context()
        )

    def fold(self, effect: certificate.Effect, outcome: certificate.Outcome) -> None:
        """Write down durably what came of it, unless the job was replaced meanwhile."""
        context, moment = self._context(), self._moment()
        slot = self._bound.slot
        self._bound.fold(
            lambda record: certificate.fold(
                record, slot, effect, outcome, context, moment
            )
        )
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
        if self._books.account is None or self._bound.slot.kind != "issue":
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
            raise LookupError(self._bound.record.name)
        return context

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        self._bound.interrupt()


class Certificates:
    """Every configured certificate; satisfies `agent.subjects.subject.Subjects`."""

    def __init__(
        self,
        cells: Cells,
        contexts: Contexts,
        accounts: Accounts,
        performer: CertificatePerformer,
    ) -> None:
        """Take the collaborators; `configure` comes before the first turn."""
        self._cells = cells
        self._contexts = contexts
        self._accounts = accounts
        self._performer = performer
        self._config = Config()

    def configure(self, config: Config) -> None:
        """Take the configuration in force."""
        self._config = config

    def reconcile(self, moment: Draw) -> Iterator[datetime]:
        """Give every certificate its jobs, and every account that it orders with."""
        for name in self._config.certificate:
            cell = self._cells.certificate(name)
            if cell is None:
                continue
            for account in self._contexts.accounts(name):
                if self._contexts.ends(name):
                    break
                if account not in self._cells.accounts:
                    yield from self._accounts.reconcile_one(account, moment)
            # Drawn only if something changes, yet the same for the whole edit.
            at = moment()
            cell.change(lambda record, m=at: self._reconciled(record, m))  # type: ignore[misc]  # a default binds the loop's value
            context = self._contexts.of(cell.record)
            change = next_change(cell.record, context, at.now)
            if change is not None:
                yield change

    def _reconciled(
        self, record: CertificateRecord, moment: Moment
    ) -> CertificateRecord:
        """Choose the CA, then say which jobs should exist for it: one transaction."""
        context = self._contexts.of(record)
        if context.ends:
            return reconcile(record, context, moment)
        reason = reason_to_issue(record, context, moment.now)
        record = choose(record, context, reason, moment.now)
        return reconcile(record, self._contexts.of(record), moment)

    def jobs(self, now: datetime) -> Iterator[Urgency]:
        """Yield every job; the earliest end comes first, emergencies before all."""
        for name, cell in self._cells.certificates.items():
            if name in self._contexts and (slots := jobs(cell.record)):
                current = cell.record.current
                replacing = cell.record.replacing is not None
                end = EARLIEST if current is None or replacing else current.not_after
                context = self._contexts.of(cell.record)
                calm = not (replacing or is_emergency(cell.record, context, now))
                for slot in slots:
                    place = Place("certificate", name, slot)
                    yield Urgency(calm=calm, end=end, place=place)

    def work(self, place: Place, moment: Draw) -> CertificateWork:
        """Return a job of a certificate, for the runner."""
        name, contexts = place.name, self._contexts
        return CertificateWork(
            self._cells.certificates[name],
            place.slot,
            self._performer,
            context=lambda: contexts.current(name) if name in contexts else None,
            moment=moment,
            books=Books(account=contexts.account(name), notes=contexts.notes),
        )

    def is_suspect(self, place: Place) -> bool:
        """Tell whether a job was under way in a crash and has not got over it."""
        return is_suspect(self._cells.certificates[place.name].record, place.slot)

    def ca(self, place: Place) -> str | None:
        """Return the CA that a job asks something of; None where it asks nothing."""
        if place.slot.kind not in ASK_THE_CA or place.name not in self._contexts:
            return None
        return self._contexts.current(place.name).ca

    def failures(self) -> Iterator[Failure]:
        """Yield the last failure of every job that has one."""
        for cell in self._cells.certificates.values():
            for job in jobs(cell.record).values():
                if job.failure is not None:
                    yield job.failure

    async def settle(self, place: Place) -> None:
        """Take down what was presented for a job that has moved on."""
        await self._performer.settle(self._cells.certificates[place.name].record)
