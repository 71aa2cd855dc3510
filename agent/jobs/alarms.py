"""Which alarms stand for a certificate: computed from its state, raised once."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from agent.jobs.context import Context
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.status import stops
from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord, Issuance
from agent.records.job import Alarm, Disposition, Job, Severity
from agent.records.keys import PinStatus
from agent.records.others import AccountRecord, TokenRecord
from agent.records.slots import jobs
from agent.renewal.breaker import OPEN_AFTER, current_limits
from agent.renewal.plan import due
from agent.renewal.revocation import patience

MAX_SKEW = timedelta(minutes=1)
"""By how much the clock of a CA may differ from ours before somebody hears of it."""
PATIENCE = 3
"""Failures in a row after which a job is an alarm, whatever its disposition."""


def with_alarms(
    record: CertificateRecord, context: Context, now: datetime
) -> CertificateRecord:
    """Return the record with the alarms that its state calls for.

    An alarm that stands already keeps the instant at which it was raised.
    """
    alarms = {
        slug: replace(alarm, raised=record.alarms[slug].raised)
        if slug in record.alarms
        else alarm
        for slug, alarm in _called_for(record, context, now)
    }
    return record if alarms == record.alarms else replace(record, alarms=alarms)


def _called_for(
    record: CertificateRecord, context: Context, now: datetime
) -> Iterator[tuple[str, Alarm]]:
    # Nobody misses a certificate that is given up with its network function.
    current = None if record.end is not None else record.current
    if current is not None and now >= current.not_after:
        cause = f"the certificate ended at {current.not_after:%Y-%m-%d %H:%M:%SZ}"
        yield "expired", _alarm(Severity.CRITICAL, cause, now)
    elif current is not None:
        planned = due(record, context.config.renew_at)
        if planned is not None and now >= planned.emergency_at:
            cause = f"the certificate ends at {current.not_after:%Y-%m-%d %H:%M:%SZ}"
            yield "expiring", _alarm(Severity.CRITICAL, cause, now)
    if current is not None:
        yield from _of_trust(record, current, context, now)
    if record.choice is not None:
        cause = f"ordered from {record.choice.ca}: {record.choice.reason}"
        action = "nothing, if the first ca answers again before the next renewal"
        yield "stand-in", _alarm(Severity.WARNING, cause, now, action)
    for slot, job in jobs(record).items():
        slug = f"{slot.kind}-{slot.name}" if slot.name else slot.kind
        yield from _of_job(slug, job, now)


def _of_trust(
    record: CertificateRecord, current: Issuance, context: Context, now: datetime
) -> Iterator[tuple[str, Alarm]]:
    """Yield what is wrong with the newest certificate although its dates are good."""
    revocation = record.revocation(current.fingerprint)
    if revocation is not None:
        who = "us" if revocation.ours else "its ca"
        cause = f"the newest certificate is revoked by {who}: {revocation.reason}"
        action = "nothing is ordered: ask the ca's operator, then nfcertd renew"
        stopped = record.issue is None and stops(revocation)
        alarm = _alarm(Severity.CRITICAL, cause, now, action if stopped else "")
        yield "revoked", alarm
    known, life = record.status, current.not_after - current.not_before
    since = None if known is None else known.failing_since
    if known is not None and since is not None and now >= since + patience(life):
        when = f"{since:%Y-%m-%d %H:%M:%SZ}"
        cause = f"its status is unknown since {when}: {known.failure}"
        yield "status-unknown", _alarm(Severity.WARNING, cause, now)
    if current.key in record.compromised:
        adopted = context.config.key.adopt is not None
        action = "configure another key: an adopted one is not ours to replace"
        cause = "the key of the newest certificate is compromised"
        alarm = _alarm(Severity.CRITICAL, cause, now, action if adopted else "")
        yield "key-compromised", alarm


def account_alarms(record: AccountRecord) -> dict[str, Alarm]:
    """Return the alarms of an account, each since its job's last failure or begin."""
    found: dict[str, Alarm] = {}
    for slot, job in jobs(record).items():
        slug = f"{slot.kind}-{slot.name}" if slot.name else slot.kind
        since = job.created if job.failure is None else job.failure.at
        found |= _of_job(slug, job, since)
    blocked = record.blocked
    if blocked is not None:
        action = blocked.hint or "ask the ca's operator"
        cause = blocked.message
        found["action-required"] = _alarm(Severity.MAJOR, cause, blocked.at, action)
    if record.closed_at is not None:
        cause = f"the account is {record.closed} for good, nothing is ordered with it"
        action = "name another account for its certificates, or remove its table"
        found["closed"] = _alarm(Severity.MAJOR, cause, record.closed_at, action)
    return found


def ca_alarms(record: CaRecord, now: datetime, skew: float) -> dict[str, Alarm]:
    """Return the alarms of a CA: that it does not work, whom it limits, its clock.

    A clock that differs is no error: the checks of a certificate's dates decide.

    Args:
        record: What is remembered of the CA.
        now: Wall time.
        skew: Seconds that its clock was ahead of ours at its last answer.
    """
    found: dict[str, Alarm] = {}
    if abs(skew) > MAX_SKEW.total_seconds():
        side = "ahead of" if skew > 0 else "behind"
        cause = f"its clock is {abs(skew):.0f} s {side} ours"
        found["ca-clock"] = _alarm(Severity.WARNING, cause, now, "compare both clocks")
    failure = record.failure
    if failure is not None and record.failures >= OPEN_AFTER:
        cause = f"{record.failures} errors in a row: {failure.message}"
        action = "look at the ca and at the way to it"
        found["ca-down"] = _alarm(Severity.MAJOR, cause, failure.at, action)
    for account, limit in sorted(current_limits(record, now).items()):
        cause = f"no orders before {limit.until:%FT%TZ}: {limit.failure.message}"
        since = limit.failure.at
        found[f"limit-{account}"] = _alarm(Severity.WARNING, cause, since)
    return found


def token_alarms(record: TokenRecord, now: datetime) -> dict[str, Alarm]:
    """Return the alarms of a token: what only a person can do about its PIN."""
    pin = record.pin
    since = pin.since or now
    match pin.status:
        case PinStatus.REFUSED:
            cause = "the token refused the pin; it is not tried again until it changes"
            return {"pin-refused": _alarm(Severity.MAJOR, cause, since)}
        case PinStatus.LOCKED:
            cause = "the token has locked the pin"
            action = "its security officer can unlock it"
            return {"pin-locked": _alarm(Severity.CRITICAL, cause, since, action)}
        case _:
            return {}


def _of_job(slug: str, job: Job[Any], now: datetime) -> Iterator[tuple[str, Alarm]]:
    if job.crashes >= QUARANTINE_AFTER:
        cause = "quarantined, because the process crashed in this job"
        yield f"{slug}-quarantined", _alarm(Severity.CRITICAL, cause, now)
    failure = job.failure
    if failure is None:
        return
    operator = failure.disposition is Disposition.NEEDS_OPERATOR
    if operator or job.failures >= PATIENCE or failure.kind == "deploy.reverted":
        severity = Severity.MAJOR if operator else Severity.WARNING
        yield f"{slug}-failing", _alarm(severity, failure.message, now, failure.hint)


def _alarm(severity: Severity, cause: str, now: datetime, action: str = "") -> Alarm:
    return Alarm(severity=severity, cause=cause, action=action, raised=now)
