"""Who needs a publication, and through it a key: what is referenced is never destroyed.

Destroying a key that is served is a silent outage: the endpoint stays up and every new
handshake fails. So a key is free only when nothing below names it.
"""

from datetime import datetime

from agent.jobs.account import why_unusable
from agent.jobs.context import Context, account_of
from agent.records.certificate import CertificateRecord
from agent.records.revocation import IssuedRecord, ReplaceStage
from agent.records.series import SeriesJob, SeriesOpen


def needed_publications(
    record: CertificateRecord, context: Context, now: datetime
) -> frozenset[int]:
    """Return the numbers of the publications that something may still use.

    They are: the newest; what each endpoint's `live` points to and what it was last
    proven to serve; what a deployment under way would go back to; and, where an
    endpoint took over without proof over the wire, every one whose certificate has not
    ended, unless an operator acknowledged the new one.
    """
    ends = record.end is not None
    needed = set[int]() if ends else {p.number for p in record.publications[-1:]}
    for endpoint in record.endpoints.values():
        needed |= {endpoint.live, endpoint.proven}
    if record.farewell:
        # What is withdrawn may be served until the endpoint has been told.
        needed |= {p.number for p in record.publications}
    for job in record.deploy.values():
        needed |= {job.phase.publication, job.phase.previous}
    configured = {e.name for e in context.endpoints}
    unproven = not ends and any(
        record.endpoints[name].by == "nobody-asked"
        for name in configured & record.endpoints.keys()
    )
    if unproven:
        alive = (p for p in record.publications if p.issuance.not_after > now)
        needed |= {p.number for p in alive}
    return frozenset(needed - {0})


def needed_keys(
    record: CertificateRecord, context: Context, now: datetime
) -> frozenset[str]:
    """Return the ids of the keys that may not be destroyed."""
    numbers = needed_publications(record, context, now)
    keys = {p.issuance.key for p in record.publications if p.number in numbers}
    if record.issue is not None:
        keys.add(record.issue.phase.key)
    if record.requesting is not None:
        keys.add(record.requesting.phase.key)
    keys |= {job.phase.series.key for job in record.series.values() if _brings(job)}
    # It may have to sign its own revocation.
    keys |= {i.key for i in record.issued if _signs(record, i, context)}
    job = record.replacing
    if job is not None and job.phase.stage is not ReplaceStage.DESTROYING:
        keys |= set(job.phase.keys)
    if record.refused is not None:
        keys.add(record.refused.issuance.key)
    return frozenset(keys)


def _brings(job: SeriesJob) -> bool:
    """Tell whether a series brings certificates for its key."""
    return isinstance(job.phase, SeriesOpen)


def _signs(record: CertificateRecord, issued: IssuedRecord, context: Context) -> bool:
    """Tell whether a key may be what has to sign the revocation of its certificate.

    Where everything is given up it waits for no CA that the account can ask as well.
    """
    if issued.fingerprint not in record.revoke:
        return False
    job, account = record.revoke[issued.fingerprint], account_of(issued, context)
    able = account is not None and not why_unusable(account)
    return record.end is None or not able or job.phase.by == "key"


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
