"""The job that makes an endpoint serve a publication, proves it, or goes back.

Issued is not deployed: this job never orders, and an issuance that failed to deploy is
deployed again. The only reason to go back is that an endpoint which worked before the
swap does not work after it, and that what it would go back to is still good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from agent.jobs.envelope import backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import DeployJob, EndpointRecord
from agent.records.deployment import Sight, Sighting
from agent.records.job import Disposition, Failure
from agent.records.phases import Deployment, Stage
from agent.renewal import backoff

PATIENCE: Final = 3
"""Signals or rounds without the wanted effect after which it is an alarm."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the publication's directory."""

    number: int
    name = "publish"


@dataclass(frozen=True, slots=True)
class LookBefore:
    """Look at what is served before the swap."""

    name = "look-before"


@dataclass(frozen=True, slots=True)
class Swap:
    """Point `live` at a publication."""

    number: int
    name = "swap"


@dataclass(frozen=True, slots=True)
class Tell:
    """Signal or reload the endpoint."""

    name = "tell"


@dataclass(frozen=True, slots=True)
class Watch:
    """Look until only this certificate is served, or until time is up."""

    fingerprint: str
    name = "watch"


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove the directories of publications that nobody needs."""

    name = "prune"


Effect = Publish | LookBefore | Swap | Tell | Watch | Prune


@dataclass(frozen=True, slots=True)
class Looked:
    """What the addresses served."""

    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """What was served at the end, and whether it was long enough only the new one."""

    sightings: tuple[Sighting, ...]
    settled: bool


Outcome = Performed | Looked | Watched | Failed


class Verdict(StrEnum):
    """What a sighting means for a deployment."""

    NEW = "new"
    OLD = "old"
    FOREIGN = "foreign"
    BROKEN = "broken"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a deployment must know of the world.

    Attributes:
        told: The endpoint is told by us, not watching the files itself.
        watched: Somebody can be asked what is served.
        fingerprints: Of every publication that is remembered, by number.
        revertible: The previous publication's key exists and its life goes on.
        gate: Why the swap may not happen now; empty where it may.
    """

    told: bool
    watched: bool
    fingerprints: Mapping[int, str]
    revertible: bool
    gate: str


def next_step(job: DeployJob, view: View, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now; total over every stage."""
    if job.not_before is not None and now < job.not_before:
        return Wait(until=job.not_before, reason=_why_waiting(job))
    if job.phase.stage is Stage.BASELINED and view.gate:
        return Wait(until=None, reason=view.gate)
    return Do(_effect(job.phase, view))


def _effect(  # noqa: PLR0911 -- one arm a stage
    phase: Deployment, view: View
) -> Effect:
    match phase.stage:
        case Stage.UNPUBLISHED:
            return Publish(phase.publication)
        case Stage.PUBLISHED:
            return LookBefore()
        case Stage.BASELINED:
            return Swap(phase.publication)
        case Stage.REVERTING:
            return Swap(phase.previous)
        case Stage.SWAPPED | Stage.REVERT_SWAPPED:
            return Tell()
        case Stage.PROVING:
            return Watch(view.fingerprints.get(phase.publication, ""))
        case Stage.PROVEN:
            return Prune()


def _why_waiting(job: DeployJob) -> str:
    if job.failure is None:
        return "the endpoint is given time"
    return job.failure.message


def fold(
    job: DeployJob,
    endpoint: EndpointRecord,
    outcome: Outcome,
    view: View,
    moment: Moment,
) -> tuple[DeployJob, EndpointRecord]:
    """Return the job and its endpoint after an effect."""
    match outcome:
        case Failed(failure):
            after = backed_off(job, failure, moment.draw)
            if failure.kind == "publication":
                after = replace(after, phase=_without_directory(job.phase, view))
            return after, endpoint
        case Looked(sightings):
            phase = replace(job.phase, stage=Stage.BASELINED, baseline=sightings)
            return entered(job, phase), replace(endpoint, sightings=sightings)
        case Watched(sightings, settled):
            seen = replace(endpoint, sightings=sightings)
            if settled:
                return _proven(job, seen, "wire", moment)
            return _unproven(job, sightings, view, moment), seen
        case Performed():
            return _performed(job, endpoint, view, moment)


def _without_directory(phase: Deployment, view: View) -> Deployment:
    """Return where to go on when a publication cannot be written or pointed to.

    A directory that is gone is written again; what cannot be gone back to is left, and
    the endpoint is told again of what it has.
    """
    match phase.stage:
        case Stage.BASELINED:
            return replace(phase, stage=Stage.UNPUBLISHED)
        case Stage.REVERTING:
            return replace(phase, stage=_told(view))
        case _:
            return phase


def _told(view: View) -> Stage:
    """Return the stage in which the endpoint hears of a swap, or sees it by itself."""
    return Stage.SWAPPED if view.told else Stage.PROVING


def verdict(sighting: Sighting, wanted: int, known: Mapping[int, str]) -> Verdict:
    """Return what a sighting means when publication `wanted` should be served."""
    if sighting.sight is Sight.BROKEN:
        return Verdict.BROKEN
    if sighting.sight is Sight.UNREACHABLE:
        return Verdict.UNREACHABLE
    if sighting.fingerprint == known.get(wanted):
        return Verdict.NEW
    return Verdict.OLD if sighting.fingerprint in known.values() else Verdict.FOREIGN


def _performed(  # noqa: PLR0911 -- one arm a stage
    job: DeployJob, endpoint: EndpointRecord, view: View, moment: Moment
) -> tuple[DeployJob, EndpointRecord]:
    phase = job.phase
    match phase.stage:
        case Stage.UNPUBLISHED:
            after = Stage.PUBLISHED if view.watched else Stage.BASELINED
            return entered(job, replace(phase, stage=after)), endpoint
        case Stage.BASELINED:
            # Back to what was proven: `live` may be at one that never was.
            last = endpoint.proven or endpoint.live
            previous = 0 if last == phase.publication else last
            swapped = replace(phase, stage=Stage.SWAPPED, previous=previous)
            live = replace(endpoint, live=phase.publication)
            if view.told:
                return entered(job, swapped), live
            return _to_proof(job, swapped, live, view, moment)
        case Stage.SWAPPED:
            told = replace(phase, signals=phase.signals + 1)
            return _to_proof(job, told, endpoint, view, moment)
        case Stage.REVERTING:
            back = replace(endpoint, live=phase.previous)
            if not view.told:
                return _reverted(job, moment), back
            return entered(job, replace(phase, stage=Stage.REVERT_SWAPPED)), back
        case Stage.REVERT_SWAPPED:
            return _reverted(job, moment), endpoint
        case _:
            return job, endpoint


def _to_proof(
    job: DeployJob,
    phase: Deployment,
    endpoint: EndpointRecord,
    view: View,
    moment: Moment,
) -> tuple[DeployJob, EndpointRecord]:
    if view.watched:
        return entered(job, replace(phase, stage=Stage.PROVING)), endpoint
    return _proven(replace(job, phase=phase), endpoint, "nobody-asked", moment)


def _proven(
    job: DeployJob, endpoint: EndpointRecord, by: str, moment: Moment
) -> tuple[DeployJob, EndpointRecord]:
    number = job.phase.publication
    after = replace(endpoint, proven=number, proven_at=moment.now, by=by)
    done = entered(job, replace(job.phase, stage=Stage.PROVEN))
    return replace(done, failures=0, failure=None), after


def _unproven(
    job: DeployJob, sightings: tuple[Sighting, ...], view: View, moment: Moment
) -> DeployJob:
    """Decide what follows when time is up: back, again, or patience."""
    phase = job.phase
    seen = _verdicts(phase, sightings, view.fingerprints)
    good_before = {s.address for s in phase.baseline if s.sight is Sight.SERVED}
    dead = {Verdict.BROKEN, Verdict.UNREACHABLE}
    lost = [a for a, v in seen.items() if v in dead and a in good_before]
    told = _told(view)
    words = ", ".join(f"{address} {v}" for address, v in seen.items())
    if lost and view.revertible:
        failure = _failure("deploy.reverted", f"reverted, because {words}", moment)
        after = entered(job, replace(phase, stage=Stage.REVERTING))
        return replace(after, failures=job.failures + 1, failure=failure)
    if Verdict.FOREIGN in seen.values():
        # A virtual address or a load balancer: not ours to repair by going back.
        failure = _failure("deploy.foreign", f"not ours is served: {words}", moment)
        return _again(job, replace(phase, stage=Stage.PROVING), failure, moment)
    if Verdict.OLD in seen.values():
        failure = _failure("deploy.old", f"still served: {words}", moment)
        return _again(job, replace(phase, stage=told), failure, moment)
    if lost or Verdict.BROKEN in seen.values():
        failure = _failure("deploy.broken", f"not served: {words}", moment)
        return _again(job, replace(phase, stage=told), failure, moment)
    # It is not running: once it runs, it has read what `live` points to. Or it hangs
    # over what it was told: it is told again, each time after twice as many looks.
    failures = job.failures + 1
    hangs = failures > 1 and failures.bit_count() == 1
    failure = _failure("deploy.down", f"awaited: {words}", moment)
    after = entered(job, replace(phase, stage=told if hangs else Stage.PROVING))
    at = moment.now + backoff.AWAITED
    return replace(after, not_before=at, failure=failure, failures=failures)


def _verdicts(
    phase: Deployment, sightings: tuple[Sighting, ...], known: Mapping[int, str]
) -> dict[str, Verdict]:
    """Return what each address shows.

    Where nothing of ours was there before, what the endpoint began with is old and not
    foreign: it has not taken our first one over, and is told again.
    """
    before = {s.address: s.fingerprint for s in phase.baseline if not phase.previous}
    seen = {s.address: verdict(s, phase.publication, known) for s in sightings}
    for sighting in sightings:
        address = sighting.address
        unchanged = sighting.fingerprint == before.get(address)
        if unchanged and seen[address] is Verdict.FOREIGN:
            seen[address] = Verdict.OLD
    return seen


def _again(
    job: DeployJob, phase: Deployment, failure: Failure, moment: Moment
) -> DeployJob:
    failures = job.failures + 1
    wait = min(backoff.delay(failures, None, moment.draw), timedelta(hours=1))
    return replace(
        entered(job, phase),
        failures=failures,
        failure=failure,
        not_before=moment.now + wait,
    )


def _reverted(job: DeployJob, moment: Moment) -> DeployJob:
    """Wait, then deploy the same issuance again; never order another one."""
    phase = replace(job.phase, stage=Stage.PUBLISHED, rounds=job.phase.rounds + 1)
    wait = backoff.delay(job.phase.rounds + 1, None, moment.draw)
    return replace(entered(job, phase), not_before=moment.now + wait)


def _failure(kind: str, message: str, moment: Moment) -> Failure:
    return Failure(
        kind=kind, message=message, at=moment.now, disposition=Disposition.BACK_OFF
    )
