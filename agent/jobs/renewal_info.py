"""The job that asks the CA when a certificate should be renewed (RFC 9773).

One question is one job: its answer, and when the next question is due, stand in the
certificate's record. The window is picked from once and never again, so that neither a
restart nor another question moves a renewal. `renewal.plan` decides what it means.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from agent.jobs.authority import gated
from agent.jobs.context import Context
from agent.jobs.envelope import survived
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.records.certificate import CertificateRecord, RenewalInfoJob
from agent.records.job import Disposition, Failure
from agent.records.phases import AskDue
from agent.records.renewal import RenewalRecord
from agent.renewal import backoff
from agent.renewal.breaker import UNKNOWN, Standing

LEAST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(days=1)
"""What a Retry-After is clamped to (section 4.3.2)."""
LONG_TERM: Final = timedelta(hours=6)
"""Until the next question after a lasting error (section 4.3.3)."""
TRIES: Final = 4
"""Passing errors in a row that are backed off from; then it is a lasting one."""


@dataclass(frozen=True, slots=True)
class AskRenewalInfo:
    """Ask for the renewal information of a certificate; harmless to repeat."""

    certid: str
    name = "ask-renewal-info"


Effect = AskRenewalInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Informed:
    """The CA suggests a window that can be used.

    Attributes:
        start: Its beginning.
        end: Its end, not before the beginning.
        explanation: URL for a person, or empty.
        retry_at: When it wants to be asked again; None where it did not say so.
    """

    start: datetime
    end: datetime
    explanation: str = ""
    retry_at: datetime | None = None


Outcome = Informed | Failed


def next_step(
    record: CertificateRecord, job: RenewalInfoJob, context: Context, now: datetime
) -> Do[Effect] | Wait:
    """Return the one thing to do now; a CA that is left alone is not asked either."""
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the ca asked for patience"
        return Wait(until=job.not_before, reason=reason)
    standing = _standing(record, context) or UNKNOWN
    wait = gated(standing, now, urgent=False)
    return wait or Do(AskRenewalInfo(job.phase.certid))


def reconcile_renewal_info(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with the question that is due, and without a pointless one.

    "Clients MUST NOT check a certificate's RenewalInfo after the certificate has
    expired", nor once it is replaced (section 4.3): the newest certificate is asked
    for, while it lives and as long as no order is under way for the next one.
    """
    wanted = _wanted(record, context, moment.now)
    job = record.renewal_info
    if job is not None:
        pointless = job.phase.certid != wanted and not job.running
        return replace(record, renewal_info=None) if pointless else record
    known = record.suggestion
    early = known is not None and known.ask_at and moment.now < known.ask_at
    if not wanted or early:
        return record
    asked = RenewalInfoJob(
        id=f"{moment.token[:12]}-renewal-info",
        phase=AskDue(certid=wanted),
        reason="the ca offers renewal information",
        created=moment.now,
    )
    return replace(record, renewal_info=asked)


def _wanted(record: CertificateRecord, context: Context, now: datetime) -> str:
    """Return the certificate that may be asked about, empty for none."""
    current = record.current
    if current is None or record.held or record.issue is not None:
        return ""
    here = _standing(record, context) is not None and current.renewal_info
    return current.certid if here and now < current.not_after else ""


def _standing(record: CertificateRecord, context: Context) -> Standing | None:
    """Return the state of the CA that issued the certificate; None where it is gone.

    It may be a stand-in, while the next order goes to the first CA of the list again.
    """
    current = record.current
    if current is None:
        return None
    known = {(one.ca, one.directory): one.standing for one in context.authorities}
    known[context.ca, context.directory] = context.standing
    return known.get((current.ca, current.directory))


def fold(
    record: CertificateRecord, job: RenewalInfoJob, outcome: Outcome, moment: Moment
) -> CertificateRecord:
    """Return the record after a question: answered, or to be asked again later."""
    if isinstance(outcome, Failed):
        failed = _failed(record, job, outcome.failure, moment)
        known = record.suggestion or RenewalRecord(certid=job.phase.certid)
        known = replace(known, ask_at=failed.not_before)
        return replace(record, renewal_info=failed, renewal=known)
    record = replace(record, renewal_info=None)
    if record.current is None or record.current.certid != job.phase.certid:
        # A newer certificate came meanwhile; it is asked about next.
        return record
    return replace(record, renewal=_informed(record, outcome, moment))


def _informed(
    record: CertificateRecord, told: Informed, moment: Moment
) -> RenewalRecord:
    known, certid = record.suggestion, record.current.certid if record.current else ""
    same = known is not None and (known.start, known.end) == (told.start, told.end)
    pick = known.pick if same and known is not None else None
    if pick is None:
        pick = told.start + (told.end - told.start) * moment.draw
    return RenewalRecord(
        certid=certid,
        start=told.start,
        end=told.end,
        pick=pick,
        explanation=told.explanation,
        ask_at=ask_again(told.retry_at, moment.now),
    )


def ask_again(retry_at: datetime | None, now: datetime) -> datetime:
    """Return when the CA is asked again after an answer.

    Its Retry-After within a minute and a day; without one, which is a lasting error
    of the CA, after six hours.
    """
    if retry_at is None:
        return now + LONG_TERM
    return min(max(retry_at, now + LEAST_PAUSE), now + LONGEST_PAUSE)


def _failed(
    record: CertificateRecord, job: RenewalInfoJob, failure: Failure, moment: Moment
) -> RenewalInfoJob:
    """Back off from a passing error, wait six hours after a lasting one.

    Nobody has to do anything about it: our own rules renew the certificate.
    """
    failures = job.failures + 1
    if _is_passing(failure) and failures <= TRIES:
        left = None if record.current is None else record.current.not_after - moment.now
        wait = backoff.delay(failures, left, moment.draw)
    else:
        wait = LONG_TERM
    at = moment.now + wait
    if failure.retry_at is not None:
        at = max(at, min(failure.retry_at, moment.now + LONGEST_PAUSE))
    return replace(
        survived(job, job.phase),
        intent="",
        running=False,
        failures=failures,
        failure=replace(failure, disposition=Disposition.BACK_OFF),
        not_before=at,
    )


def _is_passing(failure: Failure) -> bool:
    """Tell a passing error (no answer in time, 5xx) from a lasting one."""
    return failure.kind in {"transport", "acme:serverInternal"} or (
        failure.kind == "acme:about:blank"
        and failure.disposition is Disposition.BACK_OFF
    )
