"""Hooks as subjects: they look at all others, and nothing waits for them."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Protocol

from agent.admission import Place, Urgency
from agent.cells import Cells
from agent.config.hook import Hook
from agent.config.model import Config
from agent.jobs import hooks
from agent.jobs.news import NfOf, Seen
from agent.records.hook import HookRecord, StandingAlarm
from agent.records.job import Failure
from agent.records.slots import Slot
from agent.runner import Work
from agent.shapes import AlarmView
from agent.subjects.subject import Draw
from agent.subjects.work import Kind, TableWork

KIND: Final = "hook"
JOB: Final[Kind[HookRecord, Hook, hooks.Deliver, hooks.Outcome]] = Kind(
    slot=Slot(KIND), next_step=hooks.next_step, fold=hooks.fold
)
LAST: Final = datetime.max.replace(tzinfo=UTC)
"""The urgency of what no certificate waits for."""


class HookPerformer(Protocol):
    """Performs the effects of a hook's job."""

    async def for_hook(
        self, record: HookRecord, effect: hooks.Deliver, table: Hook
    ) -> hooks.Outcome:
        """Perform an effect of a hook's job; raises `AgentError`."""
        ...


class Hooks:
    """Every configured hook; satisfies `agent.subjects.subject.Subjects`."""

    def __init__(
        self,
        cells: Cells,
        performer: HookPerformer,
        alarms: Callable[[], tuple[AlarmView, ...]],
    ) -> None:
        """Take the collaborators; `alarms` returns every alarm that stands."""
        self._cells = cells
        self._performer = performer
        self._alarms = alarms
        self._config = Config()

    def configure(self, config: Config) -> None:
        """Take the configuration in force."""
        self._config = config

    def reconcile(self, moment: Draw) -> Iterator[datetime]:
        """Tell every hook what it does not know yet; yield when each would change."""
        if not self._config.hook:
            return
        seen = self._seen()
        for name, table in self._config.hook.items():
            cell = self._cells.hook(name)
            if cell is None:
                continue
            others = _without_own(seen, name)
            at = moment()
            cell.change(
                lambda record, s=others, t=table, m=at: hooks.reconcile(record, s, t, m)  # type: ignore[misc]  # defaults bind the loop's values
            )
            change = hooks.next_change(cell.record, table, at.now)
            if change is not None:
                yield change

    def jobs(self, now: datetime) -> Iterator[Urgency]:  # noqa: ARG002 -- none is urgent
        """Yield every job; whatever else is due comes first."""
        for name, cell in self._cells.hooks.items():
            if name in self._config.hook and cell.record.job is not None:
                yield Urgency(calm=True, end=LAST, place=Place(KIND, name, JOB.slot))

    def work(self, place: Place, moment: Draw) -> Work[hooks.Deliver, hooks.Outcome]:
        """Return the job of a hook, for the runner."""
        return TableWork(
            self._cells.hooks[place.name],
            JOB,
            self._performer.for_hook,
            table=lambda: self._config.hook.get(place.name),
            moment=moment,
        )

    def is_suspect(self, place: Place) -> bool:  # noqa: ARG002 -- whatever the job
        """Return False: its program is a process of its own, nobody waits for it."""
        return False

    def ca(self, place: Place) -> str | None:  # noqa: ARG002 -- whatever the job
        """Return None: a hook asks no CA."""
        return None

    def failures(self) -> Iterator[Failure]:
        """Yield the last failure of every job that has one."""
        for cell in self._cells.hooks.values():
            job = cell.record.job
            if job is not None and job.failure is not None:
                yield job.failure

    async def settle(self, place: Place) -> None:
        """Let go of nothing: what a program leaves behind is ended with it."""

    def _seen(self) -> Seen:
        cells, config = self._cells, self._config
        return Seen(
            certificates={n: cell.record for n, cell in cells.certificates.items()},
            nfs={
                name: self._nf_of(name, table.nf)
                for name, table in config.certificate.items()
                if table.nf is not None
            },
            ended={n: cell.record.tombstones for n, cell in cells.nfs.items()},
            alarms=tuple(
                StandingAlarm(
                    kind=alarm.kind,
                    subject=alarm.subject,
                    id=alarm.id,
                    severity=alarm.severity,
                    cause=alarm.cause,
                    action=alarm.action,
                    raised=alarm.raised,
                )
                for alarm in self._alarms()
            ),
            unreadable=frozenset(cells.quarantined),
        )

    def _nf_of(self, certificate: str, nf: str) -> NfOf:
        """Return the function of a certificate: while it ends, the one that ends."""
        cell = self._cells.certificates.get(certificate)
        end = None if cell is None else cell.record.end
        if end is not None:
            return NfOf(name=end.phase.nf, instance_id=end.phase.instance_id)
        return NfOf(name=nf, instance_id=self._config.nf[nf].instance_id)


def _without_own(seen: Seen, name: str) -> Seen:
    """Return what a hook is told: not that it fails, which only others can hear."""
    others = tuple(
        alarm for alarm in seen.alarms if (alarm.kind, alarm.subject) != (KIND, name)
    )
    return dataclasses.replace(seen, alarms=others)
