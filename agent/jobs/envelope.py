"""What happens to a job's envelope, the same for every kind."""

from datetime import datetime
from typing import Final, TypeVar

from msgspec.structs import replace

from agent.records.job import Disposition, Failure, Job
from agent.renewal import backoff

P = TypeVar("P")
QUARANTINE_AFTER: Final = 3
"""Crashes of the process in one job after which the job is left alone."""


def entered(job: Job[P], phase: P) -> Job[P]:
    """Return the job in its next phase; progress clears what went before."""
    return replace(
        survived(job, phase),
        phase=phase,
        intent="",
        running=False,
        polls=0,
        not_before=None,
    )


def pardoned(job: Job[P]) -> Job[P]:
    """Return a job out of quarantine: an operator says that it may be tried again."""
    return replace(job, crashes=0, crashed_in="")


def survived(job: Job[P], phase: P) -> Job[P]:
    """Return the job after an effect that came to an end.

    Its crashes are forgotten when it moves on, or when the very effect that crashed has
    now ended. Looking for a lost answer first must not hide that the effect after it
    ends the process again and again.
    """
    if phase == job.phase and job.crashed_in not in {"", job.intent}:
        return job
    return replace(job, crashes=0, crashed_in="")


def backed_off(
    job: Job[P], failure: Failure, draw: float, end: datetime | None = None
) -> Job[P]:
    """Return the job after a failure, with the instant of its next attempt.

    What comes back by itself (an absent token, an endpoint that is not running) is
    awaited and counts as no failure: it costs nothing.

    Args:
        job: Any job.
        failure: What happened.
        draw: In [0, 1); spreads the attempts of many hosts.
        end: When the certificate in service ends, where there is one.
    """
    awaited = failure.disposition is Disposition.WAIT_UNTIL and failure.retry_at is None
    failures = job.failures if awaited else job.failures + 1
    return replace(
        survived(job, job.phase),
        intent="",
        running=False,
        polls=0,
        failures=failures,
        failure=failure,
        not_before=backoff.next_attempt(failure, max(failures, 1), end, draw),
    )


def begun(job: Job[P], intent: str) -> Job[P]:
    """Return the job with the intent that is made durable before the act."""
    return replace(job, intent=intent, running=True)


def interrupted(job: Job[P]) -> Job[P]:
    """Return the job that a shutdown cancelled: its intent stays, it is no crash."""
    return replace(job, running=False)


def crashed(job: Job[P]) -> Job[P]:
    """Return the job that a start of the process found running."""
    return replace(job, running=False, crashes=job.crashes + 1, crashed_in=job.intent)
