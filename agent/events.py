"""What happened, as values: worded once, here, by comparing a record with itself.

Every durable step of the daemon replaces a record; what a person wants to hear is the
difference. Lower-case clauses, constant text, data in fields, no secret.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord, EndpointRecord, Issuance
from agent.records.job import Job
from agent.records.keys import KeyState
from agent.records.others import AccountRecord
from agent.records.slots import Slot, jobs
from agent.records.trust import TrustRecord
from agent.sba.findings import errors

_QUIET: Final = frozenset({"renewal-info"})
"""Kinds of jobs that come again and again: only what comes of them is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        subject: Certificate, account or token that it happened to.
        kind: Slug such as `certificate.issued`.
        text: One lower-case clause.
        fields: Data for the journal; values are short and hold no secret.
        severity: A level of `logging`.
    """

    subject: str
    kind: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    severity: int = logging.INFO


def narrate(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    """Yield what happened between two records of a certificate."""
    yield from _choice(before, after)
    yield from _issuance(before, after)
    yield from _revocations(before, after)
    yield from _suggestion(before, after)
    yield from _profile(before, after)
    yield from _jobs(before, after)
    for name in before.series.keys() - after.series.keys():
        text = f"series {name} is over, the ca brings no further certificate"
        yield Event(subject=after.name, kind="series.ended", text=text)
    if after.ended is not None and before.ended is None:
        text = "nothing is left, its network function is decommissioned"
        yield Event(subject=after.name, kind="certificate.ended", text=text)
    yield from _endpoints(before, after)
    yield from _keys(before, after)
    yield from _alarms(before, after)


def narrate_trust(before: TrustRecord, after: TrustRecord) -> Iterator[Event]:
    """Yield what happened between two records of a list of trusted roots."""
    yield from _roots(before, after)
    name = after.name
    if after.published != before.published:
        text = f"version {after.published} with {len(after.roots)} roots is published"
        yield Event(subject=name, kind="trust.published", text=text)
    if after.signer != before.signer and before.signer:
        text = "another key signs the list now"
        yield Event(subject=name, kind="trust.signer", text=text)
    failure = after.job.failure if after.job else None
    known = before.job.failure if before.job else None
    if failure is not None and failure != known:
        yield Event(
            subject=name,
            kind="trust.failed",
            text=f"the list was not taken: {failure.message}",
            fields={"failure": failure.kind},
            severity=logging.WARNING,
        )
    yield from _alarms(before, after)


def _roots(before: TrustRecord, after: TrustRecord) -> Iterator[Event]:
    """Yield which roots came, which began to leave, and which are gone."""
    old = {root.fingerprint: root for root in before.roots}
    new = {root.fingerprint: root for root in after.roots}
    for fingerprint, root in {**old, **new}.items():
        was, is_now = old.get(fingerprint), new.get(fingerprint)
        removed = is_now is not None and is_now.removed_at is not None
        left = was is not None and was.removed_at is not None
        what = {
            "trusted": was is None or (left and is_now is not None and not removed),
            "leaving": removed and not left,
            "distrusted": is_now is None and fingerprint in after.distrusted,
            "removed": is_now is None,
        }
        kind = next((kind for kind, holds in what.items() if holds), None)
        if kind is not None:
            yield Event(
                subject=after.name,
                kind=f"root.{kind}",
                text=f"root {root.subject or fingerprint[:16]} is {kind}",
                fields={"fingerprint": fingerprint},
            )


def narrate_account(before: AccountRecord, after: AccountRecord) -> Iterator[Event]:
    """Yield what happened between two records of an account."""
    name = after.name
    if after.url and after.url != before.url:
        fields = {"account": after.url}
        yield Event(
            subject=name, kind="account.valid", text="account is valid", fields=fields
        )
    if after.closed and not before.closed:
        text = f"account is {after.closed}"
        yield Event(subject=name, kind="account.closed", text=text)
    if after.contact != before.contact and before.url:
        text = "the ca has the contacts of the configuration"
        yield Event(subject=name, kind="account.updated", text=text)
    yield from _account_keys(before, after)
    old = jobs(before)
    for slot, job in jobs(after).items():
        yield from _job(name, slot, old.get(slot), job)
    if after.blocked is not None and before.blocked is None:
        yield Event(
            subject=name,
            kind="account.action-required",
            text=f"a person must act: {after.blocked.message}",
            fields={"failure": after.blocked.kind},
            severity=logging.ERROR,
        )


def narrate_authority(before: CaRecord, after: CaRecord) -> Iterator[Event]:
    """Yield what happened between two records of a CA."""
    name, until = after.name, after.open_until
    if until is not None and until != before.open_until:
        yield Event(
            subject=name,
            kind="ca.shut",
            text=f"ca is not asked before {until:%FT%TZ}, {after.failures} errors",
            fields={"failure": after.failure.kind if after.failure else ""},
            severity=logging.WARNING,
        )
    if until is None and before.open_until is not None:
        yield Event(subject=name, kind="ca.answers", text="ca answers again")
    for account, limit in after.limits.items():
        if limit != before.limits.get(account):
            yield Event(
                subject=name,
                kind="ca.limited",
                text=f"account {account} orders nothing before {limit.until:%FT%TZ}: "
                f"{limit.failure.message}",
                fields={"account": account},
                severity=logging.WARNING,
            )


def _choice(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    choice = after.choice
    if choice is not None and choice != before.choice:
        yield Event(
            subject=after.name,
            kind="certificate.stand-in",
            text=f"ordered from {choice.ca}: {choice.reason}",
            fields={"ca": choice.ca},
            severity=logging.WARNING,
        )
    elif choice is None and before.choice is not None:
        text = "ordered from the first ca of the list again"
        yield Event(subject=after.name, kind="certificate.first-ca", text=text)


def _account_keys(before: AccountRecord, after: AccountRecord) -> Iterator[Event]:
    name, new, old = after.name, after.key, before.key
    if new is not None and old is not None and new.id != old.id and after.url:
        yield Event(
            subject=name,
            kind="account.rolled",
            text=f"account key {new.number} is in force, {old.number} is not any more",
            fields={"key_id": new.id, "label": new.label},
        )
    for key in before.keys:
        retired = key.id in before.retire and key.id not in after.retire
        if retired:
            yield Event(
                subject=name,
                kind="key.destroyed",
                text=f"account key {key.number} destroyed",
                fields={"key_id": key.id, "label": key.label},
            )


def _issuance(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    current = after.current
    if current is None or before.publication_count == after.publication_count:
        return
    if _is_republished(before, current):
        text = f"certificate {current.serial} published again, its files have changed"
        yield Event(subject=after.name, kind="certificate.republished", text=text)
        return
    yield Event(
        subject=after.name,
        kind="certificate.issued",
        text=f"certificate {current.serial} issued, ends {current.not_after:%FT%TZ}",
        fields={"serial": current.serial, "fingerprint": current.fingerprint},
    )


def _revocations(
    before: CertificateRecord, after: CertificateRecord
) -> Iterator[Event]:
    for issued in after.issued:
        revocation = issued.revocation
        if revocation is None or before.revocation(issued.fingerprint) is not None:
            continue
        who = "by us" if revocation.ours else "by its ca"
        yield Event(
            subject=after.name,
            kind="certificate.revoked",
            text=f"certificate {issued.serial} is revoked {who}: {revocation.reason}",
            fields={"serial": issued.serial, "fingerprint": issued.fingerprint},
            severity=logging.WARNING,
        )
    known = after.status
    failing = known is not None and known.failing_since is not None
    if (
        known is not None
        and failing
        and (before.status is None or before.status.failing_since is None)
    ):
        yield Event(
            subject=after.name,
            kind="status.unknown",
            text=f"whether it is revoked is not known: {known.failure}",
            severity=logging.WARNING,
        )
    if before.replacing is not None and after.replacing is None:
        text = "the compromised key is replaced, its certificates are revoked"
        yield Event(subject=after.name, kind="certificate.replaced", text=text)


def _suggestion(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    """Tell of a window that is new; the same one again is no news."""
    known, told = before.suggestion, after.suggestion
    if told is None or told.pick is None or told.start is None or told.end is None:
        return
    if known is not None and (known.pick, known.explanation) == (
        told.pick,
        told.explanation,
    ):
        return
    text = (
        f"the ca suggests a renewal between {told.start:%FT%TZ} and {told.end:%FT%TZ}, "
        f"{told.pick:%FT%TZ} was drawn"
    )
    if told.explanation:
        text = f"{text}; it explains that at {told.explanation}"
    fields = {"explanation": told.explanation} if told.explanation else {}
    yield Event(
        subject=after.name, kind="renewal-info.window", text=text, fields=fields
    )


def _profile(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    """Yield what the profile says of an issuance that is new, refused or accepted."""
    known, now = before.refused, after.refused
    if now is not None and now != known:
        fields = _finding_fields(now.issuance)
        text = f"certificate {now.issuance.serial} is refused, it breaks its profile"
        yield _warning(after.name, "certificate.refused", text, fields)
    current = after.current
    if current is None or before.publication_count == after.publication_count:
        return
    fields = _finding_fields(current)
    if known is not None and known.issuance.fingerprint == current.fingerprint:
        by = "an operator" if errors(current.findings) else "the configuration"
        text = f"certificate {current.serial} is accepted after all by {by}"
        yield _warning(after.name, "certificate.accepted", text, fields)
    elif current.findings and not _is_republished(before, current):
        text = f"certificate {current.serial} breaks its profile, and is used"
        yield _warning(after.name, "certificate.profile", text, fields)


def _is_republished(before: CertificateRecord, current: Issuance) -> bool:
    known = before.current
    return known is not None and known.fingerprint == current.fingerprint


def _finding_fields(issuance: Issuance) -> dict[str, str]:
    return {
        "serial": issuance.serial,
        "fingerprint": issuance.fingerprint,
        "rules": ", ".join(f.rule for f in issuance.findings),
    }


def _warning(name: str, kind: str, text: str, fields: Mapping[str, str]) -> Event:
    return Event(
        subject=name, kind=kind, text=text, fields=fields, severity=logging.WARNING
    )


def _jobs(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    old, new = jobs(before), jobs(after)
    for slot, job in new.items():
        if slot.kind == "status":
            # Every hour; what is heard is told where it is news.
            continue
        yield from _job(after.name, slot, old.get(slot), job)


def _job(
    name: str,
    slot: Slot,
    before: Job[Any] | None,
    after: Job[Any],
) -> Iterator[Event]:
    about = f"{slot.kind} {slot.name}".strip()
    fields = {"job": after.id, "slot": about}
    known = before if before is not None and before.id == after.id else None
    if known is None and slot.kind in _QUIET:
        return
    if known is None:
        text = f"{about} begins: {after.reason}"
        yield Event(subject=name, kind=f"{slot.kind}.begun", text=text, fields=fields)
    failure = after.failure
    if failure is not None and (known is None or failure != known.failure):
        yield Event(
            subject=name,
            kind=f"{slot.kind}.failed",
            text=f"{about}: {failure.message}",
            fields={**fields, "failure": failure.kind},
            severity=logging.WARNING,
        )


def _endpoints(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    for name, endpoint in after.endpoints.items():
        known = before.endpoints.get(name, EndpointRecord())
        about = f"endpoint {name}".strip()
        if endpoint.left_at is not None and known.left_at is None:
            text = f"{about} is out of service"
            yield Event(subject=after.name, kind="endpoint.left", text=text)
        if endpoint.live and endpoint.live != known.live:
            text = f"{about}: live points to publication {endpoint.live}"
            yield Event(subject=after.name, kind="endpoint.swapped", text=text)
        if endpoint.proven and endpoint.proven != known.proven:
            how = "served, seen over the wire" if endpoint.by == "wire" else endpoint.by
            text = f"{about}: publication {endpoint.proven} is deployed ({how})"
            yield Event(subject=after.name, kind="endpoint.deployed", text=text)


def _keys(before: CertificateRecord, after: CertificateRecord) -> Iterator[Event]:
    known = {key.id: key.state for key in before.keys}
    for key in after.keys:
        if known.get(key.id) == key.state or key.state is KeyState.CHOSEN:
            continue
        yield Event(
            subject=after.name,
            kind=f"key.{key.state}",
            text=f"key {key.number} {key.state}",
            fields={"key_id": key.id, "label": key.label},
        )


def _alarms(
    before: CertificateRecord | TrustRecord, after: CertificateRecord | TrustRecord
) -> Iterator[Event]:
    for slug, alarm in after.alarms.items():
        if slug not in before.alarms:
            yield Event(
                subject=after.name,
                kind="alarm.raised",
                text=f"alarm {slug}: {alarm.cause}",
                fields={"alarm": slug, "severity": alarm.severity},
                severity=logging.ERROR,
            )
    for slug in before.alarms.keys() - after.alarms.keys():
        text = f"alarm {slug} is over"
        yield Event(subject=after.name, kind="alarm.cleared", text=text)
