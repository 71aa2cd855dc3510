"""The job that makes a certification request for a CA which is not asked by ACME.

Its key is the next one: that of the order under way, where there is one, so that
whichever CA answers first is served. It ends when a certificate is issued or imported.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.choosing import choose_key, key_to_reuse
from agent.jobs.context import Context
from agent.jobs.envelope import backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState
from agent.records.request import (
    Asked,
    RequestJob,
    RequestKeyChosen,
    RequestKeyMade,
    RequestSigned,
)

WAITING: Final = "the request waits for its certificate: nfcertd import"


@dataclass(frozen=True, slots=True)
class MakeRequestKey:
    """Make the key whose CKA_ID is durable, or find it."""

    key: str
    name = "make-request-key"


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Sign the request with the key in its home."""

    key: str
    name = "sign-request"


Effect = MakeRequestKey | SignRequest


@dataclass(frozen=True, slots=True)
class RequestKeyExists:
    """The key was made, or found made: its SPKI in DER and its token's serial."""

    public: bytes
    token_serial: str


@dataclass(frozen=True, slots=True)
class Signed:
    """The request, PKCS#10 in PEM, and what it asks for."""

    asked: Asked
    pem: str


Outcome = RequestKeyExists | Signed | Failed


def asked(context: Context) -> Asked:
    """Return what a request asks for that is signed now."""
    return Asked(
        names=context.names,
        content=context.wish.profile.digest,
        must_staple=context.config.must_staple,
    )


def begin(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with a request for its next key.

    One that was signed for what is configured now is kept.
    """
    job = record.requesting
    if job is not None and not _is_stale(job, context):
        # Whoever asks again has repaired what failed.
        eager = replace(job, not_before=None, crashes=0, crashed_in="")
        return record if job.running else replace(record, requesting=eager)
    record = replace(record, requesting=None)
    key = key_to_reuse(record, context.config.key, moment.now)
    if record.issue is not None:
        key = record.key(record.issue.phase.key)
    if key is None:
        key = choose_key(
            context.config.key,
            subject=record.name,
            number=record.key_count + 1,
            install=context.install,
            moment=moment,
        )
        others = (k for k in record.keys if k.id != key.id)
        record = replace(record, keys=(*others, key), key_count=key.number)
    made = key.state is KeyState.MADE
    phase = RequestKeyMade(key=key.id) if made else RequestKeyChosen(key=key.id)
    job = RequestJob(
        id=moment.token[:12],
        phase=phase,
        reason="an operator takes a request to a ca",
        created=moment.now,
    )
    return replace(record, requesting=job)


def next_step(job: RequestJob, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "it is given time"
        return Wait(until=job.not_before, reason=reason)
    match job.phase:
        case RequestKeyChosen(key=key):
            return Do(MakeRequestKey(key))
        case RequestKeyMade(key=key):
            return Do(SignRequest(key))
        case RequestSigned():
            return Wait(until=None, reason=WAITING)


def fold(
    record: CertificateRecord, job: RequestJob, outcome: Outcome, moment: Moment
) -> CertificateRecord:
    """Return the whole record after an effect of the request."""
    key = record.key(job.phase.key)
    match outcome:
        case RequestKeyExists(public, serial):
            made = replace(key, state=KeyState.MADE, public=public, token_serial=serial)
            after = entered(job, RequestKeyMade(key=key.id))
            return replace(record.with_key(made), requesting=_well(after))
        case Signed(wanted, pem):
            signed = RequestSigned(key=key.id, asked=wanted, pem=pem)
            return replace(record, requesting=_well(entered(job, signed)))
        case Failed(failure):
            return replace(record, requesting=backed_off(job, failure, moment.draw))


def _well(job: RequestJob) -> RequestJob:
    return replace(job, failures=0, failure=None)


def _is_stale(job: RequestJob, context: Context) -> bool:
    phase = job.phase
    return isinstance(phase, RequestSigned) and phase.asked != asked(context)
