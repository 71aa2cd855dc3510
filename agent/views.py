"""What the daemon shows of itself: one snapshot for `status`, metrics and `plan`.

Pure: the same records, configuration and instant give the same view. `issued` and
`deployed` are different states everywhere. No secret is in a record, so none is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from agent.config.model import Config
from agent.jobs.account import next_step as next_account_step
from agent.jobs.account import why_unusable
from agent.jobs.accounts import next_account_change
from agent.jobs.certificate import next_step
from agent.jobs.context import AccountContext, Context
from agent.jobs.references import needed_keys
from agent.jobs.step import Do
from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord, EndpointRecord, Refused
from agent.records.job import Alarm, Job
from agent.records.keys import KeyRecord
from agent.records.others import AccountRecord
from agent.records.slots import Slot, jobs
from agent.renewal.breaker import OPEN_AFTER, current_limits
from agent.renewal.plan import due as due_of
from agent.shapes import (
    AccountView,
    AlarmView,
    CaView,
    CertificateView,
    EndpointView,
    JobView,
    KeyView,
    LimitView,
    PlanView,
    RefusedView,
    State,
    SuggestionView,
)
from agent.starviews import series_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a view is made of.

    Attributes:
        config: The configuration in force.
        certificates: Records by name.
        contexts: Context of each configured certificate.
        quarantined: Subjects whose record could not be read, with the reason.
    """

    config: Config
    certificates: Mapping[str, CertificateRecord]
    contexts: Mapping[str, Context]
    quarantined: Mapping[str, str]


def certificate_views(facts: Facts, now: datetime) -> tuple[CertificateView, ...]:
    """Return every certificate: configured, unmanaged and quarantined."""
    shown = [
        certificate_view(record, facts.contexts.get(name), now)
        for name, record in sorted(facts.certificates.items())
    ]
    return tuple(shown)


def certificate_view(
    record: CertificateRecord, context: Context | None, now: datetime
) -> CertificateView:
    """Return one certificate."""
    current = record.current
    due = due_of(record, context.config.renew_at if context else None)
    newest = record.publications[-1].number if record.publications else 0
    endpoints = _endpoints(record, context, newest)
    deployed = bool(newest) and all(e.deployed for e in endpoints)
    status = record.status
    return CertificateView(
        name=record.name,
        names=context.names if context else (current.names if current else ()),
        ca=context.ca if context else (current.ca if current else ""),
        stand_in=record.choice.reason if record.choice else "",
        state=_state(record, context, now, deployed=deployed),
        issued=current is not None,
        deployed=deployed,
        serial=current.serial if current else "",
        fingerprint=current.fingerprint if current else "",
        not_before=current.not_before if current else None,
        not_after=current.not_after if current else None,
        renew_at=due.at if due else None,
        rule=due.rule if due else "",
        suggestion=_suggestion(record),
        profile=current.profile if current else "",
        anchor=current.anchor_subject if current else "",
        publication=newest,
        orders=record.orders,
        endpoints=endpoints,
        jobs=_jobs(record, context, now),
        plan=_plan(record, context, now),
        held=record.held,
        trust=_trust(record),
        revoked=_revoked(record),
        status_checked_at=None if status is None else status.checked_at,
        status_failure="" if status is None else status.failure,
        findings=current.findings if current else (),
        refused=_refused(record.refused),
        **series_of(record, context),
    )


def _refused(known: Refused | None) -> RefusedView | None:
    if known is None:
        return None
    issuance = known.issuance
    return RefusedView(
        serial=issuance.serial,
        fingerprint=issuance.fingerprint,
        not_after=issuance.not_after,
        at=known.at,
        findings=issuance.findings,
    )


def _trust(record: CertificateRecord) -> dict[str, int]:
    """Return the version of each list in the newest publication."""
    newest = record.publications[-1:]
    return {part.name: part.version for p in newest for part in p.trust}


def _suggestion(record: CertificateRecord) -> SuggestionView | None:
    known = record.suggestion
    if known is None or known.start is None or known.end is None:
        return None
    return SuggestionView(
        start=known.start,
        end=known.end,
        pick=known.pick,
        explanation=known.explanation,
        ask_at=known.ask_at,
    )


def _endpoints(
    record: CertificateRecord, context: Context | None, newest: int
) -> tuple[EndpointView, ...]:
    names = [e.name for e in context.endpoints] if context else list(record.endpoints)
    return tuple(
        _endpoint(name, record.endpoints.get(name, EndpointRecord()), newest)
        for name in names
    )


def _endpoint(name: str, known: EndpointRecord, newest: int) -> EndpointView:
    return EndpointView(
        name=name,
        live=known.live,
        proven=known.proven,
        proven_at=known.proven_at,
        by=known.by,
        deployed=bool(newest) and known.proven == newest,
        addresses={s.address: s.sight for s in known.sightings},
        issued_to_served=known.issued_to_served,
    )


def _state(
    record: CertificateRecord,
    context: Context | None,
    now: datetime,
    *,
    deployed: bool,
) -> State:
    current = record.current
    quarantined = any(slug.endswith("-quarantined") for slug in record.alarms)
    checks = (
        (context is None, State.UNMANAGED),
        (record.ended is not None, State.ENDED),
        (quarantined, State.QUARANTINED),
        (record.end is not None, State.ENDING),
        (current is not None and now >= current.not_after, State.EXPIRED),
        (bool(_revoked(record)), State.REVOKED),
        (record.held, State.HELD),
        (current is None, State.MISSING),
        (not deployed, State.DEPLOYING),
    )
    return next((state for holds, state in checks if holds), State.DEPLOYED)


def _revoked(record: CertificateRecord) -> str:
    """Return why the newest certificate is revoked; empty where it is not."""
    current = record.current
    known = None if current is None else record.revocation(current.fingerprint)
    return "" if known is None else known.reason


def _jobs(
    record: CertificateRecord, context: Context | None, now: datetime
) -> tuple[JobView, ...]:
    found = []
    for slot, job in jobs(record).items():
        step = None if context is None else next_step(record, slot, context, now)
        found.append(_job(slot, job, step))
    return tuple(found)


def _job(slot: Slot, job: Job[Any], step: object) -> JobView:
    """Return a job; `step` is None where nobody wants it any more."""
    doing = step.effect.name if isinstance(step, Do) else ""
    return JobView(
        slot=f"{slot.kind} {slot.name}".strip(),
        phase=getattr(job.phase, "stage", "") or _tag(job.phase),
        reason=job.reason,
        next=doing or getattr(step, "reason", "unmanaged"),
        at=getattr(step, "until", None),
        failures=job.failures,
        failure=job.failure,
        running=job.running,
        crashes=job.crashes,
    )


def _tag(phase: msgspec.Struct) -> str:
    return str(type(phase).__struct_config__.tag)


def _plan(
    record: CertificateRecord, context: Context | None, now: datetime
) -> PlanView:
    """Return what happens next: the first job's next step, or the next renewal."""
    if context is None:
        return PlanView(next="nothing, it is not configured", at=None, rule="unmanaged")
    for job in _jobs(record, context, now):
        if not job.slot.startswith(("retire", "renewal-info", "abandon", "series")):
            rule = f"after {job.failures} failures" if job.failures else job.reason
            where = f" at {context.ca}" if record.choice else ""
            step = f"{job.slot}{where}: {job.next}"
            return PlanView(next=step, at=job.at, rule=rule)
    if record.ended is not None:
        rule = f"nf {record.ended.nf} is decommissioned"
        return PlanView(next="nothing, it has ended", at=None, rule=rule)
    due = due_of(record, context.config.renew_at)
    if due is None:
        return PlanView(next="order a certificate", at=now, rule="there is none yet")
    held = "held by an operator: " if record.held else ""
    return PlanView(next=f"{held}renew", at=due.at, rule=due.rule)


def ca_view(record: CaRecord, now: datetime, skew: float | None = None) -> CaView:
    """Return one CA."""
    until = record.open_until
    limits = current_limits(record, now)
    return CaView(
        name=record.name,
        up=record.failures < OPEN_AFTER,
        failures=record.failures,
        reason=record.failure.message if record.failure else "",
        not_before=until if until is not None and until > now else None,
        limits=tuple(
            LimitView(account=name, until=one.until, message=one.failure.message)
            for name, one in sorted(limits.items())
        ),
        skew=skew,
    )


def account_view(
    record: AccountRecord, ca: str, context: AccountContext, now: datetime
) -> AccountView:
    """Return one account; its failure is that of the first job that failed."""
    found, key = jobs(record), record.key
    failures = [job.failure for job in found.values() if job.failure is not None]
    return AccountView(
        name=record.name,
        ca=ca,
        url=record.url,
        valid=bool(record.url) and not record.closed,
        failure=record.blocked or next(iter(failures), None),
        state=why_unusable(record) or "valid",
        key="" if key is None else key.id,
        key_store="" if key is None else key.store,
        key_created=None if key is None else key.created,
        contact=record.contact,
        roll_at=next_account_change(record, context.config),
        jobs=tuple(
            _job(slot, job, next_account_step(record, slot, context, now))
            for slot, job in found.items()
        ),
    )


def account_key_views(record: AccountRecord) -> tuple[KeyView, ...]:
    """Return every key of an account; only the one in force is referenced for good."""
    rolling = "" if record.roll is None else getattr(record.roll.phase, "key", "")
    beside = tuple(
        key_view(
            key,
            record.name,
            referenced=key.id == rolling,
            use="next account key" if key.id == rolling else "previous account key",
        )
        for key in record.keys
    )
    if record.key is None:
        return beside
    use = "account"
    return (key_view(record.key, record.name, referenced=True, use=use), *beside)


def alarm_views(
    kind: str, subject: str, alarms: Mapping[str, Alarm]
) -> tuple[AlarmView, ...]:
    """Return the alarms of one subject of a kind."""
    return tuple(
        AlarmView(
            id=slug,
            kind=kind,
            subject=subject,
            severity=alarm.severity,
            cause=alarm.cause,
            action=alarm.action,
            raised=alarm.raised,
        )
        for slug, alarm in sorted(alarms.items())
    )


def key_views(
    record: CertificateRecord, context: Context | None, now: datetime
) -> tuple[KeyView, ...]:
    """Return every key of a certificate, with its use and its references."""
    needed = frozenset[str]() if context is None else needed_keys(record, context, now)
    serving = {p.issuance.key for p in record.publications[-1:]}
    return tuple(
        key_view(
            key,
            record.name,
            referenced=key.id in needed or context is None,
            use="certificate" if key.id in serving else "next or previous certificate",
        )
        for key in record.keys
    )


def key_view(key: KeyRecord, subject: str, *, referenced: bool, use: str) -> KeyView:
    """Return one key."""
    return KeyView(
        subject=subject,
        id=key.id,
        label=key.label,
        store=key.store,
        type=key.type,
        state=key.state,
        created=key.created,
        referenced=referenced,
        use=use,
    )
