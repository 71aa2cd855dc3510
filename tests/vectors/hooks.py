"""What a hook can see: certificates with a deployment, revocations, alarms."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from agent.config.hook import Hook
from agent.jobs.news import NfOf, Seen
from agent.jobs.step import Moment
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.hook import StandingAlarm
from agent.records.job import Disposition, Failure, Severity
from agent.records.revocation import Revocation
from tests.vectors.records import NOW, issued, publication

EVERYTHING = Hook(on=("deployed", "revoked", "alarm"), command=("/bin/true",))
AMF = NfOf(name="amf", instance_id="fa0e1a3c-8e0f-4d6d-9a5e-2d6f8a1b7c3d")


def moment(number: int = 0, after: timedelta = timedelta(0)) -> Moment:
    """Return an instant; the number makes its token differ from others."""
    return Moment(now=NOW + after, draw=0.5, token=f"{number:032x}")


def deployed(
    name: str = "web",
    number: int = 1,
    *,
    revoked: Iterable[int] = (),
    endpoint: str = "",
) -> CertificateRecord:
    """Return a certificate whose publication is proven; some issuances are revoked."""
    gone = Revocation(at=NOW, reason="superseded", ours=False)
    known = tuple(
        replace(
            issued(n),
            fingerprint=f"{name}-{n}",
            revocation=gone if n in set(revoked) else None,
        )
        for n in range(1, 5)
    )
    return CertificateRecord(
        name=name,
        publications=tuple(publication(n) for n in range(1, number + 1)),
        publication_count=number,
        endpoints={
            endpoint: EndpointRecord(
                live=number, proven=number, proven_at=NOW, by="wire"
            )
        },
        issued=known,
    )


def alarm(
    slug: str = "expiring",
    subject: str = "web",
    *,
    kind: str = "certificate",
    severity: Severity = Severity.WARNING,
    cause: str = "it ends",
) -> StandingAlarm:
    """Return an alarm that stands since a while."""
    return StandingAlarm(
        kind=kind,
        subject=subject,
        id=slug,
        severity=severity,
        cause=cause,
        action="look",
        raised=NOW - timedelta(hours=1),
    )


def seen(
    *records: CertificateRecord,
    alarms: Iterable[StandingAlarm] = (),
    nfs: Mapping[str, NfOf] | None = None,
    unreadable: Iterable[str] = (),
) -> Seen:
    """Return what is to be seen."""
    return Seen(
        certificates={record.name: record for record in records},
        nfs=nfs or {},
        alarms=tuple(alarms),
        unreadable=frozenset(unreadable),
    )


def failed(at: datetime = NOW) -> Failure:
    """Return why a program did not take an event."""
    return Failure(
        kind="program",
        message="/usr/libexec/nrf ended with status 7: no route",
        at=at,
        disposition=Disposition.BACK_OFF,
    )
