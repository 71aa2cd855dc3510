"""The jobs that tell a CA of an account's contacts, or of its end (RFC 8555 7.3)."""

from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from agent.jobs.envelope import backed_off
from agent.jobs.roll import condemned, given_up, is_asked
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.records.others import AccountRecord, DeactivateJob, UpdateJob
from agent.records.phases import DeactivateWanted, UpdateWanted

DEACTIVATED = "deactivated"
"""The status of an account that was given up; it is final (section 7.1.6)."""


@dataclass(frozen=True, slots=True)
class UpdateContact:
    """Post the contacts to the account URL (section 7.3.2); idempotent."""

    contact: tuple[str, ...]
    name = "update"


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Post the status to the account URL (section 7.3.6).

    Attributes:
        again: It was posted before: that the account is refused is its success.
    """

    again: bool
    name = "deactivate"


Effect = UpdateContact | Deactivate


@dataclass(frozen=True, slots=True)
class Updated:
    """The CA has taken the contacts."""

    contact: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deactivated:
    """The account is closed."""


Outcome = Updated | Deactivated | Failed


def next_step(
    record: AccountRecord, job: UpdateJob | DeactivateJob, now: datetime
) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the ca asked for patience"
        return Wait(until=job.not_before, reason=reason)
    if is_asked(record):
        return Wait(until=None, reason="the account's key is being replaced")
    match job.phase:
        case UpdateWanted(contact=contact):
            return Do(UpdateContact(contact))
        case DeactivateWanted():
            return Do(Deactivate(again=_may_have_arrived(job)))


def _may_have_arrived(job: UpdateJob | DeactivateJob) -> bool:
    """Tell whether nobody knows what became of the last request."""
    failure = job.failure
    lost = failure is not None and failure.kind in {"transport", "acme.protocol"}
    return lost or job.intent != ""


def fold(
    record: AccountRecord, effect: Effect, outcome: Outcome, moment: Moment
) -> AccountRecord:
    """Return the account after an effect."""
    match outcome:
        case Updated(contact):
            return replace(record, contact=contact, update=None)
        case Deactivated():
            return _closed(record, moment)
        case Failed(failure) if isinstance(effect, UpdateContact):
            job = record.update
            after = None if job is None else backed_off(job, failure, moment.draw)
            return replace(record, update=after)
        case Failed(failure):
            last = record.deactivate
            waiting = None if last is None else backed_off(last, failure, moment.draw)
            return replace(record, deactivate=waiting)


def _closed(record: AccountRecord, moment: Moment) -> AccountRecord:
    """End everything that the account had, and send its keys on their way out."""
    record = given_up(record, moment)
    key = record.key
    record = replace(
        record,
        key=None,
        closed=DEACTIVATED,
        closed_at=moment.now,
        register=None,
        update=None,
        deactivate=None,
        roll_asked=None,
        blocked=None,
    )
    return record if key is None else condemned(record, key, moment)


def begin_update(
    record: AccountRecord, contact: tuple[str, ...], moment: Moment
) -> AccountRecord:
    """Return the account with a job that tells the CA these contacts."""
    job = UpdateJob(
        id=moment.token[:12],
        phase=UpdateWanted(contact=contact),
        reason="the configuration changed its contacts",
        created=moment.now,
    )
    return replace(record, update=job)


def begin_deactivation(
    record: AccountRecord, moment: Moment, nf: str = ""
) -> AccountRecord:
    """Return the account with a job that gives it up, by itself or with an NF."""
    job = DeactivateJob(
        id=moment.token[:12],
        phase=DeactivateWanted(),
        reason=f"nf {nf} is decommissioned" if nf else "an operator gave it up",
        created=moment.now,
    )
    return replace(record, deactivate=job, closed_with=nf)
