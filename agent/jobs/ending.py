"""The end of a certificate whose network function is decommissioned.

Two things begin at once, and neither waits for the other: its endpoints stop using it,
and every certificate that could still be used is revoked (cessationOfOperation). A key
is destroyed when no endpoint uses it; a CA that does not answer keeps none, unless only
the key can sign the revocation. What is left on disk goes last. The end itself performs
nothing else: like a replacement it waits for the jobs that do.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from agent.jobs import farewell, revoking
from agent.jobs.abandon import pending, reconcile_abandoned, with_abandoned
from agent.jobs.alarms import with_alarms
from agent.jobs.context import Context
from agent.jobs.deploy import Swap
from agent.jobs.envelope import backed_off
from agent.jobs.issue import effects as issue
from agent.jobs.retiring import reconcile_keys
from agent.jobs.star import close, without
from agent.jobs.status import ON_HOLD
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.ending import Ended, Ending, EndJob
from agent.records.job import Job
from agent.records.keys import FILE_STORE, KeyRecord, KeyState
from agent.records.phases import Downloading, Finalizing, Processing
from agent.records.revocation import IssuedRecord

REASON: Final = "cessationOfOperation"
"""RFC 5280 section 5.3.1; what CMP's rr says when a function is taken away."""
ENDING: Final = frozenset({"farewell", "end", "revoke", "retire", "abandon", "series"})
"""Kinds of jobs that an end is made of; orders under way beside them."""
LOOKED_FOR: Final = frozenset({issue.Finalize.name, issue.FetchOrder.name})
"""Effects whose lost answer is followed by a look at the order."""
SINGLE: Final = ("requesting", "renewal_info", "checking")
"""Members with jobs of an ordinary life, beside orders and deployments."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Remove what is left of the certificate on disk."""

    name = "clear"


Effect = Clear
Outcome = Performed | Failed


def goes_on(kind: str, job: Job[Any]) -> bool:
    """Tell whether a job goes on while its certificate's network function ends.

    A certificate that the CA has been asked for with a key has to be known, so that it
    can be revoked: its order is followed to its end. Nothing else is begun.
    """
    if kind != "issue":
        return kind in ENDING
    lost = isinstance(job.phase, Finalizing) and job.intent in LOOKED_FOR
    return lost or isinstance(job.phase, Processing | Downloading)


def reconcile(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with the jobs that should exist now that its NF ends.

    A hold does not keep anything from its end.
    """
    if record.ended is not None:
        return _ended_as(record, context, moment)
    record = _begun(record, context, moment)
    record = _without_ordinary(record, context, moment)
    record = _with_farewells(record, moment)
    record = _without_ended_series(record, moment)
    record = close(record, moment, f"nf {context.config.nf} is decommissioned")
    record = _with_revocations(record, moment)
    record = revoking.forget_ended(record, moment)
    record = reconcile_keys(record, context, moment)
    record = reconcile_abandoned(record, context)
    return with_alarms(record, context, moment.now)


def ends_with(record: CertificateRecord, nf: str, instance_id: str) -> bool:
    """Tell whether a certificate says itself that it ends, or ended, with an instance.

    What has ended is never enrolled again, whatever else can be read at a start.
    """
    known = record.ended or (None if record.end is None else record.end.phase)
    if known is None:
        return False
    return (known.nf, known.instance_id.lower()) == (nf, instance_id.lower())


def next_change(record: CertificateRecord, now: datetime) -> datetime | None:
    """Return when what cannot be revoked, or cancelled, ends by itself."""
    ends = [issued.not_after for issued in record.issued]
    ends += [job.phase.series.terms.end for job in record.series.values()]
    return min((end for end in ends if end > now), default=None)


def undone(record: CertificateRecord) -> CertificateRecord:
    """Return the record of a certificate whose network function does not end.

    After an end, with another instance, it begins anew; its keys are numbered on.
    """
    if record.ended is not None:
        return CertificateRecord(
            name=record.name,
            keys=record.keys,
            key_count=record.key_count,
            publication_count=record.publication_count,
            issued=record.issued,
            retire=record.retire,
            abandon=record.abandon,
            orders=record.orders,
        )
    if record.end is None:
        return record
    served = {
        name: replace(endpoint, left_at=None)
        for name, endpoint in record.endpoints.items()
    }
    return replace(record, end=None, farewell={}, endpoints=served)


def next_step(
    record: CertificateRecord, job: EndJob, context: Context, now: datetime
) -> Do[Effect] | Wait:
    """Return what the end waits for; when nothing is left to wait for, clear."""
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "it is tried again"
        return Wait(until=job.not_before, reason=reason)
    waits = _waits(record, context, now)
    return Wait(until=None, reason=waits) if waits else Do(Clear())


def fold(
    record: CertificateRecord, job: EndJob, outcome: Outcome, moment: Moment
) -> CertificateRecord:
    """Return the record after its end: nothing of it is left, and it says so."""
    if isinstance(outcome, Failed):
        after = backed_off(job, outcome.failure, moment.draw)
        return replace(record, end=after)
    phase = job.phase
    return replace(
        record,
        end=None,
        ended=Ended(nf=phase.nf, instance_id=phase.instance_id, at=moment.now),
        publications=(),
        alarms={},
        status=None,
        renewal=None,
        renew_asked=None,
        choice=None,
        parked={},
    )


def _ended_as(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return a certificate of which nothing is left, as one of the instance that ends.

    Another instance may have been configured, and given up, before it had anything.
    """
    known, wanted = record.ended, context.end
    if known is None or wanted is None or known.instance_id == wanted.instance_id:
        return record
    ended = Ended(nf=wanted.nf, instance_id=wanted.instance_id, at=moment.now)
    return replace(record, ended=ended)


def _begun(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with its end, of the instance that the operator has named.

    The tables may have changed since; they say it where the end is long over.
    """
    table, name, phase = context.nf, context.config.nf, context.end
    if phase is None and table is not None and name is not None:
        phase = Ending(nf=name, instance_id=table.instance_id)
    if record.end is not None or phase is None:
        return record
    job = EndJob(
        id=f"{moment.token[:12]}-end",
        phase=phase,
        reason=f"nf {phase.nf} is decommissioned",
        created=moment.now,
    )
    return replace(record, end=job, refused=None, replacing=None, renew_asked=None)


def _without_ordinary(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record without the jobs of an ordinary life.

    One whose effect is on the way is waited for, and so is an order whose certificate
    the CA may issue: what they bring has to be revoked.
    """
    job, record = record.issue, replace(record, refused=None)
    # An account that is closed signs nothing any more, whatever comes of the order.
    closed = context.account is not None and bool(context.account.closed)
    if job is not None and not job.running and (closed or not goes_on("issue", job)):
        left = () if closed else pending(job)
        record = with_abandoned(record, left, record.wanted, context, moment)
        record = replace(record, issue=None, wanted=None)
    for member in SINGLE:
        held = getattr(record, member)
        if held is not None and not held.running:
            record = replace(record, **{member: None})
    running = {name: job for name, job in record.deploy.items() if job.running}
    if running == record.deploy:
        return record
    for name in record.deploy.keys() - running.keys():
        record = _as_if_swapped(record, name)
    return replace(record, deploy=running)


def _as_if_swapped(record: CertificateRecord, name: str) -> CertificateRecord:
    """Return the record with an endpoint whose swap was cut short: it may have been.

    Its link may point to a publication that nothing else tells of.
    """
    job, known = record.deploy[name], record.endpoints.get(name, EndpointRecord())
    if job.intent != Swap.name or known.live:
        return record
    live = replace(known, live=job.phase.publication)
    return replace(record, endpoints={**record.endpoints, name: live})


def _without_ended_series(
    record: CertificateRecord, moment: Moment
) -> CertificateRecord:
    """Return the record without series that have come to their end by themselves."""
    for name, job in record.series.items():
        if not job.running and job.phase.series.terms.end <= moment.now:
            record = without(record, name)
    return record


def _with_farewells(record: CertificateRecord, moment: Moment) -> CertificateRecord:
    """Return the record with a farewell wherever something is served."""
    jobs = dict(record.farewell)
    for name, endpoint in record.endpoints.items():
        if name not in record.deploy and name not in jobs and _serves(endpoint):
            jobs[name] = farewell.begin(name, moment)
    return record if jobs == record.farewell else replace(record, farewell=jobs)


def _serves(endpoint: EndpointRecord) -> bool:
    return bool(endpoint.live or endpoint.proven)


def _with_revocations(record: CertificateRecord, moment: Moment) -> CertificateRecord:
    for issued in _usable(record, moment.now):
        if issued.fingerprint not in record.revoke:
            record = revoking.begin(
                record, issued, moment, reason=REASON, why="its nf is decommissioned"
            )
    return record


def _usable(record: CertificateRecord, now: datetime) -> list[IssuedRecord]:
    """Return what could still be used: not ended, and not revoked for good."""
    return [
        issued
        for issued in record.issued
        if issued.not_after > now
        and issued.directory
        and not issued.series
        and (issued.revocation is None or issued.revocation.reason == ON_HOLD)
    ]


def _waits(record: CertificateRecord, context: Context, now: datetime) -> str:
    """Return what comes first, one clause; empty where nothing is left."""
    usable = _usable(record, now)
    endpoints = [n for n, e in record.endpoints.items() if _serves(e)]
    keys = [key for key in record.keys if _goes(key, context)]
    busy = (record.issue, record.requesting, record.renewal_info, record.checking)
    waits = (
        (any(busy) or record.deploy, "what is under way comes to its end first"),
        (record.farewell or endpoints, "its endpoints are taken out of service first"),
        (usable or record.revoke, f"certificates are revoked first: {len(usable)}"),
        (record.series, "its series is cancelled first"),
        (keys, f"its keys are destroyed first: {len(keys)}"),
        (record.abandon, "authorizations of its last order are given up first"),
    )
    return next((words for holds, words in waits if holds), "")


def _goes(key: KeyRecord, context: Context) -> bool:
    """Tell whether a key is ours to destroy, and is still there."""
    left_to_others = context.never_destroy and key.store != FILE_STORE
    return (
        not key.adopted and not left_to_others and key.state is not KeyState.DESTROYED
    )
