"""The jobs of one account together: what each does next, and what it leaves behind."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from agent.jobs import account_changes, register, retire, roll
from agent.jobs.context import AccountContext
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.keys import FILE_STORE
from agent.records.others import AccountRecord
from agent.records.phases import Answering
from agent.records.slots import Slot, jobs
from agent.renewal.backoff import HOURLY

Effect = register.Effect | roll.Effect | account_changes.Effect | retire.DestroyKey
Outcome = register.Outcome | roll.Outcome | account_changes.Outcome | Performed


def next_step(
    record: AccountRecord, slot: Slot, context: AccountContext, now: datetime
) -> Do[Effect] | Wait:
    """Return what the job in a slot does next."""
    job = jobs(record).get(slot)
    if job is None:
        return Wait(until=None, reason="there is no such job")
    if job.crashes >= QUARANTINE_AFTER:
        return Wait(until=None, reason="quarantined: the process crashed in this job")
    step: Do[Effect] | Wait
    match slot.kind:
        case "register":
            step = _widened(register.next_step(record, now))
        case "roll" if record.roll is not None:
            step = _widened(roll.next_step(record, record.roll, context, now))
        case "update" if record.update is not None:
            step = _widened(account_changes.next_step(record, record.update, now))
        case "deactivate" if record.deactivate is not None:
            step = _widened(account_changes.next_step(record, record.deactivate, now))
        case _:
            step = _next_retirement(record, slot.name, context, now)
    return step


def _widened(
    step: Do[register.Effect] | Do[roll.Effect] | Do[account_changes.Effect] | Wait,
) -> Do[Effect] | Wait:
    return step if isinstance(step, Wait) else Do(step.effect)


def _next_retirement(
    record: AccountRecord, identity: str, context: AccountContext, now: datetime
) -> Do[Effect] | Wait:
    job, key = record.retire[identity], record.spare(identity)
    view = retire.View(
        key=identity,
        condemned_at=key.condemned_at or job.created,
        grace=timedelta(0) if record.closed_with else context.grace,
        never=key.store != FILE_STORE and key.store in context.never_destroy,
    )
    step = retire.next_step(job, view, now)
    if isinstance(step, Do) and isinstance(step.effect, retire.DestroyKey):
        return Do(step.effect)
    return step if isinstance(step, Wait) else Do(retire.DestroyKey(identity))


def fold(
    record: AccountRecord,
    slot: Slot,
    effect: Effect,
    outcome: Outcome,
    context: AccountContext,
    moment: Moment,
) -> AccountRecord:
    """Return the whole record after an effect of one of its jobs."""
    match effect:
        case register.MakeAccountKey() | register.Register():
            return register.fold(record, outcome, moment)  # type: ignore[arg-type]  # the effect decides the outcome
        case account_changes.UpdateContact() | account_changes.Deactivate():
            return account_changes.fold(record, effect, outcome, moment)  # type: ignore[arg-type]  # the effect decides the outcome
        case retire.DestroyKey():
            return _fold_retirement(record, slot.name, outcome, moment)
        case _ if record.roll is not None:
            return roll.fold(record, record.roll, effect, outcome, context, moment)  # type: ignore[arg-type]  # the effect decides the outcome
        case _:
            return record


def _fold_retirement(
    record: AccountRecord, identity: str, outcome: Outcome, moment: Moment
) -> AccountRecord:
    """Forget a key that is gone: nothing was published with it, nothing is pruned."""
    if isinstance(outcome, Failed):
        after = retire.fold(record.retire[identity], outcome, moment)
        return replace(record, retire={**record.retire, identity: after})
    rest = {i: job for i, job in record.retire.items() if i != identity}
    keys = tuple(key for key in record.keys if key.id != identity)
    return replace(record, retire=rest, keys=keys)


def why_unusable(record: AccountRecord) -> str:
    """Return why nothing can be asked of the CA in the account's name; empty if it can.

    This is what certificates of the account wait for, in words for `plan`.
    """
    if record.closed:
        return (
            f"the account {record.name} is {record.closed} for good; "
            "let another account order"
        )
    if record.deactivate is not None:
        return f"the account {record.name} is being deactivated"
    if roll.is_asked(record):
        return f"the key of the account {record.name} is being replaced"
    if record.url:
        return ""
    failure = None if record.register is None else record.register.failure
    reason = "the account is not registered yet"
    return f"{reason}: {failure.message}" if failure else reason


def waits_for_person(record: AccountRecord, now: datetime) -> Wait | None:
    """Return how long orders of the account wait for what a person must do first.

    One of its certificates tries again, once an hour at most; the others wait for it.
    """
    blocked = record.blocked
    if blocked is None or now >= blocked.at + HOURLY:
        return None
    return Wait(until=blocked.at + HOURLY, reason=blocked.message)


def is_bound(record: CertificateRecord) -> bool:
    """Tell whether something of a certificate's order is bound to the account's key.

    It is from the answer to a challenge until the CA has validated it, and while a
    signed request is under way.
    """
    job = record.issue
    if job is None:
        return False
    phase = job.phase
    if job.running and job.intent != "make-key":
        return True
    if not isinstance(phase, Answering):
        return False
    answering = job.intent in {"answer", "fetch-authorization"}
    return answering or any(a.answered and not a.valid for a in phase.authorizations)
