"""How revocations stand in their certificate: what they are told, what they leave.

It knows the record around the job. What a revocation does next is `agent.jobs.revoke`.
"""

from msgspec.structs import replace

from agent.jobs import revoke
from agent.jobs.account import why_unusable
from agent.jobs.context import Context, account_of
from agent.jobs.step import Moment
from agent.pki.reasons import KEY_COMPROMISE
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState
from agent.records.revocation import (
    IssuedRecord,
    Revocation,
    RevocationAsked,
    RevokeJob,
    Signer,
)


def view_of(
    record: CertificateRecord, fingerprint: str, context: Context
) -> revoke.View:
    """Return what a revocation is told."""
    issued = record.issued_as(fingerprint)
    account = None if issued is None else account_of(issued, context)
    able = {k.id for k in record.keys if k.state in {KeyState.MADE, KeyState.CONDEMNED}}
    return revoke.View(
        fingerprint=fingerprint,
        account_ready=account is not None and not why_unusable(account),
        account_reason="the account that ordered it is not registered",
        key_exists=issued is not None and issued.key in able,
    )


def begin(
    record: CertificateRecord,
    issued: IssuedRecord,
    moment: Moment,
    *,
    reason: str,
    by: Signer = "account",
    why: str = "an operator asked for it",
) -> CertificateRecord:
    """Return the record with a job that has a certificate revoked.

    One that is under way already is begun anew, with the reason and signer of now.
    """
    job = RevokeJob(
        id=f"{moment.token[:12]}-{issued.fingerprint[:8]}",
        phase=RevocationAsked(reason=reason, by=by),
        reason=f"{why}, for {reason}",
        created=moment.now,
    )
    record = replace(record, revoke={**record.revoke, issued.fingerprint: job})
    if reason == KEY_COMPROMISE:
        return compromised(record, frozenset({issued.key}), moment)
    return record


def compromised(
    record: CertificateRecord, keys: frozenset[str], moment: Moment
) -> CertificateRecord:
    """Return the record with keys that are known to somebody else.

    Such a key is never used for another certificate, and never gone back to.
    """
    for key in record.keys:
        if key.id in keys and key.compromised_at is None:
            record = record.with_key(replace(key, compromised_at=moment.now))
    return record


def fold(
    record: CertificateRecord,
    fingerprint: str,
    outcome: revoke.Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of a revocation."""
    job = record.revoke[fingerprint]
    view = view_of(record, fingerprint, context)
    after = revoke.fold(job, outcome, view, moment)
    if after is not None:
        return replace(record, revoke={**record.revoke, fingerprint: after})
    rest = {name: job for name, job in record.revoke.items() if name != fingerprint}
    revocation = Revocation(at=moment.now, reason=job.phase.reason, ours=True)
    return replace(record, revoke=rest).with_revocation(fingerprint, revocation)


def forget_ended(record: CertificateRecord, moment: Moment) -> CertificateRecord:
    """Forget the certificates that have ended, and with them their revocations.

    The newest stays: that a CA has revoked it may be why there is no other. Where its
    network function ends there will be none in any case.
    """
    current = None if record.end is not None else record.current
    newest = None if current is None else current.fingerprint
    lasting = tuple(
        i for i in record.issued if i.not_after > moment.now or i.fingerprint == newest
    )
    if len(lasting) == len(record.issued):
        return record
    known = {issued.fingerprint for issued in lasting}
    busy = {name for name, job in record.revoke.items() if job.running}
    gone = record.revoke.keys() - known - busy
    issued = tuple(i for i in record.issued if i in lasting or i.fingerprint in busy)
    revoke = {name: job for name, job in record.revoke.items() if name not in gone}
    return replace(record, issued=issued, revoke=revoke)
