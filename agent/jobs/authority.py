"""Which CA of a certificate's list is ordered from: fail-over, and back.

A CA further down the list is a downgrade. It is chosen only where the one before it
does not work or, in an emergency, has asked for patience; never because that one has
refused; and only where the peers trust what it issues.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from agent.jobs.context import Authority, Context
from agent.jobs.step import Wait
from agent.records.certificate import (
    CertificateRecord,
    Choice,
    Issuance,
    IssueJob,
    Parked,
)
from agent.records.job import Failure
from agent.renewal.breaker import Standing, is_outage
from agent.renewal.plan import plan

FIRST_FAILURES: Final = 3
"""Failed attempts in a row at a CA after which the first certificate of all may come
from the next one."""
LAST_PART: Final = 4
"""A certificate in service that has less than this part of its life left may."""


def choose(
    record: CertificateRecord, context: Context, reason: str | None, now: datetime
) -> CertificateRecord:
    """Return the record with the CA that its next order goes to.

    Args:
        record: The certificate.
        context: Its context, as the choice so far makes it.
        reason: Why a new certificate is due; None where none is.
        now: Wall time.
    """
    record = _without_void(record, context)
    job = record.issue
    if not context.authorities or record.held:
        return record
    if job is not None:
        idle = not (job.running or job.crashes)
        return _left(record, context, job, now) if idle else record
    if record.choice is None or reason is None:
        return record
    # Every renewal begins with the first CA again.
    return replace(record, choice=None, parked={})


def _left(
    record: CertificateRecord, context: Context, job: IssueJob, now: datetime
) -> CertificateRecord:
    """Return the record with another CA where there is a reason and one to go to."""
    why = f"the attempt at {context.ca} failed"
    target = next(_better(record, context, job, now), None)
    if target is None:
        why = reason_to_leave(record, context, now)
        target = next(_worse(record, context, now), None) if why else None
    if target is None:
        return record
    return _switched(record, context, job, target, why, now)


def reason_to_leave(record: CertificateRecord, context: Context, now: datetime) -> str:
    """Return why the CA may be left for one further down the list, empty for not."""
    job, current = record.issue, record.current
    if job is None:
        return ""
    failures, failure = _trouble(job, context)
    broken = failure is not None and is_outage(failure)
    # Once its pause is over, it is for a probe to say whether it works.
    down = context.standing.down and context.standing.shut(now)
    said = f": {failure.message}" if failure is not None else ""
    if current is None:
        if down or (broken and failures >= FIRST_FAILURES):
            return f"{context.ca} does not work and there is no certificate yet{said}"
        return ""
    if now >= last_part(current) and (broken or down):
        return f"{context.ca} does not work and little of the life is left{said}"
    if is_emergency(record, context, now) and _patience(context, failure, now):
        return f"{context.ca} asks for patience and the certificate is about to end"
    return ""


def _patience(context: Context, failure: Failure | None, now: datetime) -> bool:
    """Tell whether the CA has asked for patience, of this job or of all."""
    at = None if failure is None else failure.retry_at
    standing = context.standing
    shut = standing.asked and standing.shut(now)
    return (at is not None and at > now) or standing.limited(now) or shut


def is_emergency(record: CertificateRecord, context: Context, now: datetime) -> bool:
    """Tell whether so little life is left that our own back-off no longer holds.

    A certificate that is revoked has none.
    """
    current = record.current
    if current is None:
        return False
    if record.revocation(current.fingerprint) is not None:
        return True
    return now >= plan(current, context.config.renew_at).emergency_at


def last_part(issuance: Issuance) -> datetime:
    """Return from when on a certificate in service may come from a stand-in."""
    life = max(issuance.not_after - issuance.not_before, timedelta(0))
    return issuance.not_after - life / LAST_PART


def changes(record: CertificateRecord, context: Context) -> Iterator[datetime]:
    """Yield the instants at which `choose` could choose otherwise."""
    if not context.authorities:
        return
    if record.current is not None:
        yield last_part(record.current)
    if record.issue is None:
        return
    for parked in record.parked.values():
        if parked.not_before is not None:
            yield parked.not_before
    for one in context.authorities:
        if one.standing.shut_until is not None:
            yield one.standing.shut_until


def gated(standing: Standing, now: datetime, *, urgent: bool) -> Wait | None:
    """Return what keeps an effect from its CA, None where it may be asked.

    An emergency overrides the breaker, never what the CA itself has asked for.

    Args:
        standing: Whether the CA may be asked.
        now: Wall time.
        urgent: The certificate in service is about to end.
    """
    if standing.shut(now) and (standing.asked or not urgent):
        return Wait(until=standing.shut_until, reason=standing.shut_reason)
    return None


def order_gated(standing: Standing, now: datetime) -> Wait | None:
    """Return what keeps a new order from its CA, None where one may be asked for."""
    if standing.limited(now):
        reason = f"the account has met a limit: {standing.limited_reason}"
        return Wait(until=standing.limited_until, reason=reason)
    if standing.order_at is not None and now < standing.order_at:
        return Wait(until=standing.order_at, reason="orders_per_hour is used up")
    return None


def resumed(job: IssueJob, record: CertificateRecord, context: Context) -> IssueJob:
    """Return a job that begins at a CA with what its earlier attempts there left."""
    parked = record.parked.get(context.ca)
    if parked is None:
        return job
    return replace(
        job,
        failures=parked.failures,
        not_before=parked.not_before,
        failure=parked.failure,
    )


def _without_void(record: CertificateRecord, context: Context) -> CertificateRecord:
    """Drop a choice that the configuration no longer knows."""
    choice, listed = record.choice, context.authorities
    known = choice is None or (
        bool(listed)
        and choice.first == listed[0].directory
        and (choice.ca, choice.directory) == (context.ca, context.directory)
    )
    if known and (listed or not record.parked):
        return record
    return replace(record, choice=None, parked={})


def _trouble(job: IssueJob, context: Context) -> tuple[int, Failure | None]:
    """Return how often the CA failed at the order, or at registering the account.

    What a registration met before this renewal began says nothing of now.
    """
    if job.failure is not None or context.account is None:
        return job.failures, job.failure
    register = context.account.register
    if register is None or register.failure is None:
        return 0, None
    stale = register.failure.at < job.created
    return (0, None) if stale else (register.failures, register.failure)


def _position(context: Context) -> int:
    names = [one.ca for one in context.authorities]
    return names.index(context.ca)


def _better(
    record: CertificateRecord, context: Context, job: IssueJob, now: datetime
) -> Iterator[Authority]:
    """Yield CAs before this one that can be tried again, once this one has failed."""
    if _trouble(job, context)[1] is None:
        return
    for one in context.authorities[: _position(context)]:
        if _is_open(record, one, now):
            yield one


def _worse(
    record: CertificateRecord, context: Context, now: datetime
) -> Iterator[Authority]:
    for one in context.authorities[_position(context) + 1 :]:
        if one.trusted and _is_open(record, one, now):
            yield one


def _is_open(record: CertificateRecord, one: Authority, now: datetime) -> bool:
    """Tell whether a CA can be tried: its own back-off and its limits are over."""
    parked = record.parked.get(one.ca)
    waits = parked is not None and (parked.not_before or now) > now
    return not (waits or one.standing.shut(now) or one.standing.limited(now))


def _switched(
    record: CertificateRecord,
    context: Context,
    job: IssueJob,
    target: Authority,
    why: str,
    now: datetime,
) -> CertificateRecord:
    """Return the record with another CA; the job is begun anew by reconciliation."""
    first = context.authorities[0]
    choice = Choice(
        ca=target.ca,
        directory=target.directory,
        first=first.directory,
        since=now,
        reason=why,
    )
    left = Parked(failures=job.failures, not_before=job.not_before, failure=job.failure)
    return replace(
        record,
        choice=None if target.ca == first.ca else choice,
        parked={**record.parked, context.ca: left},
    )
