"""Lists of trusted roots as subjects: reconciled, due, and bound to their records."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, Protocol

from msgspec.structs import replace

from agent.admission import EARLIEST, Place, Urgency
from agent.cells import Cell, Cells
from agent.config.model import Config
from agent.config.trust import Trust
from agent.jobs import trust
from agent.jobs.envelope import begun, interrupted
from agent.jobs.step import Do, Moment, Wait
from agent.records.job import Failure
from agent.records.slots import Slot
from agent.records.trust import TrustJob, TrustRecord
from agent.subjects.subject import Draw

SLOT: Final = Slot("trust")


class ListPerformer(Protocol):
    """Performs the effects of a list's job."""

    async def for_list(
        self, record: TrustRecord, effect: trust.Effect, table: Trust
    ) -> trust.Outcome:
        """Perform an effect of a list's job; raises `AgentError`."""
        ...


class ListWork:
    """The job of a list; satisfies `agent.runner.Work`."""

    def __init__(
        self,
        cell: Cell[TrustRecord],
        performer: ListPerformer,
        *,
        table: Callable[[], Trust | None],
        moment: Callable[[], Moment],
    ) -> None:
        """Bind a cell; `table` returns None once the list is no longer configured."""
        self._cell = cell
        self._performer = performer
        self._table = table
        self._moment = moment
        self._began: tuple[str, Trust] | None = None

    def next(self, now: datetime) -> Do[trust.Effect] | Wait | None:
        """Return the next step; None where the list is no longer wanted."""
        if self._cell.record.job is None or self._table() is None:
            return None
        return trust.next_step(self._cell.record, now)

    def begin(self, effect: trust.Effect) -> None:
        """Make the intent durable; the table of this moment holds for the effect."""
        job, table = self._cell.record.job, self._table()
        if job is None or table is None:
            raise LookupError(self._cell.record.name)
        self._began = job.id, table
        self._edit(lambda job: begun(job, effect.name))

    async def perform(self, effect: trust.Effect) -> trust.Outcome:
        """Perform an effect and return its outcome."""
        _, table = self._begun()
        return await self._performer.for_list(self._cell.record, effect, table)

    def fold(self, effect: trust.Effect, outcome: trust.Outcome) -> None:
        """Write down durably what came of it, unless the job was replaced meanwhile."""
        identity, table = self._begun()
        moment = self._moment()

        def edit(record: TrustRecord) -> TrustRecord:
            if record.job is None or record.job.id != identity:
                return record
            return trust.fold(record, effect, outcome, table, moment)

        self._cell.change(edit)

    def interrupt(self) -> None:
        """Note durably that a shutdown, not a crash, cut the effect short."""
        self._edit(interrupted)

    def _begun(self) -> tuple[str, Trust]:
        if self._began is None:
            raise LookupError(self._cell.record.name)
        return self._began

    def _edit(self, edit: Callable[[TrustJob], TrustJob]) -> None:
        def change(record: TrustRecord) -> TrustRecord:
            if record.job is None:
                return record
            return replace(record, job=edit(record.job))

        self._cell.change(change)


class Lists:
    """Every configured list; satisfies `agent.subjects.subject.Subjects`."""

    def __init__(self, cells: Cells, performer: ListPerformer) -> None:
        """Take the collaborators; `configure` comes before the first turn."""
        self._cells = cells
        self._performer = performer
        self._tables: dict[str, Trust] = {}

    def configure(self, config: Config) -> None:
        """Take the tables of the configuration in force."""
        self._tables = dict(config.trust)

    def reconcile(self, moment: Draw) -> Iterator[datetime]:
        """Give every list its job; yield when each would change by itself."""
        for name, table in self._tables.items():
            cell = self._cells.trust(name)
            if cell is None:
                continue
            at = moment()
            cell.change(
                lambda record, t=table, m=at: trust.reconcile(record, t, m)  # type: ignore[misc]  # defaults bind the loop's values
            )
            change = trust.next_change(cell.record, table, at.now)
            if change is not None:
                yield change

    def jobs(self, now: datetime) -> Iterator[Urgency]:  # noqa: ARG002 -- none can wait
        """Yield every job: certificates wait for what lists bring."""
        for name, cell in self._cells.trusts.items():
            if name in self._tables and cell.record.job is not None:
                place = Place("trust", name, SLOT)
                yield Urgency(calm=False, end=EARLIEST, place=place)

    def work(self, place: Place, moment: Draw) -> ListWork:
        """Return the job of a list, for the runner."""
        return ListWork(
            self._cells.trusts[place.name],
            self._performer,
            table=lambda: self._tables.get(place.name),
            moment=moment,
        )

    def is_suspect(self, place: Place) -> bool:
        """Tell whether its job was under way in a crash and has not got over it."""
        job = self._cells.trusts[place.name].record.job
        return job is not None and job.crashes > 0

    def ca(self, place: Place) -> str | None:  # noqa: ARG002 -- whatever the job
        """Return None: a list asks its source, not a CA."""
        return None

    def failures(self) -> Iterator[Failure]:
        """Yield the last failure of every job that has one."""
        for cell in self._cells.trusts.values():
            job = cell.record.job
            if job is not None and job.failure is not None:
                yield job.failure

    async def settle(self, place: Place) -> None:
        """Let go of nothing: a list's job holds nothing."""
