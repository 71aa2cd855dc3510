"""A job's intent, interruption and crash, written into its subject's record."""

from typing import Protocol, TypeVar

from msgspec.structs import replace

from agent.jobs.envelope import begun, crashed, interrupted
from agent.records.certificate import CertificateRecord, Slot, jobs
from agent.records.job import Job
from agent.records.others import AccountRecord, account_jobs
from agent.records.trust import TrustRecord

P = TypeVar("P")


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
    for slot, job in account_jobs(record).items():
        if job.running:
            record = _edited_account(record, slot, crashed)
    return record


def begin_account(record: AccountRecord, slot: Slot, intent: str) -> AccountRecord:
    """Return the account with the intent that becomes durable before the act."""

    def edit(job: Job[P], /) -> Job[P]:
        return begun(job, intent)

    return _edited_account(record, slot, edit)


def interrupt_account(record: AccountRecord, slot: Slot) -> AccountRecord:
    """Return the account after a shutdown cancelled the effect of a job."""
    return _edited_account(record, slot, interrupted)


def edited_account_jobs(record: AccountRecord, edit: Edit) -> AccountRecord:
    """Return the account with all of its jobs that do not run edited."""
    for slot, job in account_jobs(record).items():
        if not job.running:
            record = _edited_account(record, slot, edit)
    return record


def trust_found_running(record: TrustRecord) -> TrustRecord:
    """Return the list at a start of the process: a running job has crashed."""
    if record.job is None or not record.job.running:
        return record
    return replace(record, job=crashed(record.job))


def is_suspect(record: CertificateRecord | AccountRecord, slot: Slot) -> bool:
    """Tell whether a job was under way in a crash and has not got over it yet."""
    if isinstance(record, AccountRecord):
        job = account_jobs(record).get(slot)
        return job is not None and job.crashes > 0
    mine = jobs(record).get(slot)
    return mine is not None and mine.crashes > 0


def _edited(  # noqa: C901, PLR0911 -- one arm a kind
    record: CertificateRecord, slot: Slot, edit: Edit
) -> CertificateRecord:
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
        case "csr" if record.requesting is not None:
            return replace(record, requesting=edit(record.requesting))
        case "status" if record.checking is not None:
            return replace(record, checking=edit(record.checking))
        case "replace" if record.replacing is not None:
            return replace(record, replacing=edit(record.replacing))
        case "abandon" if record.abandon is not None:
            return replace(record, abandon=edit(record.abandon))
        case "renewal-info" if record.renewal_info is not None:
            return replace(record, renewal_info=edit(record.renewal_info))
        case _:
            retired = edit(record.retire[name])
            return replace(record, retire={**record.retire, name: retired})


def _edited_account(record: AccountRecord, slot: Slot, edit: Edit) -> AccountRecord:
    match slot.kind:
        case "register" if record.register is not None:
            return replace(record, register=edit(record.register))
        case "roll" if record.roll is not None:
            return replace(record, roll=edit(record.roll))
        case "update" if record.update is not None:
            return replace(record, update=edit(record.update))
        case "deactivate" if record.deactivate is not None:
            return replace(record, deactivate=edit(record.deactivate))
        case _:
            retired = edit(record.retire[slot.name])
            return replace(record, retire={**record.retire, slot.name: retired})
