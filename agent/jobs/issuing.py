"""How the issue job stands in its certificate: what it is told, what it leaves behind.

It knows the record around the job. What an order does next is `agent.jobs.issue`.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.authority import gated, is_emergency, order_gated
from agent.jobs.context import Context
from agent.jobs.issue import effects as issue
from agent.jobs.issue import steps
from agent.jobs.issue.fold import fold as fold_job
from agent.jobs.step import Do, Moment, Wait
from agent.jobs.trusting import trust_of
from agent.pki.chain import CheckedChain
from agent.records.certificate import (
    CertificateRecord,
    Issuance,
    IssueJob,
    Publication,
)
from agent.records.job import Disposition
from agent.records.keys import KeyState
from agent.records.revocation import IssuedRecord
from agent.renewal.backoff import AWAITED

HASTE: Final = 16
"""In an emergency our own back-off is shortened to this part of itself."""


def next_step(
    record: CertificateRecord, job: IssueJob, context: Context, now: datetime
) -> Do[issue.Effect] | Wait:
    """Return what the issue job does next."""
    if record.held and record.replacing is None:
        return Wait(until=None, reason="held by an operator")
    if context.account is None:
        return Wait(until=None, reason="the record of its account cannot be read")
    view = view_of(record, context)
    emergency = is_emergency(record, context, now)
    if emergency:
        job = replace(job, not_before=_sooner(job))
    step = steps.next_step(job, view, now)
    if not isinstance(step, Do):
        return step
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
    at = None
    reason = "the account is not registered yet"
    if account is not None and account.register is not None:
        failure = account.register.failure
        reason = f"{reason}: {failure.message}" if failure else reason
        at = account.register.not_before
    return issue.View(
        account_ready=account is not None and bool(account.url),
        account_reason=reason,
        account_at=at,
        in_service_until=None if current is None else current.not_after,
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
    match outcome:
        case issue.Downloaded(chain):
            return _issued(record, job, chain, context, moment)
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
        case issue.Answered() if record.wanted is not None:
            record = replace(record, challenged=record.wanted.directory)
        case _:
            pass
    view = view_of(record, context)
    after = fold_job(job, effect, outcome, view, moment)
    return replace(record, issue=after)


def _issued(
    record: CertificateRecord,
    job: IssueJob,
    chain: CheckedChain,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Turn a checked chain into an issuance, its publication and its deployments."""
    key = record.key(job.phase.key)
    issuance = _issuance(record, job, chain, context, moment)
    number = record.publication_count + 1
    publication = Publication(
        number=number,
        issuance=issuance,
        key=key,
        look=context.look,
        trust=trust_of(record, context),
    )
    return replace(
        record,
        issued=(*record.issued, _remembered(issuance)),
        issue=None,
        wanted=None,
        renew_asked=None,
        parked={},
        publications=(*record.publications, publication),
        publication_count=number,
    )


def _issuance(
    record: CertificateRecord,
    job: IssueJob,
    chain: CheckedChain,
    context: Context,
    moment: Moment,
) -> Issuance:
    order = getattr(job.phase, "order", None)
    wanted = record.wanted or context.wanted
    return Issuance(
        fingerprint=chain.fingerprint,
        serial=chain.serial,
        names=chain.names,
        ca=wanted.ca,
        directory=wanted.directory,
        key=job.phase.key,
        order=order.url if order else "",
        account=wanted.account,
        not_before=chain.not_before,
        not_after=chain.not_after,
        issued_at=moment.now,
        draw=moment.draw,
        chain=chain.pem,
        anchor=chain.anchor,
    )


def _remembered(issuance: Issuance) -> IssuedRecord:
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
    )
