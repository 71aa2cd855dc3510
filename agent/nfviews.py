"""What the daemon shows and tells of its network functions. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.config.model import Config
from agent.config.nf import Nf
from agent.events import Event
from agent.jobs.context import Context
from agent.jobs.ending import next_step
from agent.jobs.nf import is_open, left
from agent.jobs.step import Wait
from agent.records.certificate import CertificateRecord
from agent.records.nf import NfRecord
from agent.records.others import AccountRecord
from agent.shapes import NfState, NfView

Certificates = Mapping[str, CertificateRecord | None]
"""Records by name; None for one that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Every record that the end of a network function concerns, by name."""

    nfs: Mapping[str, NfRecord]
    certificates: Mapping[str, CertificateRecord]
    accounts: Mapping[str, AccountRecord]


def nf_views(
    config: Config, known: Known, contexts: Mapping[str, Context], now: datetime
) -> tuple[NfView, ...]:
    """Return every configured network function."""
    shown = []
    for name, table in sorted(config.nf.items()):
        record = known.nfs.get(name, NfRecord(name=name))
        certificates = {
            certificate: known.certificates.get(certificate)
            for certificate in _certificates(record, name, config)
        }
        waits = waits_of(record, certificates, contexts, known.accounts, now)
        shown.append(nf_view(record, table, certificates, waits))
    return tuple(shown)


def _certificates(record: NfRecord, name: str, config: Config) -> tuple[str, ...]:
    """Return the certificates of a function: those that end, or those configured."""
    if record.ending is not None:
        return record.ending.certificates
    return tuple(c for c, its in config.certificate.items() if its.nf == name)


def nf_view(
    record: NfRecord,
    table: Nf,
    certificates: Certificates,
    waits: tuple[str, ...],
) -> NfView:
    """Return one network function as it is configured now."""
    stone = record.tombstone(table.instance_id)
    begun = record.ending
    state = NfState.DECOMMISSIONED if stone else NfState.IN_SERVICE
    return NfView(
        name=record.name,
        instance_id=begun.instance_id if begun else table.instance_id,
        types=table.types,
        state=NfState.DECOMMISSIONING if begun else state,
        asked_at=begun.asked_at if begun else stone.asked_at if stone else None,
        ended_at=stone.ended_at if stone and not begun else None,
        certificates=tuple(certificates),
        waits=waits if begun else (),
    )


def waits_of(
    record: NfRecord,
    certificates: Certificates,
    contexts: Mapping[str, Context],
    accounts: Mapping[str, AccountRecord],
    now: datetime,
) -> tuple[str, ...]:
    """Return what the end of a network function waits for, a clause each."""
    asked = record.ending
    if asked is None:
        return ()
    found = list(
        _waits(left(asked.instance_id, certificates), certificates, contexts, now)
    )
    if found:
        return tuple(found)
    return tuple(
        f"account {name} is given up"
        for name, account in accounts.items()
        if account.closed_with == record.name and (is_open(account) or account.retire)
    )


def _waits(
    names: list[str],
    certificates: Certificates,
    contexts: Mapping[str, Context],
    now: datetime,
) -> Iterator[str]:
    for name in names:
        known, context = certificates[name], contexts.get(name)
        if known is None or context is None:
            yield f"certificate {name} cannot be read, or is not configured any more"
            continue
        job = known.end
        step = None if job is None else next_step(known, job, context, now)
        reason = step.reason if isinstance(step, Wait) else "it begins"
        yield f"certificate {name}: {reason}"


def narrate_nf(before: NfRecord, after: NfRecord) -> Iterator[Event]:
    """Yield what happened between two records of a network function."""
    asked = after.ending
    if asked is not None and asked != before.ending:
        fields = {"nf_instance_id": asked.instance_id}
        text = "is decommissioned, as an operator asked"
        yield Event(subject=after.name, kind="nf.ending", text=text, fields=fields)
    if after.tombstones and after.tombstones != before.tombstones:
        stone = after.tombstones[-1]
        yield Event(
            subject=after.name,
            kind="nf.decommissioned",
            text=f"is decommissioned, {len(stone.certificates)} certificates are gone",
            fields={
                "nf_instance_id": stone.instance_id,
                "certificates": ", ".join(stone.certificates),
                "accounts": ", ".join(stone.accounts),
            },
        )
