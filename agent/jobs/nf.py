"""The end of a network function, as far as it is not that of its certificates. Pure."""

from collections.abc import Container, Iterable, Mapping

from msgspec.structs import replace

from agent.jobs.account_changes import begin_deactivation
from agent.jobs.step import Moment
from agent.records.certificate import CertificateRecord
from agent.records.nf import MAX_TOMBSTONES, Decommissioning, NfRecord, Tombstone
from agent.records.others import AccountRecord


def begin(
    record: NfRecord,
    instance_id: str,
    certificates: Iterable[str],
    moment: Moment,
    *,
    keep_account: bool,
) -> NfRecord:
    """Return the network function whose end an operator has asked for.

    Asked again, it only says something else of the account: what was to end still is.
    """
    known = record.ending
    before = () if known is None else known.certificates
    asked = Decommissioning(
        instance_id=instance_id,
        asked_at=moment.now if known is None else known.asked_at,
        certificates=tuple(dict.fromkeys((*before, *certificates))),
        keep_account=keep_account,
    )
    return replace(record, ending=asked)


def left(
    instance_id: str, certificates: Mapping[str, CertificateRecord | None]
) -> list[str]:
    """Return the certificates of which something is left; None is an unreadable one."""
    return [
        name
        for name, record in certificates.items()
        if record is None
        or record.ended is None
        or record.ended.instance_id.lower() != instance_id.lower()
    ]


def is_open(record: AccountRecord) -> bool:
    """Tell whether an account is still known to its CA, as far as we are."""
    return bool(record.url) and not record.closed


def leaves_keys(record: AccountRecord, never_destroy: Container[str]) -> bool:
    """Tell whether keys of a closed account are still to be destroyed by us."""
    return any(
        record.spare(identity).store not in never_destroy for identity in record.retire
    )


def closing(record: AccountRecord, nf: str, moment: Moment) -> AccountRecord:
    """Return an account that is given up with the last network function it had."""
    if not is_open(record) or record.deactivate is not None:
        return record
    return begin_deactivation(record, moment, nf)


def kept(record: AccountRecord, nf: str) -> AccountRecord:
    """Return an account that is kept after all, unless the CA has closed it already."""
    job = record.deactivate
    if job is None or job.running or record.closed or record.closed_with != nf:
        return record
    return replace(record, deactivate=None, closed_with="")


def ended(
    record: NfRecord,
    certificates: Iterable[str],
    accounts: Iterable[str],
    moment: Moment,
) -> NfRecord:
    """Return the network function of which nothing is left but its tombstone."""
    asked = record.ending
    if asked is None:
        return record
    stone = Tombstone(
        instance_id=asked.instance_id,
        asked_at=asked.asked_at,
        ended_at=moment.now,
        certificates=tuple(certificates),
        accounts=tuple(accounts),
    )
    kept = (*record.tombstones, stone)[-MAX_TOMBSTONES:]
    return replace(record, ending=None, tombstones=kept)
