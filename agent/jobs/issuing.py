"""How the issue job stands in its certificate: what it is told, what it leaves behind.

It knows the record around the job. What an order does next is `agent.jobs.issue`.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.abandon import comes_first, given_up, with_abandoned
from agent.jobs.account import waits_for_person, why_unusable
from agent.jobs.authority import gated, is_emergency, order_gated
from agent.jobs.context import Context
from agent.jobs.extras import REFUSABLE, STAR, extras_of, shed, without
from agent.jobs.issue import effects as issue
from agent.jobs.issue import steps
from agent.jobs.issue.fold import fold as fold_job
from agent.jobs.refusal import kept, published, refused, with_publication
from agent.jobs.star import opened, with_series
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.pki.status import Sources
from agent.records.certificate import CertificateRecord, Issuance, IssueJob
from agent.records.job import Disposition
from agent.records.keys import KeyState
from agent.records.phases import Downloading
from agent.records.revocation import IssuedRecord
from agent.records.series import Series
from agent.renewal.backoff import AWAITED
from agent.renewal.plan import usual_pause
from agent.sba.findings import errors

HASTE: Final = 16
"""In an emergency our own back-off is shortened to this part of itself."""


def next_step(
    record: CertificateRecord, job: IssueJob, context: Context, now: datetime
) -> Do[issue.Effect] | Wait:
    """Return what the issue job does next."""
    if record.held and record.replacing is None and record.end is None:
        return Wait(until=None, reason="held by an operator")
    if context.account is None:
        return Wait(until=None, reason="the record of its account cannot be read")
    blocked = waits_for_person(context.account, now)
    if blocked is not None:
        return blocked
    view = view_of(record, context)
    emergency = is_emergency(record, context, now)
    if emergency:
        job = replace(job, not_before=_sooner(job))
    step = steps.next_step(job, view, now)
    if not isinstance(step, Do):
        return step
    ordering = isinstance(step.effect, issue.CreateOrder) and not emergency
    if ordering and comes_first(record, context):
        reason = "what the last order left is cleared away first"
        return Wait(until=None, reason=reason)
    wait = _kept_from_ca(step.effect, context, now, urgent=emergency)
    return wait or Do(step.effect)


def _kept_from_ca(
    effect: issue.Effect, context: Context, now: datetime, *, urgent: bool
) -> Wait | None:
    """Return what the state of the CA makes an effect wait for."""
    if isinstance(effect, issue.MakeKey):
        return None
    wait = gated(context.standing, now, urgent=urgent)
    if wait is None and isinstance(effect, issue.CreateOrder):
        wait = order_gated(context.standing, now)
    return wait


def _sooner(job: IssueJob) -> datetime | None:
    """Return the next attempt in an emergency: our own back-off no longer holds.

    A CA's Retry-After does, and so does the pace of polling: neither is a back-off.
    """
    failure = job.failure
    if job.not_before is None or failure is None or job.polls:
        return job.not_before
    if failure.disposition is Disposition.WAIT_UNTIL or failure.retry_at is not None:
        return job.not_before
    wait = max((job.not_before - failure.at) / HASTE, AWAITED)
    return min(job.not_before, failure.at + wait)


def view_of(record: CertificateRecord, context: Context) -> issue.View:
    """Return what the issue job is told."""
    account, current = context.account, record.current
    at, reason = None, "the account is not registered yet"
    if account is not None:
        reason = why_unusable(account)
        at = None if account.register is None else account.register.not_before
    return issue.View(
        account_ready=not reason,
        account_reason=reason,
        account_at=at,
        in_service_until=None if current is None else current.not_after,
        extras=extras_of(record, context),
    )


def fold(
    record: CertificateRecord,
    job: IssueJob,
    effect: issue.Effect,
    outcome: issue.Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of the issue job."""
    view = view_of(record, context)
    match outcome:
        case issue.Downloaded():
            return _issued(record, job, outcome, context, moment)
        case issue.KeyExists(public, serial):
            made = replace(
                record.key(job.phase.key),
                state=KeyState.MADE,
                public=public,
                token_serial=serial,
            )
            record = record.with_key(made)
        case issue.OrderSeen() if isinstance(effect, issue.CreateOrder):
            record = replace(record, orders=record.orders + 1)
            if outcome.ignored_star and record.wanted is not None:
                record = replace(record, wanted=without(record.wanted, STAR))
        case issue.Answered() if record.wanted is not None:
            record = replace(record, challenged=record.wanted.directory)
        case Failed(failure) if failure.kind in REFUSABLE and record.wanted:
            wanted = without(record.wanted, REFUSABLE[failure.kind])
            record = replace(record, wanted=wanted)
        case Failed(failure) if isinstance(effect, issue.CreateOrder):
            record = shed(record, job, effect, failure)
        case _:
            pass
    after = fold_job(job, effect, outcome, view, moment)
    record = replace(record, issue=after)
    left = given_up(job, after, effect, outcome)
    return with_abandoned(record, left, record.wanted, context, moment)


def _issued(
    record: CertificateRecord,
    job: IssueJob,
    downloaded: issue.Downloaded,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Turn a checked chain into an issuance: published, or refused and kept."""
    issuance = _issuance(record, job, downloaded, context, moment)
    record = _with_issued(record, issuance, downloaded)
    series = _series(record, job, issuance, moment)
    if series is not None:
        record = opened(record, issuance.series, series, issuance.not_after, moment)
    if errors(issuance.findings):
        return refused(record, job, issuance, context, moment)
    return published(record, issuance, context)


def _series(
    record: CertificateRecord, job: IssueJob, issuance: Issuance, moment: Moment
) -> Series | None:
    """Return the series that the order of an issuance begins; None for a usual one."""
    order, where = getattr(job.phase, "order", None), job.phase
    if order is None or order.star is None or not isinstance(where, Downloading):
        return None
    return Series(
        order=issuance.order,
        names=() if record.wanted is None else record.wanted.names,
        certificate=where.certificate,
        terms=order.star,
        since=moment.now,
        key=issuance.key,
        ca=issuance.ca,
        directory=issuance.directory,
        account=issuance.account,
        account_url=issuance.account_url,
        profile=issuance.profile,
        asked_profile=issuance.asked_profile,
        asked=issuance.asked_star,
        must_staple=issuance.must_staple,
        content=issuance.content,
    )


def brought(
    record: CertificateRecord,
    name: str,
    downloaded: issue.Downloaded,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the record with a further certificate of a series.

    It is an issuance like any other: published, or refused and kept. An order that is
    under way goes on: it is for another series.
    """
    series = record.series[name].phase.series
    issuance = replace(
        _certified(downloaded, series.ca, series.directory, series.key, moment),
        order=series.order,
        account=series.account,
        account_url=series.account_url,
        profile=series.profile,
        asked_profile=series.asked_profile,
        must_staple=series.must_staple,
        content=series.content,
        series=name,
        asked_star=series.asked,
    )
    record = _with_issued(record, issuance, downloaded)
    if errors(issuance.findings):
        record, failure = kept(record, issuance, moment)
        job = record.series[name]
        return with_series(record, name, replace(job, failure=failure, failures=1))
    return with_publication(replace(record, refused=None), issuance, context)


def _with_issued(
    record: CertificateRecord, issuance: Issuance, downloaded: issue.Downloaded
) -> CertificateRecord:
    remembered = _remembered(issuance, downloaded.chain.sources)
    return replace(record, issued=(*record.issued, remembered))


def imported(
    record: CertificateRecord,
    brought: issue.Downloaded,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the record with a certificate that a person brought for its request.

    It counts as of the configured CA, so that the next one is ordered there when its
    time has come; only its revocation cannot be asked for there, nor its renewal
    information.
    """
    asked = record.requesting
    if asked is None:
        raise LookupError(record.name)
    wanted = context.wanted
    issuance = replace(
        _certified(brought, wanted.ca, wanted.directory, asked.phase.key, moment),
        asked_profile=wanted.profile,
        must_staple=wanted.must_staple,
        content=wanted.content,
        asked_star=wanted.star,
    )
    known = replace(_remembered(issuance, brought.chain.sources), directory="")
    record = replace(record, issued=(*record.issued, known))
    return published(record, issuance, context)


def _remembered(issuance: Issuance, sources: Sources) -> IssuedRecord:
    """Return what stays known of a certificate until it ends."""
    return IssuedRecord(
        fingerprint=issuance.fingerprint,
        serial=issuance.serial,
        key=issuance.key,
        ca=issuance.ca,
        directory=issuance.directory,
        account=issuance.account,
        not_after=issuance.not_after,
        leaf=issuance.leaf,
        ocsp=sources.ocsp,
        crl=sources.crl,
        series=issuance.series,
    )


def _issuance(
    record: CertificateRecord,
    job: IssueJob,
    downloaded: issue.Downloaded,
    context: Context,
    moment: Moment,
) -> Issuance:
    wanted = record.wanted or context.wanted
    order = getattr(job.phase, "order", None)
    star = order is not None and order.star is not None
    return replace(
        _certified(downloaded, wanted.ca, wanted.directory, job.phase.key, moment),
        order=order.url if order else "",
        account=wanted.account,
        account_url="" if context.account is None else context.account.url,
        # A series is fetched, not renewed: neither is it asked about, nor replaced.
        certid="" if star else downloaded.chain.certid,
        renewal_info=downloaded.renewal_info and not star,
        profile=order.profile if order else "",
        asked_profile=wanted.profile,
        must_staple=wanted.must_staple,
        hasty=_hasty(record, moment.now),
        content=wanted.content,
        series=moment.token[:12] if star else "",
        asked_star=wanted.star,
    )


def _certified(
    downloaded: issue.Downloaded, ca: str, directory: str, key: str, moment: Moment
) -> Issuance:
    """Return what a checked chain says of itself, and where it came from."""
    chain = downloaded.chain
    return Issuance(
        fingerprint=chain.fingerprint,
        serial=chain.serial,
        names=chain.names,
        ca=ca,
        directory=directory,
        key=key,
        order="",
        not_before=chain.not_before,
        not_after=chain.not_after,
        issued_at=moment.now,
        draw=moment.draw,
        chain=chain.pem,
        anchor=chain.anchor,
        anchor_subject=chain.anchor_subject,
        findings=downloaded.findings,
    )


def _hasty(record: CertificateRecord, now: datetime) -> int:
    """Return how many renewals in a row, this one included, the CA has hurried."""
    before, known = record.current, record.suggestion
    if before is None or known is None or known.pick is None:
        return 0
    hurried = known.pick <= now < before.issued_at + usual_pause(before)
    return before.hasty + 1 if hurried else 0
