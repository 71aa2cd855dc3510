"""The job that asks whether the newest certificate is revoked.

It is short: it asks once, and what it heard, or that it heard nothing, is remembered
with the instant of the next time. That nothing can be heard is no revocation.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from agent.jobs.context import Context
from agent.jobs.revoking import compromised
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.pki.reasons import KEY_COMPROMISE
from agent.records.certificate import CertificateRecord, Issuance
from agent.records.revocation import (
    CheckJob,
    IssuedRecord,
    Replaced,
    Revocation,
    StatusDue,
    StatusRecord,
)
from agent.renewal.revocation import (
    CONSEQUENCES,
    Consequence,
    check_interval,
    patience,
    replacement_pause,
)

ON_HOLD = "certificateHold"
SPREAD = 0.1
"""Part of the interval by which hosts differ, to the early side."""


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Ask the OCSP responder, or read the CRL.

    Attributes:
        fingerprint: Which certificate.
        nonce: For OCSP; 32 characters, drawn with the job.
    """

    fingerprint: str
    nonce: str
    name = "ask-status"


@dataclass(frozen=True, slots=True)
class Heard:
    """What the CA says.

    Attributes:
        revoked: Name of the reason code where it is revoked, else empty.
        source: `ocsp` or `crl`.
    """

    revoked: str
    source: str


Effect = AskStatus
Outcome = Heard | Failed


def reconcile(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with a check where one is due, or without where none may be."""
    at = due_at(record, context)
    job = record.checking
    if at is None:
        idle = job is None or job.running
        return record if idle else replace(record, checking=None)
    if job is not None or moment.now < at:
        return record
    job = CheckJob(
        id=moment.token[:12],
        phase=StatusDue(nonce=moment.token),
        reason="its status is asked for from time to time",
        created=moment.now,
    )
    return replace(record, checking=job)


def due_at(record: CertificateRecord, context: Context) -> datetime | None:
    """Return when the status of the newest certificate is asked for, None for never."""
    current, issued = record.current, _of_current(record)
    if current is None or issued is None or not context.config.status.check:
        return None
    revocation = issued.revocation
    final = revocation is not None and revocation.reason != ON_HOLD
    if final or not (issued.ocsp or issued.crl):
        return None
    known = record.status
    if known is not None and known.fingerprint == current.fingerprint:
        return known.next_at
    # A responder need not know at once what was issued a moment ago.
    return current.issued_at + check_interval(_life(current))


def next_changes(
    record: CertificateRecord, current: Issuance, context: Context
) -> list[datetime]:
    """Return when a status is asked for or alarms, and a replacement may begin."""
    life = current.not_after - current.not_before
    instants = [due_at(record, context), allowed_at(record, current)]
    if record.status is not None and record.status.failing_since is not None:
        instants.append(record.status.failing_since + patience(life))
    return [instant for instant in instants if instant is not None]


def stops(revocation: Revocation) -> bool:
    """Tell whether nothing is ordered after a revocation, but by an operator."""
    consequence = CONSEQUENCES.get(revocation.reason, Consequence.REPLACE)
    return not revocation.ours and consequence is Consequence.STOP


def allowed_at(record: CertificateRecord, current: Issuance) -> datetime | None:
    """Return before when a revoked certificate is not ordered anew, None for never.

    A CA that revokes whatever it issues is not asked in a loop.
    """
    known, revocation = record.replaced, record.revocation(current.fingerprint)
    if known is None or revocation is None or revocation.ours:
        return None
    if known.fingerprint == current.fingerprint:
        return None
    return known.at + replacement_pause(current.not_after - current.not_before)


def noted(record: CertificateRecord, moment: Moment) -> CertificateRecord:
    """Note that a certificate which its CA revoked is ordered anew."""
    current, known = record.current, record.replaced
    revocation = None if current is None else record.revocation(current.fingerprint)
    if current is None or revocation is None or revocation.ours:
        return record
    if known is not None and known.fingerprint == current.fingerprint:
        return record
    now = Replaced(fingerprint=current.fingerprint, at=moment.now)
    return replace(record, replaced=now)


def next_step(record: CertificateRecord, job: CheckJob) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    issued = _of_current(record)
    if issued is None:
        return Wait(until=None, reason="there is no certificate to ask about")
    return Do(AskStatus(issued.fingerprint, job.phase.nonce))


def fold(
    record: CertificateRecord, effect: Effect, outcome: Outcome, moment: Moment
) -> CertificateRecord:
    """Return the whole record after the CA was asked."""
    record = replace(record, checking=None)
    current = record.current
    if current is None or current.fingerprint != effect.fingerprint:
        # Another one was issued meanwhile; this answer is about the past.
        return record
    wait = check_interval(_life(current)) * (1 - SPREAD * moment.draw)
    known = record.status
    if known is None or known.fingerprint != effect.fingerprint:
        known = StatusRecord(fingerprint=effect.fingerprint, next_at=moment.now)
    known = replace(known, next_at=moment.now + wait)
    match outcome:
        case Failed(failure):
            since = known.failing_since or moment.now
            known = replace(known, failing_since=since, failure=failure.message)
            return replace(record, status=known)
        case Heard(revoked, source):
            known = replace(
                known,
                checked_at=moment.now,
                source=source,
                failing_since=None,
                failure="",
            )
            return _heard(replace(record, status=known), current, revoked, moment)


def _heard(
    record: CertificateRecord, current: Issuance, revoked: str, moment: Moment
) -> CertificateRecord:
    before = record.revocation(current.fingerprint)
    if not revoked:
        held = before is not None and before.reason == ON_HOLD and not before.ours
        # Only a hold is ever taken back (RFC 5280 section 5.3.1).
        return record.with_revocation(current.fingerprint, None) if held else record
    if before is not None and before.ours:
        return record
    if before is None or before.reason != revoked:
        now = Revocation(at=moment.now, reason=revoked, ours=False)
        record = record.with_revocation(current.fingerprint, now)
    if revoked == KEY_COMPROMISE:
        return compromised(record, frozenset({current.key}), moment)
    return record


def _of_current(record: CertificateRecord) -> IssuedRecord | None:
    current = record.current
    return None if current is None else record.issued_as(current.fingerprint)


def _life(current: Issuance) -> timedelta:
    return max(current.not_after - current.not_before, timedelta(0))
