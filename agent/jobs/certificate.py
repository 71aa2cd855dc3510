"""The jobs of one certificate together: what each does next, and what it leaves behind.

One aggregate, one write: whatever an effect changes in its job, its keys, its
publications or its endpoints is in the record that this module returns. How a kind of
job stands in the record is in a module of its own; here is only which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import UnionType
from typing import Any, Final

from agent.jobs import (
    abandon,
    deploy,
    deploying,
    ending,
    farewell,
    issuing,
    renewal_info,
    replacing,
    request,
    retire,
    retiring,
    revoke,
    revoking,
    series,
    status,
)
from agent.jobs.alarms import with_alarms
from agent.jobs.context import Context
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.issue import effects as issue
from agent.jobs.step import Do, Moment, Wait
from agent.records.certificate import CertificateRecord
from agent.records.slots import Slot, jobs

Effect = (
    issue.Effect
    | deploy.Effect
    | retire.Effect
    | revoke.Effect
    | renewal_info.Effect
    | request.Effect
    | status.Effect
    | abandon.Effect
    | series.Effect
    | farewell.Effect
    | ending.Effect
)
Outcome = (
    issue.Outcome
    | deploy.Outcome
    | retire.Outcome
    | revoke.Outcome
    | renewal_info.Outcome
    | request.Outcome
    | status.Outcome
    | abandon.Outcome
    | series.Outcome
    | farewell.Outcome
    | ending.Outcome
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One job's turn: all that its kind may look at. The slot decides the types.

    Attributes:
        record: The aggregate that the job stands in.
        name: What the job is about, where there are many of its kind.
        job: The job itself.
        context: Configuration and neighbours.
    """

    record: CertificateRecord
    name: str
    job: Any
    context: Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a kind of job does next, and what it leaves behind.

    Attributes:
        next_step: Returns the next step.
        fold: Returns the whole record after an effect.
        outcomes: What may come of its effects.
    """

    next_step: Callable[[Turn, datetime], Do[Any] | Wait]
    fold: Callable[[Turn, Any, Any, Moment], CertificateRecord]
    outcomes: UnionType | tuple[()]


KINDS: Final[Mapping[str, Kind]] = {
    "issue": Kind(
        outcomes=issue.Outcome,
        next_step=lambda t, now: issuing.next_step(t.record, t.job, t.context, now),
        fold=lambda t, effect, outcome, moment: issuing.fold(
            t.record, t.job, effect, outcome, t.context, moment
        ),
    ),
    "deploy": Kind(
        outcomes=deploy.Outcome,
        next_step=lambda t, now: deploy.next_step(
            t.job, deploying.view_of(t.record, t.name, t.context, now), now
        ),
        fold=lambda t, effect, outcome, moment: deploying.fold(
            t.record, t.name, effect, outcome, t.context, moment
        ),
    ),
    "retire": Kind(
        outcomes=retire.Outcome,
        next_step=lambda t, now: retire.next_step(
            t.job, retiring.view_of(t.record, t.name, t.context), now
        ),
        fold=lambda t, effect, outcome, moment: retiring.fold(
            t.record, t.name, effect, outcome, moment
        ),
    ),
    "revoke": Kind(
        outcomes=revoke.Outcome,
        next_step=lambda t, now: revoke.next_step(
            t.job, revoking.view_of(t.record, t.name, t.context), now
        ),
        fold=lambda t, _, outcome, moment: revoking.fold(
            t.record, t.name, outcome, t.context, moment
        ),
    ),
    "replace": Kind(
        outcomes=(),
        next_step=lambda t, _: replacing.next_step(t.record, t.job, t.context),
        fold=lambda t, _, __, ___: t.record,
    ),
    "renewal-info": Kind(
        outcomes=renewal_info.Outcome,
        next_step=lambda t, now: renewal_info.next_step(
            t.record, t.job, t.context, now
        ),
        fold=lambda t, _, outcome, moment: renewal_info.fold(
            t.record, t.job, outcome, moment
        ),
    ),
    "csr": Kind(
        outcomes=request.Outcome,
        next_step=lambda t, now: request.next_step(t.job, now),
        fold=lambda t, _, outcome, moment: request.fold(
            t.record, t.job, outcome, moment
        ),
    ),
    "status": Kind(
        outcomes=status.Outcome,
        next_step=lambda t, _: status.next_step(t.record, t.job),
        fold=lambda t, effect, outcome, moment: status.fold(
            t.record, effect, outcome, moment
        ),
    ),
    "abandon": Kind(
        outcomes=abandon.Outcome,
        next_step=lambda t, now: abandon.next_step(t.record, t.job, t.context, now),
        fold=lambda t, effect, outcome, moment: abandon.fold(
            t.record, t.job, effect, outcome, moment
        ),
    ),
    "series": Kind(
        outcomes=series.Outcome,
        next_step=lambda t, now: series.next_step(
            t.record, t.name, t.job, t.context, now
        ),
        fold=lambda t, effect, outcome, moment: series.fold(
            t.record, t.name, effect, outcome, t.context, moment
        ),
    ),
    "farewell": Kind(
        outcomes=farewell.Outcome,
        next_step=lambda t, now: farewell.next_step(
            t.job, farewell.view_of(t.record, t.name, t.context), now
        ),
        fold=lambda t, _, outcome, moment: farewell.fold(
            t.record, t.name, outcome, t.context, moment
        ),
    ),
    "end": Kind(
        outcomes=ending.Outcome,
        next_step=lambda t, now: ending.next_step(t.record, t.job, t.context, now),
        fold=lambda t, _, outcome, moment: ending.fold(
            t.record, t.job, outcome, moment
        ),
    ),
}
"""Every kind of job that a certificate can have; a further one is one row."""


def next_step(
    record: CertificateRecord, slot: Slot, context: Context, now: datetime
) -> Do[Effect] | Wait:
    """Return what the job in a slot does next."""
    job = jobs(record).get(slot)
    if job is None:
        return Wait(until=None, reason="there is no such job")
    if job.crashes >= QUARANTINE_AFTER:
        return Wait(until=None, reason="quarantined: the process crashed in this job")
    if context.ends and not ending.goes_on(slot.kind, job):
        return Wait(until=None, reason="its network function is decommissioned")
    turn = Turn(record=record, name=slot.name, job=job, context=context)
    return KINDS[slot.kind].next_step(turn, now)


def fold(
    record: CertificateRecord,
    slot: Slot,
    effect: Effect,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of one of its jobs.

    The slot decides the kind, and what comes of an effect is of the effect's kind. The
    alarms change in the same write: whoever sees a job over sees its alarm over too.
    """
    job, kind = jobs(record)[slot], KINDS[slot.kind]
    if not isinstance(outcome, kind.outcomes):
        raise TypeError(f"{slot.kind} cannot have {outcome}")
    turn = Turn(record=record, name=slot.name, job=job, context=context)
    after = kind.fold(turn, effect, outcome, moment)
    return with_alarms(after, context, moment.now)
