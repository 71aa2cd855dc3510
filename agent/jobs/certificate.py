"""The jobs of one certificate together: what each does next, and what it leaves behind.

One aggregate, one write: whatever an effect changes in its job, its keys, its
publications or its endpoints is in the record that this module returns.
"""

from datetime import datetime

from msgspec.structs import replace

from agent.jobs import deploy, retire
from agent.jobs.context import Context
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.issue import effects as issue
from agent.jobs.issue import steps
from agent.jobs.issue.fold import fold as fold_issue
from agent.jobs.references import needed_publications
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.pki.chain import CheckedChain
from agent.records.certificate import (
    CertificateRecord,
    DeployJob,
    EndpointRecord,
    Issuance,
    IssueJob,
    Publication,
    Slot,
    jobs,
)
from agent.records.job import Disposition
from agent.records.keys import KeyRecord, KeyState
from agent.records.phases import Stage
from agent.renewal.backoff import AWAITED
from agent.renewal.plan import plan

Effect = issue.Effect | deploy.Effect | retire.Effect
Outcome = issue.Outcome | deploy.Outcome | retire.Outcome
HASTE = 16
"""In an emergency our own back-off is shortened to this part of itself."""


def next_step(
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
            return _next_issue(record, record.issue, context, now)
        case "deploy" if slot.name in record.deploy:
            view = deploy_view(record, slot.name, context, now)
            return deploy.next_step(record.deploy[slot.name], view, now)
        case _:
            view_of_key = retire_view(record, slot.name, context)
            return retire.next_step(record.retire[slot.name], view_of_key, now)


def _next_issue(
    record: CertificateRecord, job: IssueJob, context: Context, now: datetime
) -> Do[Effect] | Wait:
    if record.held:
        return Wait(until=None, reason="held by an operator")
    if context.account is None:
        return Wait(until=None, reason="the record of its account cannot be read")
    view = issue_view(record, context)
    current = record.current
    emergency = (
        current is not None
        and now >= plan(current, context.config.renew_at).emergency_at
    )
    if emergency:
        job = replace(job, not_before=_sooner(job))
    step = steps.next_step(job, view, now)
    return Do(step.effect) if isinstance(step, Do) else step


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


def issue_view(record: CertificateRecord, context: Context) -> issue.View:
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


def deploy_view(
    record: CertificateRecord, name: str, context: Context, now: datetime
) -> deploy.View:
    """Return what the deployment to an endpoint is told."""
    endpoint, job = context.endpoint(name), record.deploy[name]
    previous = record.publication(job.phase.previous)
    keys = {key.id for key in record.keys if key.state is not KeyState.DESTROYED}
    gate = ""
    if record.held:
        gate = "held by an operator"
    elif context.config.deploy == "manual" and record.released < job.phase.publication:
        gate = "waits for an operator's release"
    return deploy.View(
        told=endpoint is not None and endpoint.reload is not None,
        watched=endpoint is not None and endpoint.verify is not None,
        fingerprints={p.number: p.issuance.fingerprint for p in record.publications},
        revertible=previous is not None
        and job.phase.previous != job.phase.publication
        and previous.issuance.key in keys
        and previous.issuance.not_after > now,
        gate=gate,
    )


def retire_view(
    record: CertificateRecord, identity: str, context: Context
) -> retire.View:
    """Return what the retirement of a key is told."""
    job, key = record.retire[identity], record.key(identity)
    return retire.View(
        key=identity,
        condemned_at=key.condemned_at or job.created,
        grace=context.grace,
        never=context.never_destroy and key.store != "file",
    )


def fold(
    record: CertificateRecord,
    slot: Slot,
    effect: Effect,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of one of its jobs."""
    job = jobs(record)[slot]
    match slot.kind:
        case "issue" if record.issue is not None:
            return _fold_issue(record, record.issue, effect, outcome, context, moment)
        case "deploy":
            return _fold_deploy(record, slot.name, effect, outcome, context, moment)
        case _ if isinstance(outcome, Performed | Failed):
            return _fold_retire(record, slot.name, effect, outcome, moment)
        case _:
            raise TypeError(f"{slot.kind} cannot have {outcome} of {job.id}")


def _fold_issue(
    record: CertificateRecord,
    job: IssueJob,
    effect: Effect,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
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
            record = with_key(record, made)
        case issue.OrderSeen() if isinstance(effect, issue.CreateOrder):
            record = replace(record, orders=record.orders + 1)
        case _:
            pass
    view = issue_view(record, context)
    after = fold_issue(job, effect, outcome, view, moment)  # type: ignore[arg-type]  # the slot decides the kind
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
    order = getattr(job.phase, "order", None)
    wanted = record.wanted or context.wanted
    issuance = Issuance(
        fingerprint=chain.fingerprint,
        serial=chain.serial,
        names=chain.names,
        ca=wanted.ca,
        directory=wanted.directory,
        key=key.id,
        order=order.url if order else "",
        not_before=chain.not_before,
        not_after=chain.not_after,
        issued_at=moment.now,
        draw=moment.draw,
        chain=chain.pem,
    )
    number = record.publication_count + 1
    publication = Publication(
        number=number, issuance=issuance, key=key, look=context.look
    )
    return replace(
        record,
        issue=None,
        wanted=None,
        renew_asked=None,
        publications=(*record.publications, publication),
        publication_count=number,
    )


def _fold_deploy(
    record: CertificateRecord,
    name: str,
    effect: Effect,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    job = record.deploy[name]
    if isinstance(effect, deploy.Prune) and isinstance(outcome, Performed):
        rest = {other: job for other, job in record.deploy.items() if other != name}
        keep = kept(record, context, moment.now)
        publications = tuple(p for p in record.publications if p.number in keep)
        return replace(record, deploy=rest, publications=publications)
    view = deploy_view(record, name, context, moment.now)
    before = record.endpoints.get(name, EndpointRecord())
    after, endpoint = deploy.fold(job, before, outcome, view, moment)  # type: ignore[arg-type]  # the slot decides the kind
    if after.phase.stage is Stage.PROVEN and job.phase.stage is not Stage.PROVEN:
        endpoint = _timed(endpoint, record, job, moment)
    return replace(
        record,
        deploy={**record.deploy, name: after},
        endpoints={**record.endpoints, name: endpoint},
    )


def _timed(
    endpoint: EndpointRecord, record: CertificateRecord, job: DeployJob, moment: Moment
) -> EndpointRecord:
    publication = record.publication(job.phase.publication)
    if publication is None:
        return endpoint
    span = (moment.now - publication.issuance.issued_at).total_seconds()
    return replace(endpoint, issued_to_served=span)


def _fold_retire(
    record: CertificateRecord,
    identity: str,
    effect: Effect,
    outcome: Performed | Failed,
    moment: Moment,
) -> CertificateRecord:
    if isinstance(effect, retire.PruneAfter) and isinstance(outcome, Performed):
        rest = {i: job for i, job in record.retire.items() if i != identity}
        keys = tuple(key for key in record.keys if key.id != identity)
        return replace(record, retire=rest, keys=keys)
    after = retire.fold(record.retire[identity], outcome, moment)
    changed = replace(record, retire={**record.retire, identity: after})
    if isinstance(outcome, Failed):
        return changed
    destroyed = replace(record.key(identity), state=KeyState.DESTROYED)
    survivors = tuple(p for p in record.publications if p.issuance.key != identity)
    return with_key(replace(changed, publications=survivors), destroyed)


def kept(record: CertificateRecord, context: Context, now: datetime) -> frozenset[int]:
    """Return the numbers of the publications whose directories stay.

    A publication whose key still exists stays, since the key may be needed to go back;
    it goes when the key is destroyed. Where renewals share a key it goes at once.
    """
    needed = needed_publications(record, context, now)
    newest = record.current
    shared = newest.key if newest is not None else ""
    return frozenset(
        p.number
        for p in record.publications
        if p.number in needed or p.issuance.key != shared
    )


def with_key(record: CertificateRecord, changed: KeyRecord) -> CertificateRecord:
    """Return the record with one of its keys replaced."""
    keys = tuple(changed if key.id == changed.id else key for key in record.keys)
    return replace(record, keys=keys)
