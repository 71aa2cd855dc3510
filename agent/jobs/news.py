"""What is news to a hook: the state that it knows, compared with the state that is.

Only what lasts is told: what came and went between two comparisons is no news. A state
that cannot be read at the moment has not changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.config.hook import Hook
from agent.records.certificate import CertificateRecord, Issuance
from agent.records.hook import Announced, HookEvent, StandingAlarm
from agent.records.nf import Tombstone

UNNUMBERED: Final = 0
"""Sequence of an event that is in no queue yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NfOf:
    """The network function of a certificate, as the configuration says it."""

    name: str
    instance_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The state that is.

    Attributes:
        certificates: Every record by its name.
        nfs: The NF of each certificate that has one.
        ended: By network function: its instances that are decommissioned.
        alarms: Every alarm that stands.
        unreadable: Kind and name of every subject whose record cannot be read.
    """

    certificates: Mapping[str, CertificateRecord] = field(default_factory=dict)
    nfs: Mapping[str, NfOf] = field(default_factory=dict)
    ended: Mapping[str, tuple[Tombstone, ...]] = field(default_factory=dict)
    alarms: tuple[StandingAlarm, ...] = ()
    unreadable: frozenset[str] = frozenset()

    def hides(self, kind: str, name: str) -> bool:
        """Tell whether nothing can be said of a subject."""
        return f"{kind} {name}" in self.unreadable


def known_from(known: Announced, seen: Seen, table: Hook) -> Announced:
    """Return the state that is, as far as it is a hook's business."""
    hidden = "certificate"
    deployed = {n: x for n, x in known.deployed.items() if seen.hides(hidden, n)}
    revoked = {n: x for n, x in known.revoked.items() if seen.hides(hidden, n)}
    for name, record in sorted(seen.certificates.items()):
        proven = {e: x.proven for e, x in record.endpoints.items() if x.proven}
        gone = tuple(i.fingerprint for i in record.issued if i.revocation is not None)
        deployed = {**deployed, name: proven} if proven else deployed
        revoked = {**revoked, name: gone} if gone else revoked
    alarms = _standing(known, seen, table) if "alarm" in table.on else {}
    ended = {n: x for n, x in known.decommissioned.items() if seen.hides("nf", n)}
    ended |= {n: tuple(s.instance_id for s in x) for n, x in seen.ended.items() if x}
    return Announced(
        deployed=deployed, revoked=revoked, alarms=alarms, decommissioned=ended
    )


def _standing(known: Announced, seen: Seen, table: Hook) -> dict[str, StandingAlarm]:
    """Return the alarms that a hook is told of, and those it has been told of."""
    before = known.alarms
    standing = {k: a for k, a in before.items() if seen.hides(a.kind, a.subject)}
    for alarm in seen.alarms:
        told = before.get(alarm.key)
        if told is None and not _concerns(table, *_about(alarm, seen)):
            continue
        # Its words may change at any time; what it is does not.
        same = told is not None and told.severity is alarm.severity
        standing[alarm.key] = told if told is not None and same else alarm
    return standing


def news(
    known: Announced, now: Announced, seen: Seen, table: Hook, at: datetime
) -> Iterator[HookEvent]:
    """Yield what a hook has to be told to know the state that is."""
    for name in sorted(now.deployed.keys() | now.revoked.keys()):
        if not _concerns(table, name, seen.nfs.get(name)):
            continue
        record = seen.certificates.get(name)
        if record is not None and "deployed" in table.on:
            yield from _deployed(known, record, seen, at)
        if record is not None and "revoked" in table.on:
            yield from _revoked(known, record, seen, at)
    if "decommissioned" in table.on:
        yield from _decommissioned(known, seen, table, at)
    if "alarm" in table.on:
        yield from _alarms(known, now, seen, at)


def _deployed(
    known: Announced, record: CertificateRecord, seen: Seen, at: datetime
) -> Iterator[HookEvent]:
    told = known.deployed.get(record.name, {})
    for name, endpoint in sorted(record.endpoints.items()):
        if endpoint.proven in {0, told.get(name, 0)}:
            continue
        publication = record.publication(endpoint.proven)
        event = _of_certificate("deployed", record.name, seen, at)
        event = replace(
            event,
            at=endpoint.proven_at or at,
            endpoint=name,
            publication=endpoint.proven,
            by=endpoint.by,
        )
        yield event if publication is None else _said(event, publication.issuance)


def _said(event: HookEvent, issuance: Issuance) -> HookEvent:
    return replace(
        event,
        fingerprint=issuance.fingerprint,
        serial=issuance.serial,
        ca=issuance.ca,
        names=issuance.names,
        not_before=issuance.not_before,
        not_after=issuance.not_after,
    )


def _revoked(
    known: Announced, record: CertificateRecord, seen: Seen, at: datetime
) -> Iterator[HookEvent]:
    told = known.revoked.get(record.name, ())
    for issued in record.issued:
        revocation = issued.revocation
        if revocation is None or issued.fingerprint in told:
            continue
        yield replace(
            _of_certificate("revoked", record.name, seen, at),
            at=revocation.at,
            fingerprint=issued.fingerprint,
            serial=issued.serial,
            ca=issued.ca,
            not_after=issued.not_after,
            reason=revocation.reason,
            by="us" if revocation.ours else "ca",
        )


def _decommissioned(
    known: Announced, seen: Seen, table: Hook, at: datetime
) -> Iterator[HookEvent]:
    for name, stones in sorted(seen.ended.items()):
        told = known.decommissioned.get(name, ())
        for stone in stones:
            nf = NfOf(name=name, instance_id=stone.instance_id)
            if stone.instance_id not in told and _concerns(table, "", nf):
                yield HookEvent(
                    sequence=UNNUMBERED,
                    event="decommissioned",
                    at=stone.ended_at,
                    queued=at,
                    nf=name,
                    nf_instance_id=stone.instance_id,
                )


def _alarms(
    known: Announced, now: Announced, seen: Seen, at: datetime
) -> Iterator[HookEvent]:
    for key in sorted(known.alarms.keys() - now.alarms.keys()):
        yield _alarm(known.alarms[key], "cleared", seen, at)
    for key, alarm in sorted(now.alarms.items()):
        told = known.alarms.get(key)
        if told is None:
            raised = _alarm(alarm, "raised", seen, at)
            yield replace(raised, at=min(alarm.raised, at))
        elif told.severity is not alarm.severity:
            yield _alarm(alarm, "changed", seen, at)


def _alarm(alarm: StandingAlarm, state: str, seen: Seen, at: datetime) -> HookEvent:
    certificate, nf = _about(alarm, seen)
    return HookEvent(
        sequence=UNNUMBERED,
        event="alarm",
        at=at,
        queued=at,
        certificate=certificate,
        nf="" if nf is None else nf.name,
        nf_instance_id="" if nf is None else nf.instance_id,
        state=state,
        alarm=alarm.id,
        subject_kind=alarm.kind,
        subject=alarm.subject,
        severity=alarm.severity,
        cause=alarm.cause,
        action=alarm.action,
    )


def _of_certificate(kind: str, name: str, seen: Seen, at: datetime) -> HookEvent:
    nf = seen.nfs.get(name)
    return HookEvent(
        sequence=UNNUMBERED,
        event=kind,
        at=at,
        queued=at,
        certificate=name,
        nf="" if nf is None else nf.name,
        nf_instance_id="" if nf is None else nf.instance_id,
    )


def _about(alarm: StandingAlarm, seen: Seen) -> tuple[str, NfOf | None]:
    """Return the certificate that an alarm is about, and its NF; empty for none."""
    if alarm.kind != "certificate":
        return "", None
    return alarm.subject, seen.nfs.get(alarm.subject)


def _concerns(table: Hook, certificate: str, nf: NfOf | None) -> bool:
    """Tell whether something is a hook's business: everything is without a filter."""
    if not table.certificates and not table.nfs:
        return True
    by_nf = nf is not None and nf.name in table.nfs
    return by_nf or certificate in table.certificates
