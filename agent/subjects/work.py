"""A job bound to its subject's record: what is durable around each of its effects."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from agent.cells import Cell
from agent.jobs.lifecycle import begin, interrupt
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.records.codec import J
from agent.records.slots import Slot, jobs
from agent.runner import Named

T = TypeVar("T")
E = TypeVar("E", bound=Named)
O = TypeVar("O")  # noqa: E741 -- an outcome


class Bound(Generic[J]):
    """A slot of a record; the job in it may be replaced while an effect is performed.

    Attributes:
        cell: The record with its file.
        slot: Where the job stands in it.
    """

    def __init__(self, cell: Cell[J], slot: Slot) -> None:
        """Bind a slot of a cell."""
        self.cell: Cell[J] = cell
        self.slot = slot
        self._job = ""

    @property
    def record(self) -> J:
        """Return the record as it is now."""
        return self.cell.record

    @property
    def is_there(self) -> bool:
        """Tell whether there is a job in the slot."""
        return self.slot in jobs(self.record)

    def begin(self, intent: str) -> None:
        """Make the intent durable; what follows is folded into this job only."""
        self._job = jobs(self.record)[self.slot].id
        self.cell.change(lambda record: begin(record, self.slot, intent))

    def fold(self, edit: Callable[[J], J]) -> None:
        """Make durable what an edit says, unless the job was replaced meanwhile."""

        def guarded(record: J) -> J:
            job = jobs(record).get(self.slot)
            return record if job is None or job.id != self._job else edit(record)

        self.cell.change(guarded)

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        if self.is_there:
            self.cell.change(lambda record: interrupt(record, self.slot))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[J, T, E, O]):
    """What the only job of a subject does next, and what it leaves behind.

    Attributes:
        slot: Where it stands in the record.
        next_step: Returns the next step.
        fold: Returns the whole record after an effect.
    """

    slot: Slot
    next_step: Callable[[J, datetime], Do[E] | Wait]
    fold: Callable[[J, E, O | Failed, T, Moment], J]


class TableWork(Generic[J, T, E, O]):
    """The only job of a subject that has a table; satisfies `agent.runner.Work`."""

    def __init__(
        self,
        cell: Cell[J],
        kind: Kind[J, T, E, O],
        perform: Callable[[J, E, T], Awaitable[O]],
        *,
        table: Callable[[], T | None],
        moment: Callable[[], Moment],
    ) -> None:
        """Bind a cell; `table` returns None once there is no table any more."""
        self._bound: Bound[J] = Bound(cell, kind.slot)
        self._kind: Kind[J, T, E, O] = kind
        self._perform: Callable[[J, E, T], Awaitable[O]] = perform
        self._table = table
        self._moment = moment
        self._began: T | None = None

    def next(self, now: datetime) -> Do[E] | Wait | None:
        """Return the next step; None where the subject is no longer wanted."""
        if not self._bound.is_there or self._table() is None:
            return None
        return self._kind.next_step(self._bound.record, now)

    def begin(self, effect: E) -> None:
        """Make the intent durable; the table of this moment holds for the effect."""
        self._began = self._table()
        self._bound.begin(effect.name)

    async def perform(self, effect: E) -> O:
        """Perform an effect and return its outcome."""
        return await self._perform(self._bound.record, effect, self._begun())

    def fold(self, effect: E, outcome: O | Failed) -> None:
        """Write down durably what came of it, unless the job was replaced meanwhile."""
        fold, table, moment = self._kind.fold, self._begun(), self._moment()
        self._bound.fold(lambda record: fold(record, effect, outcome, table, moment))

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        self._bound.interrupt()

    def _begun(self) -> T:
        if self._began is None:
            raise LookupError(self._bound.record.name)
        return self._began
