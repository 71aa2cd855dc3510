"""A job's intent, interruption and crash, written into its subject's record."""

from collections.abc import Callable
from typing import Any

from agent.jobs.envelope import begun, crashed, interrupted, pardoned
from agent.records.job import Job
from agent.records.slots import S, Slot, jobs, with_job

Edit = Callable[[Job[Any]], Job[Any]]
"""A change of the envelope that does not look at the phase."""


def begin(record: S, slot: Slot, intent: str) -> S:
    """Return the record with the intent that becomes durable before the act."""
    return with_job(record, slot, begun(jobs(record)[slot], intent))


def interrupt(record: S, slot: Slot) -> S:
    """Return the record after a shutdown cancelled the effect of a job."""
    return with_job(record, slot, interrupted(jobs(record)[slot]))


def found_running(record: S) -> S:
    """Return the record at a start of the process: what ran has crashed."""
    for slot, job in jobs(record).items():
        if job.running:
            record = with_job(record, slot, crashed(job))
    return record


def edited_jobs(record: S, edit: Edit) -> S:
    """Return the record with all of its jobs that do not run edited."""
    for slot, job in jobs(record).items():
        if not job.running:
            record = with_job(record, slot, edit(job))
    return record


def released(record: S) -> S:
    """Return the record without a job in quarantine, on an operator's word."""
    return edited_jobs(record, pardoned)


def is_suspect(record: S, slot: Slot) -> bool:
    """Tell whether a job was under way in a crash and has not got over it yet."""
    job = jobs(record).get(slot)
    return job is not None and job.crashes > 0
