"""The job that destroys a key, and the only one: after its references and its grace."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from agent.jobs.envelope import backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import RetireJob
from agent.records.phases import Condemned, Destroyed


@dataclass(frozen=True, slots=True)
class DestroyKey:
    """Destroy both halves of a key; the intent is durable before C_DestroyObject."""

    key: str
    name = "destroy-key"


@dataclass(frozen=True, slots=True)
class PruneAfter:
    """Remove the directories of publications that used the key."""

    name = "prune"


Effect = DestroyKey | PruneAfter
Outcome = Performed | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a retirement must know of the world.

    Attributes:
        key: Id of the key.
        condemned_at: When its last reference went away.
        grace: How long it is kept after that.
        never: The token's configuration leaves destruction to its administration.
    """

    key: str
    condemned_at: datetime
    grace: timedelta
    never: bool


def next_step(job: RetireJob, view: View, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    if isinstance(job.phase, Destroyed):
        return Do(PruneAfter())
    if view.never:
        return Wait(until=None, reason="destroying keys is left to the hsm's operator")
    due = max(view.condemned_at + view.grace, job.not_before or view.condemned_at)
    if now < due:
        reason = job.failure.message if job.failure else "the key's grace"
        return Wait(until=due, reason=reason)
    return Do(DestroyKey(view.key))


def fold(job: RetireJob, outcome: Outcome, moment: Moment) -> RetireJob:
    """Return the job after an effect."""
    match outcome:
        case Performed():
            return replace(entered(job, Destroyed()), failures=0, failure=None)
        case Failed(failure):
            return backed_off(job, failure, moment.draw)


def begin(moment: Moment, key: str) -> RetireJob:
    """Return a new retirement of a key."""
    return RetireJob(
        id=f"{moment.token[:12]}-{key[:8]}",
        phase=Condemned(),
        reason="nothing refers to the key",
        created=moment.now,
    )
