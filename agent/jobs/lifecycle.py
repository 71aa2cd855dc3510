"""A job's intent, interruption and crash, written into its subject's record."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from agent.jobs.envelope import begun, crashed, interrupted
from agent.records.certificate import CertificateRecord, jobs, with_job
from agent.records.hook import HookRecord
from agent.records.job import Job
from agent.records.others import AccountRecord, account_jobs, with_account_job
from agent.records.slots import Slot
from agent.records.trust import TrustRecord

P = TypeVar("P")


class Edit(Protocol):
    """A change of the envelope that does not look at the phase."""

    def __call__(self, job: Job[P], /) -> Job[P]:
        """Return the changed job."""
        ...


def begin(record: CertificateRecord, slot: Slot, intent: str) -> CertificateRecord:
    """Return the record with the intent that becomes durable before the act."""
    job: Job[Any] = jobs(record)[slot]
    return with_job(record, slot, begun(job, intent))


def interrupt(record: CertificateRecord, slot: Slot) -> CertificateRecord:
    """Return the record after a shutdown cancelled the effect of a job."""
    job: Job[Any] = jobs(record)[slot]
    return with_job(record, slot, interrupted(job))


def found_running(record: CertificateRecord) -> CertificateRecord:
    """Return the record at a start of the process: what ran has crashed."""
    found: Mapping[Slot, Job[Any]] = jobs(record)
    for slot, job in found.items():
        if job.running:
            record = with_job(record, slot, crashed(job))
    return record


def account_found_running(record: AccountRecord) -> AccountRecord:
    """Return the account at a start of the process: a running job has crashed."""
    found: Mapping[Slot, Job[Any]] = account_jobs(record)
    for slot, job in found.items():
        if job.running:
            record = with_account_job(record, slot, crashed(job))
    return record


def begin_account(record: AccountRecord, slot: Slot, intent: str) -> AccountRecord:
    """Return the account with the intent that becomes durable before the act."""
    job: Job[Any] = account_jobs(record)[slot]
    return with_account_job(record, slot, begun(job, intent))


def interrupt_account(record: AccountRecord, slot: Slot) -> AccountRecord:
    """Return the account after a shutdown cancelled the effect of a job."""
    job: Job[Any] = account_jobs(record)[slot]
    return with_account_job(record, slot, interrupted(job))


def edited_account_jobs(record: AccountRecord, edit: Edit) -> AccountRecord:
    """Return the account with all of its jobs that do not run edited."""
    found: Mapping[Slot, Job[Any]] = account_jobs(record)
    for slot, job in found.items():
        if not job.running:
            record = with_account_job(record, slot, edit(job))
    return record


def trust_found_running(record: TrustRecord) -> TrustRecord:
    """Return the list at a start of the process: a running job has crashed."""
    if record.job is None or not record.job.running:
        return record
    return replace(record, job=crashed(record.job))


def hook_found_running(record: HookRecord) -> HookRecord:
    """Return the hook at a start of the process: a running job has crashed."""
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
