"""The jobs of one certificate together: what each does next, and what it leaves behind.

One aggregate, one write: whatever an effect changes in its job, its keys, its
publications or its endpoints is in the record that this module returns. How a kind of
job stands in the record is in a module of its own; here is only which.
"""

from datetime import datetime

from agent.jobs import (
    abandon,
    deploy,
    deploying,
    issuing,
    renewal_info,
    replacing,
    request,
    retire,
    retiring,
    revoke,
    revoking,
    status,
)
from agent.jobs.context import Context
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.issue import effects as issue
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import CertificateRecord, Slot, jobs

Effect = (
    issue.Effect
    | deploy.Effect
    | retire.Effect
    | revoke.Effect
    | renewal_info.Effect
    | request.Effect
    | status.Effect
    | abandon.Effect
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
)


def next_step(  # noqa: C901, PLR0911, PLR0912 -- one arm a kind
    record: CertificateRecord, slot: Slot, context: Context, now: datetime
) -> Do[Effect] | Wait:
    """Return what the job in a slot does next."""
    job = jobs(record).get(slot)
    if job is None:
        return Wait(until=None, reason="there is no such job")
    if job.crashes >= QUARANTINE_AFTER:
        return Wait(until=None, reason="quarantined: the process crashed in this job")
    match slot.kind:
        case "issue" if record.issue is not None:
            return issuing.next_step(record, record.issue, context, now)
        case "deploy":
            deployment = deploying.view_of(record, slot.name, context, now)
            return deploy.next_step(record.deploy[slot.name], deployment, now)
        case "revoke":
            revocation = revoking.view_of(record, slot.name, context)
            return revoke.next_step(record.revoke[slot.name], revocation, now)
        case "replace" if record.replacing is not None:
            return replacing.next_step(record, record.replacing, context)
        case "renewal-info" if record.renewal_info is not None:
            return renewal_info.next_step(record, record.renewal_info, context, now)
        case "csr" if record.requesting is not None:
            return request.next_step(record.requesting, now)
        case "status" if record.checking is not None:
            return status.next_step(record, record.checking)
        case "abandon" if record.abandon is not None:
            return abandon.next_step(record, record.abandon, context, now)
        case _:
            retirement = retiring.view_of(record, slot.name, context)
            return retire.next_step(record.retire[slot.name], retirement, now)


def fold(  # noqa: C901, PLR0911 -- one arm a kind
    record: CertificateRecord,
    slot: Slot,
    effect: Effect,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of one of its jobs.

    The slot decides the kind, and what comes of an effect is of the effect's kind.
    """
    name = slot.name
    match slot.kind:
        case "issue" if record.issue is not None:
            return issuing.fold(record, record.issue, effect, outcome, context, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case "deploy":
            return deploying.fold(record, name, effect, outcome, context, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case "revoke" if isinstance(outcome, Performed | Failed):
            return revoking.fold(record, name, outcome, context, moment)
        case "renewal-info" if record.renewal_info is not None:
            return renewal_info.fold(record, record.renewal_info, outcome, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case "csr" if record.requesting is not None:
            return request.fold(record, record.requesting, outcome, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case "status" if isinstance(effect, status.AskStatus):
            return status.fold(record, effect, outcome, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case "abandon" if record.abandon is not None:
            return abandon.fold(record, record.abandon, effect, outcome, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case "retire" if isinstance(outcome, Performed | Failed):
            return retiring.fold(record, name, effect, outcome, moment)  # type: ignore[arg-type]  # the slot decides the kind
        case _:
            raise TypeError(f"{slot.kind} cannot have {outcome}")
