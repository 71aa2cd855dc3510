"""What a failure, a crash and a success leave in the envelope of any job."""

from datetime import timedelta

from agent.jobs.envelope import backed_off, begun, crashed, entered, interrupted
from agent.records.job import Disposition
from tests.vectors.records import NOW, PHASES, failure, issue_job

MADE, READY = PHASES["key-made"], PHASES["finalizing"]
AWAITED = failure("token.absent", Disposition.WAIT_UNTIL)


def test_the_intent_is_there_while_it_runs() -> None:
    """A shutdown keeps it, a crash keeps it and counts, an outcome clears it."""
    job = begun(issue_job(MADE), "create-order")
    assert (job.intent, job.running) == ("create-order", True)
    assert (interrupted(job).intent, interrupted(job).running) == (
        "create-order",
        False,
    )
    fallen = crashed(job)
    assert (fallen.intent, fallen.running, fallen.crashes) == ("create-order", False, 1)
    assert fallen.crashed_in == "create-order"
    done = entered(fallen, READY)
    assert (done.intent, done.crashes, done.crashed_in) == ("", 0, "")


def test_progress_keeps_the_count_of_failures() -> None:
    """A CA that takes orders and refuses names is not asked every minute."""
    job = backed_off(issue_job(MADE, failures=3), failure(), 0.5)
    assert (job.failures, job.not_before) == (4, NOW + timedelta(minutes=40))
    onward = entered(job, READY)
    assert (onward.failures, onward.failure, onward.not_before) == (4, failure(), None)


def test_what_comes_back_by_itself_costs_nothing() -> None:
    """A token that is absent is awaited; a CA's instant is a failure all the same."""
    job = backed_off(issue_job(MADE, failures=2), AWAITED, 0.5)
    assert (job.failures, job.not_before) == (2, NOW + timedelta(seconds=10))
    retry_at = NOW + timedelta(hours=3)
    asked = failure("acme:rateLimited", Disposition.WAIT_UNTIL, retry_at=retry_at)
    job = backed_off(issue_job(MADE), asked, 0.0)
    assert (job.failures, job.not_before) == (1, retry_at)


def test_a_failure_ends_a_crash_only_of_its_own_effect() -> None:
    """The effect that crashed has now ended, though badly; a look before it has not."""
    fallen = issue_job(MADE, crashes=2, crashed_in="create-order")
    same = backed_off(begun(fallen, "create-order"), failure(), 0.5)
    assert same.crashes == 0
    look = backed_off(begun(fallen, "find-order"), failure(), 0.5)
    assert (look.crashes, look.crashed_in) == (2, "create-order")
