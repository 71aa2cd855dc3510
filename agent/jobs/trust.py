"""The job that keeps a list of trusted roots: fetched, merged, published, again.

It stands as long as its list is configured. What a source offers is held against the
record when it is folded, so that what is durable decides, and no fetch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.config.trust import Trust
from agent.config.units import duration
from agent.jobs.envelope import QUARANTINE_AFTER, backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.job import Alarm, Failure, Severity
from agent.records.trust import (
    FetchDue,
    Merged,
    Published,
    RefusedDocument,
    TrustJob,
    TrustRecord,
)
from agent.renewal.backoff import SPREAD
from agent.renewal.disposition import failure_of
from agent.trust.errors import OverrulableError, TrustError
from agent.trust.merge import (
    Policy,
    admit,
    has_all_ended,
    merge,
    next_passing,
    passed,
)
from agent.trust.roots import Document

PATIENCE: Final = 3
"""Fetches in a row that bring nothing after which it is an alarm."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the source, and read what it offers."""

    name = "fetch"


@dataclass(frozen=True, slots=True)
class PublishRoots:
    """Write the files of a version, and point consumers to them."""

    version: int
    name = "publish-roots"


@dataclass(frozen=True, slots=True)
class PruneRoots:
    """Remove the files of versions that nobody needs."""

    name = "prune-roots"


Effect = Fetch | PublishRoots | PruneRoots


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the source offers, whole and well formed."""

    document: Document


Outcome = Fetched | Performed | Failed


def policy_of(table: Trust) -> Policy:
    """Return how a list is kept, as its table says."""
    return Policy(
        source=table.source,
        delay=duration(table.delay),
        overlap=duration(table.overlap),
        max_step=table.max_step,
    )


def reconcile(record: TrustRecord, table: Trust, moment: Moment) -> TrustRecord:
    """Return the list with its job, without what is over, with its alarms."""
    record = passed(record, duration(table.overlap), moment.now)
    job = record.job
    if job is None:
        reason = "the list is followed"
        job = TrustJob(
            id=moment.token[:12],
            phase=FetchDue(),
            reason=reason,
            created=moment.now,
        )
    unpublished = record.version != record.published
    if unpublished and isinstance(job.phase, FetchDue) and not job.running:
        job = entered(job, Merged())
    record = replace(record, job=job)
    return _with_alarms(record, table, moment.now)


def next_change(record: TrustRecord, table: Trust, now: datetime) -> datetime | None:
    """Return the next instant at which `reconcile` would do something by itself."""
    overlap = duration(table.overlap)
    instants = [
        next_passing(record, overlap, now),
        record.expires,
        _stale(record, table),
    ]
    later = (instant for instant in instants if instant is not None and instant > now)
    return min(later, default=None)


def next_step(record: TrustRecord, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now; total over every phase."""
    job = record.job
    if job is None:
        return Wait(until=None, reason="there is no such job")
    if job.crashes >= QUARANTINE_AFTER:
        return Wait(until=None, reason="quarantined: the process crashed in this job")
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "its source is asked again"
        return Wait(until=job.not_before, reason=reason)
    fetch_due = record.fetch_at is None or now >= record.fetch_at
    if isinstance(job.phase, FetchDue) and not fetch_due:
        return Wait(until=record.fetch_at, reason="its source is asked again")
    return Do(_effect(record, job))


def _effect(record: TrustRecord, job: TrustJob) -> Effect:
    match job.phase:
        case Merged():
            return PublishRoots(record.version)
        case Published():
            return PruneRoots()
        case FetchDue():
            return Fetch()


def fold(
    record: TrustRecord,
    effect: Effect,
    outcome: Outcome,
    table: Trust,
    moment: Moment,
) -> TrustRecord:
    """Return the list after an effect."""
    after = _folded(record, effect, outcome, table, moment)
    after = hurried(replace(after, hurry=False)) if record.hurry else after
    return _with_alarms(after, table, moment.now)


def _folded(
    record: TrustRecord,
    effect: Effect,
    outcome: Outcome,
    table: Trust,
    moment: Moment,
) -> TrustRecord:
    job = record.job
    if job is None:
        return record
    match outcome, effect:
        case Failed(failure), _:
            return replace(record, job=backed_off(job, failure, moment.draw))
        case Fetched(document), _:
            return _offered(record, job, document, table, moment)
        case _, PublishRoots(version):
            done = replace(record, published=version, published_at=moment.now)
            return replace(done, job=entered(job, Published()))
        case _:
            return replace(record, job=entered(job, FetchDue()))


def _offered(
    record: TrustRecord,
    job: TrustJob,
    document: Document,
    table: Trust,
    moment: Moment,
) -> TrustRecord:
    """Take a document, or keep what is in force and say why."""
    policy = policy_of(table)
    try:
        admit(record, document, policy, moment.now)
    except TrustError as error:
        failure = failure_of(error, moment.now)
        refused = _refused(record, error, failure)
        return replace(
            record, refused=refused, job=backed_off(job, failure, moment.draw)
        )
    after = merge(record, document, policy, moment.now)
    spread = 1 + SPREAD * (2 * moment.draw - 1)
    again = moment.now + duration(table.interval) * spread
    changed = after.version != after.published
    well = replace(job, failures=0, failure=None)
    phase = Merged() if changed else FetchDue()
    return replace(after, fetch_at=again, job=entered(well, phase))


def _refused(
    record: TrustRecord, error: TrustError, failure: Failure
) -> RefusedDocument | None:
    if isinstance(error, OverrulableError):
        return RefusedDocument(
            digest=error.digest, reason=failure.message, at=failure.at
        )
    return record.refused


def accept(record: TrustRecord) -> TrustRecord | None:
    """Return the list that takes what it refused last; None where there is nothing."""
    if record.refused is None:
        return None
    return replace(hurried(record), accepted=record.refused.digest)


def hurried(record: TrustRecord) -> TrustRecord:
    """Return the list whose source is asked at once; quarantine is over as well.

    What is under way may have been asked before there was anything new: after it the
    source is asked again.
    """
    job = record.job
    if job is None:
        return record
    if job.running:
        return replace(record, hurry=True)
    failure = job.failure
    patient = failure is not None and failure.retry_at is not None
    job = replace(job, crashes=0, crashed_in="")
    if not patient:
        job = replace(job, not_before=None)
    return replace(record, fetch_at=None, job=job)


# -- alarms


def _with_alarms(record: TrustRecord, table: Trust, now: datetime) -> TrustRecord:
    alarms = {
        slug: replace(alarm, raised=record.alarms[slug].raised)
        if slug in record.alarms
        else alarm
        for slug, alarm in _called_for(record, table, now)
    }
    return record if alarms == record.alarms else replace(record, alarms=alarms)


def _called_for(
    record: TrustRecord, table: Trust, now: datetime
) -> Iterator[tuple[str, Alarm]]:
    job = record.job
    if has_all_ended(record, now):
        cause = "every root of the list has ended; the last ones stay published"
        yield "ended", _alarm(Severity.CRITICAL, cause, now)
    if record.version and not record.roots:
        cause = "the list is empty, as an operator accepted"
        yield "empty", _alarm(Severity.MAJOR, cause, now)
    stale, failing = _stale(record, table), job is not None and job.failure
    if stale is not None and now >= stale and failing:
        since = record.fetched_at or now
        cause = f"the list was last fetched at {since:%Y-%m-%d %H:%M:%SZ}"
        yield "stale", _alarm(Severity.MAJOR, cause, now)
    if record.expires is not None and now >= record.expires:
        cause = f"the signed list has ended at {record.expires:%Y-%m-%d %H:%M:%SZ}"
        yield "expired", _alarm(Severity.MAJOR, f"{cause}; its roots stay", now)
    if job is not None:
        yield from _of_job(job, now)


def _of_job(job: TrustJob, now: datetime) -> Iterator[tuple[str, Alarm]]:
    if job.crashes >= QUARANTINE_AFTER:
        cause = "quarantined, because the process crashed in this job"
        yield "quarantined", _alarm(Severity.CRITICAL, cause, now)
    failure = job.failure
    if failure is None:
        return
    slug = REFUSALS.get(failure.kind)
    if slug is not None:
        yield slug, _alarm(Severity.MAJOR, failure.message, now, failure.hint)
    elif job.failures >= PATIENCE:
        yield "failing", _alarm(Severity.WARNING, failure.message, now, failure.hint)


REFUSALS: Final[Mapping[str, str]] = {
    "trust.bounds": "refused-bounds",
    "trust.empty": "refused-empty",
    "trust.entry": "refused-entry",
    "trust.expired": "refused-expired",
    "trust.format": "refused-format",
    "trust.rollback": "refused-rollback",
    "trust.signature": "refused-signature",
    "trust.step": "refused-step",
}
"""What is an alarm at once: something was offered, and it is not taken."""


def _stale(record: TrustRecord, table: Trust) -> datetime | None:
    """Return when the list counts as stale: several fetches have brought nothing."""
    if record.fetched_at is None:
        return None
    return record.fetched_at + PATIENCE * duration(table.interval)


def _alarm(severity: Severity, cause: str, now: datetime, action: str = "") -> Alarm:
    return Alarm(severity=severity, cause=cause, action=action, raised=now)
