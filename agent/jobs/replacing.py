"""The replacement of a certificate whose key is compromised, step by step.

It performs nothing itself: it waits for the jobs that do, and decides their order. The
new certificate is in service everywhere before the old one is revoked, and the old one
is revoked before its key, which could sign that, is destroyed.
"""

from msgspec.structs import replace

from agent.jobs import revoking
from agent.jobs.context import Context
from agent.jobs.envelope import entered
from agent.jobs.star import close_one
from agent.jobs.step import Moment, Wait
from agent.pki.reasons import KEY_COMPROMISE
from agent.records.certificate import CertificateRecord
from agent.records.keys import FILE_STORE, KeyState
from agent.records.revocation import (
    IssuedRecord,
    ReplaceJob,
    Replacement,
    ReplaceStage,
)
from agent.records.series import SeriesJob


def begin(record: CertificateRecord, moment: Moment) -> CertificateRecord:
    """Return the record with the job that replaces every key in use.

    Those are the keys of the newest publication, and of what an endpoint was pointed
    to or proven to serve.
    """
    numbers = {p.number for p in record.publications[-1:]}
    for endpoint in record.endpoints.values():
        numbers |= {endpoint.live, endpoint.proven}
    used = {p.issuance.key for p in record.publications if p.number in numbers}
    keys = tuple(key.id for key in record.keys if key.id in used)
    job = ReplaceJob(
        id=moment.token[:12],
        phase=Replacement(stage=ReplaceStage.ISSUING, keys=keys),
        reason="an operator says that its key is compromised",
        created=moment.now,
    )
    marked = revoking.compromised(record, frozenset(keys), moment)
    return replace(marked, replacing=job)


def advance(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with its replacement as far as it can have come."""
    job = record.replacing
    if job is None:
        return record
    match job.phase.stage:
        case ReplaceStage.ISSUING if not _current_is_old(record, job):
            return advance(_at(record, job, ReplaceStage.DEPLOYING), context, moment)
        case ReplaceStage.DEPLOYING if not unproven(record, context):
            return advance(_at(record, job, ReplaceStage.REVOKING), context, moment)
        case ReplaceStage.REVOKING:
            return _revoked(record, job, context, moment)
        case ReplaceStage.DESTROYING if not _left(record, job, context):
            return replace(record, replacing=None)
        case _:
            return record


def next_step(record: CertificateRecord, job: ReplaceJob, context: Context) -> Wait:
    """Return what the replacement waits for."""
    reasons = {
        ReplaceStage.ISSUING: "a certificate with a new key is issued first",
        ReplaceStage.DEPLOYING: "the new certificate is proven first",
        ReplaceStage.REVOKING: "the old certificates are revoked first",
        ReplaceStage.DESTROYING: "the old keys are being destroyed",
    }
    stage = job.phase.stage
    where = unproven(record, context) if stage is ReplaceStage.DEPLOYING else ""
    return Wait(until=None, reason=f"{reasons[stage]}{where}")


def _at(
    record: CertificateRecord, job: ReplaceJob, stage: ReplaceStage
) -> CertificateRecord:
    phase = replace(job.phase, stage=stage)
    return replace(record, replacing=entered(job, phase))


def _current_is_old(record: CertificateRecord, job: ReplaceJob) -> bool:
    current = record.current
    return current is None or current.key in job.phase.keys


def unproven(record: CertificateRecord, context: Context) -> str:
    """Return which endpoints are not known to serve the newest; empty for none.

    One that nobody can ask is known by an operator's word only.
    """
    newest = record.publications[-1].number
    for endpoint in context.endpoints:
        known = record.endpoints.get(endpoint.name)
        about = f" at {endpoint.name}" if endpoint.name else ""
        if known is None or known.proven != newest:
            return about or " at its endpoint"
        if known.by == "nobody-asked":
            return (
                f"{about}, which nobody can be asked about: nfcertd ack {record.name}"
            )
    return ""


def _revoked(
    record: CertificateRecord, job: ReplaceJob, context: Context, moment: Moment
) -> CertificateRecord:
    """Have what shares the compromised keys revoked; go on when all of it is."""
    open_ones = [
        issued
        for issued in record.issued
        if issued.key in job.phase.keys and _matters(issued, moment)
    ]
    # A certificate of a series cannot be revoked: it gets no successor.
    cancelled = [n for n, j in record.series.items() if _shares(j, job.phase.keys)]
    for name in cancelled:
        record = close_one(record, name, moment, "its key is compromised")
    if not open_ones and not cancelled:
        return advance(_at(record, job, ReplaceStage.DESTROYING), context, moment)
    for issued in open_ones:
        if issued.fingerprint not in record.revoke:
            record = revoking.begin(
                record, issued, moment, reason=KEY_COMPROMISE, why="it was replaced"
            )
    return record


def _matters(issued: IssuedRecord, moment: Moment) -> bool:
    """Tell whether somebody could still be deceived with a certificate."""
    alive = issued.revocation is None and issued.not_after > moment.now
    return alive and not issued.series


def _shares(job: SeriesJob, keys: tuple[str, ...]) -> bool:
    return job.phase.series.key in keys


def _left(record: CertificateRecord, job: ReplaceJob, context: Context) -> bool:
    """Tell whether a compromised key is there that we are allowed to destroy."""
    return any(
        key.id in job.phase.keys
        and key.state is not KeyState.DESTROYED
        and not (context.never_destroy and key.store != FILE_STORE)
        for key in record.keys
    )
