"""The job that fetches what a STAR order brings, one after the other (RFC 8739).

One order, one key: a certificate that the CA has published is fetched and becomes an
issuance like any other. Another key, other names or another CA are another order; this
one is cancelled when that one's certificate is proven.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs import issuing
from agent.jobs.account import why_unusable
from agent.jobs.authority import gated
from agent.jobs.context import Context
from agent.jobs.envelope import backed_off, entered
from agent.jobs.issue.effects import Downloaded
from agent.jobs.replacing import unproven
from agent.jobs.star import (
    LEAST_PAUSE,
    close_one,
    fetch_at,
    is_wanted,
    newest_end,
    pause,
    with_series,
    without,
)
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition, Failure
from agent.records.others import AccountRecord
from agent.records.series import Series, SeriesClosing, SeriesJob, SeriesOpen

OVER: Final = frozenset(
    {
        "acme:autoRenewalCanceled",
        "acme:autoRenewalExpired",
        "acme:autoRenewalCancellationInvalid",
        "acme:accountDoesNotExist",
    }
)
"""Refusals that say that the series brings nothing more (RFC 8739 section 3.3)."""
NOT_FOUND: Final = "acme.not-found"
"""A 404 without more words: the order may be forgotten."""
VALID: Final = "valid"
LATE: Final = 4
"""Part of a lifetime: where less is left, the next certificate is missing."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch the certificate that the series has now."""

    certificate: str
    public: bool
    name = "fetch"


@dataclass(frozen=True, slots=True)
class LookAtOrder:
    """Ask whether the order still stands."""

    order: str
    name = "fetch-order"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the order (RFC 8739 section 3.1.2)."""

    order: str
    name = "cancel"


Effect = Fetch | LookAtOrder | Cancel


@dataclass(frozen=True, slots=True)
class OrderState:
    """The CA showed the order's state."""

    status: str


Outcome = Downloaded | OrderState | Performed | Failed


def account_of(series: Series, context: Context) -> AccountRecord | None:
    """Return the account that ordered a series; None where it is forgotten."""
    known = [*context.accounts.values()]
    if context.account is not None:
        known.append(context.account)
    owner = (series.account, series.directory)
    return next((a for a in known if (a.name, a.directory) == owner), None)


def next_step(
    record: CertificateRecord,
    name: str,
    job: SeriesJob,
    context: Context,
    now: datetime,
) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    phase, series = job.phase, job.phase.series
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the next certificate is due"
        return Wait(until=job.not_before, reason=reason)
    idle = _unable(series, context)
    if not idle and isinstance(phase, SeriesOpen):
        idle = _idle(record, name, series)
    if idle:
        return Wait(until=series.terms.end, reason=idle)
    if series.directory == context.directory:
        wait = gated(context.standing, now, urgent=True)
        if wait is not None:
            return wait
    return Do(_effect(phase))


def _effect(phase: SeriesOpen | SeriesClosing) -> Effect:
    series = phase.series
    if phase.doubted:
        return LookAtOrder(series.order)
    if isinstance(phase, SeriesClosing):
        return Cancel(series.order)
    asked = series.asked is not None and series.asked.get
    return Fetch(series.certificate, public=asked and series.terms.get)


def _unable(series: Series, context: Context) -> str:
    account = account_of(series, context)
    return "its account is forgotten" if account is None else why_unusable(account)


def _idle(record: CertificateRecord, name: str, series: Series) -> str:
    """Return why no certificate is fetched; empty where one is."""
    if record.held:
        return "held by an operator"
    if series.key in record.compromised:
        return "its key is compromised"
    return "" if is_wanted(record, name) else "another certificate takes its place"


def fold(
    record: CertificateRecord,
    name: str,
    effect: Effect,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of a series' job."""
    job = record.series[name]
    match outcome:
        case Downloaded():
            return _fetched(record, name, job, outcome, context, moment)
        case Performed():
            return without(record, name)
        case OrderState(status) if status == VALID:
            wait = moment.now + pause(job.phase.series.terms, moment.draw)
            after = entered(job, replace(job.phase, doubted=False))
            # What the refusal said still stands: only that it is over is not so.
            after = replace(after, not_before=wait, failures=job.failures)
            return with_series(record, name, after)
        case OrderState():
            return without(record, name)
        case Failed(failure):
            return _failed(record, name, job, effect, failure, moment)


def _failed(
    record: CertificateRecord,
    name: str,
    job: SeriesJob,
    effect: Effect,
    failure: Failure,
    moment: Moment,
) -> CertificateRecord:
    phase = job.phase
    if failure.kind in OVER:
        return without(record, name)
    current = record.current
    # Once it has ended there is nothing left to hurry for.
    alive = current is not None and current.not_after > moment.now
    end = current.not_after if current is not None and alive else None
    after = backed_off(job, failure, moment.draw, end)
    refused = failure.kind == NOT_FOUND or (
        failure.kind.startswith("acme:")
        and failure.disposition is Disposition.NEEDS_OPERATOR
    )
    if refused and isinstance(effect, LookAtOrder):
        # Neither its certificate nor the order itself: to the CA there is none.
        return without(record, name)
    if refused:
        doubted = replace(phase, doubted=True)
        after = replace(after, phase=doubted, not_before=moment.now + LEAST_PAUSE)
    return with_series(record, name, after)


def _fetched(
    record: CertificateRecord,
    name: str,
    job: SeriesJob,
    downloaded: Downloaded,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Take a certificate over; one that is known, or older, is no news."""
    phase, chain = job.phase, downloaded.chain
    if not isinstance(phase, SeriesOpen) or not is_wanted(record, name):
        return with_series(record, name, entered(job, phase))
    terms, known = phase.series.terms, newest_end(record, name)
    if record.issued_as(chain.fingerprint) is not None or chain.not_after <= known:
        return with_series(record, name, _nothing_new(job, phase, known, moment))
    at = max(
        fetch_at(terms, chain.not_after, moment.draw),
        moment.now + pause(terms, moment.draw),
    )
    after = entered(job, phase)
    after = replace(after, failures=0, failure=None, not_before=at)
    record = with_series(record, name, after)
    return issuing.brought(record, name, downloaded, context, moment)


def _nothing_new(
    job: SeriesJob, phase: SeriesOpen, known: datetime, moment: Moment
) -> SeriesJob:
    """Return the job that looks again; a failure where little is left of the last."""
    terms = phase.series.terms
    at = moment.now + pause(terms, moment.draw)
    if known >= terms.end:
        at = terms.end
    after = entered(job, phase)
    if known - moment.now >= terms.life / LATE or known >= terms.end:
        return replace(after, failures=0, failure=None, not_before=at)
    failure = Failure(
        kind="star.late",
        message="the ca has not published the next certificate of the series",
        at=moment.now,
        disposition=Disposition.BACK_OFF,
    )
    return replace(after, failures=job.failures + 1, failure=failure, not_before=at)


def reconcile(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record without series that are over, and with those that must close.

    One that another certificate has taken the place of goes on being known until that
    one is proven: until then its order may be what an operator falls back to.
    """
    for name, job in record.series.items():
        if job.running:
            continue
        if job.phase.series.terms.end <= moment.now:
            record = without(record, name)
        elif record.publications and not is_wanted(record, name):
            served = not unproven(record, context)
            if served or _has_ended(record, name, moment.now):
                why = "another certificate has taken its place"
                record = close_one(record, name, moment, why)
    return record


def _has_ended(record: CertificateRecord, name: str, now: datetime) -> bool:
    ours = (i for i in record.issued if i.series == name)
    return all(issued.not_after <= now for issued in ours)
