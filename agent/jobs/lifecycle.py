"""A job's intent, interruption and crash, written into its subject's record."""

from typing import Protocol, TypeVar

from msgspec.structs import replace

from agent.jobs.envelope import begun, crashed, interrupted
from agent.records.certificate import CertificateRecord, Slot, jobs
from agent.records.job import Job
from agent.records.others import AccountRecord
from agent.records.trust import TrustRecord

P = TypeVar("P")
REGISTER = Slot("register")


class Edit(Protocol):
    """A change of the envelope that does not look at the phase."""

    def __call__(self, job: Job[P], /) -> Job[P]:
        """Return the changed job."""
        ...


def begin(record: CertificateRecord, slot: Slot, intent: str) -> CertificateRecord:
    """Return the record with the intent that becomes durable before the act."""

    def edit(job: Job[P], /) -> Job[P]:
        return begun(job, intent)

    return _edited(record, slot, edit)


def interrupt(record: CertificateRecord, slot: Slot) -> CertificateRecord:
    """Return the record after a shutdown cancelled the effect of a job."""
    return _edited(record, slot, interrupted)


def found_running(record: CertificateRecord) -> CertificateRecord:
    """Return the record at a start of the process: what ran has crashed."""
    for slot, job in jobs(record).items():
        if job.running:
            record = _edited(record, slot, crashed)
    return record


def account_found_running(record: AccountRecord) -> AccountRecord:
    """Return the account at a start of the process: a running job has crashed."""
    if record.register is None or not record.register.running:
        return record
    return replace(record, register=crashed(record.register))


def trust_found_running(record: TrustRecord) -> TrustRecord:
    """Return the list at a start of the process: a running job has crashed."""
    if record.job is None or not record.job.running:
        return record
    return replace(record, job=crashed(record.job))


def is_suspect(record: CertificateRecord | AccountRecord, slot: Slot) -> bool:
    """Tell whether a job was under way in a crash and has not got over it yet."""
    if isinstance(record, AccountRecord):
        return record.register is not None and record.register.crashes > 0
    job = jobs(record).get(slot)
    return job is not None and job.crashes > 0


def _edited(record: CertificateRecord, slot: Slot, edit: Edit) -> CertificateRecord:
    name = slot.name
    match slot.kind:
        case "issue" if record.issue is not None:
            return replace(record, issue=edit(record.issue))
        case "deploy":
            changed = edit(record.deploy[name])
            return replace(record, deploy={**record.deploy, name: changed})
        case "revoke":
            asked = edit(record.revoke[name])
            return replace(record, revoke={**record.revoke, name: asked})
        case "replace" if record.replacing is not None:
            return replace(record, replacing=edit(record.replacing))
        case "renewal-info" if record.renewal_info is not None:
            return replace(record, renewal_info=edit(record.renewal_info))
        case _:
            retired = edit(record.retire[name])
            return replace(record, retire={**record.retire, name: retired})
