"""Lists of trusted roots as subjects: reconciled, due, and bound to their records."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Protocol

from agent.admission import EARLIEST, Place, Urgency
from agent.cells import Cells
from agent.config.model import Config
from agent.config.trust import Trust
from agent.jobs import trust
from agent.jobs.lifecycle import is_suspect
from agent.records.job import Failure
from agent.records.slots import Slot
from agent.records.trust import TrustRecord
from agent.runner import Work
from agent.subjects.subject import Draw
from agent.subjects.work import Kind, TableWork

JOB: Final[Kind[TrustRecord, Trust, trust.Effect, trust.Outcome]] = Kind(
    slot=Slot("trust"), next_step=trust.next_step, fold=trust.fold
)


class ListPerformer(Protocol):
    """Performs the effects of a list's job."""

    async def for_list(
        self, record: TrustRecord, effect: trust.Effect, table: Trust
    ) -> trust.Outcome:
        """Perform an effect of a list's job; raises `AgentError`."""
        ...


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
                place = Place("trust", name, JOB.slot)
                yield Urgency(calm=False, end=EARLIEST, place=place)

    def work(self, place: Place, moment: Draw) -> Work[trust.Effect, trust.Outcome]:
        """Return the job of a list, for the runner."""
        return TableWork(
            self._cells.trusts[place.name],
            JOB,
            self._performer.for_list,
            table=lambda: self._tables.get(place.name),
            moment=moment,
        )

    def is_suspect(self, place: Place) -> bool:
        """Tell whether its job was under way in a crash and has not got over it."""
        return is_suspect(self._cells.trusts[place.name].record, place.slot)

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
