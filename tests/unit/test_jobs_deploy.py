"""A deployment: every stage, every verdict, and when it goes back."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.jobs import deploy
from agent.jobs.deploy import View, fold, next_step, verdict
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.certificate import DeployJob, EndpointRecord
from agent.records.deployment import Sight, Sighting
from agent.records.phases import Stage
from agent.renewal.backoff import AWAITED
from tests.vectors.records import (
    ADDRESS,
    NOW,
    deploy_job,
    failure,
    fingerprint,
    moment,
)

VIEW = View(
    told=True,
    watched=True,
    fingerprints={1: fingerprint(1), 2: fingerprint(2)},
    revertible=True,
    gate="",
)
SILENT = View(
    told=False,
    watched=False,
    fingerprints=VIEW.fingerprints,
    revertible=False,
    gate="",
)
SERVED_BEFORE = EndpointRecord(live=1, proven=1, proven_at=NOW, by="wire")
OTHER = "192.0.2.5:443"


def sight(what: str, address: str = ADDRESS) -> Sighting:
    """Return a sighting by the verdict that it means for publication 2."""
    facts = {
        "new": (Sight.SERVED, fingerprint(2)),
        "old": (Sight.SERVED, fingerprint(1)),
        "foreign": (Sight.SERVED, fingerprint(9)),
        "broken": (Sight.BROKEN, ""),
        "unreachable": (Sight.UNREACHABLE, ""),
    }
    kind, shown = facts[what]
    return Sighting(address=address, sight=kind, fingerprint=shown, at=NOW)


@pytest.mark.parametrize("what", ["new", "old", "foreign", "broken", "unreachable"])
def test_a_sighting_has_one_meaning(what: str) -> None:
    """New, old, foreign, broken or unreachable."""
    assert verdict(sight(what), 2, VIEW.fingerprints) == what


@pytest.mark.parametrize(
    ("stage", "effect"),
    [
        (Stage.UNPUBLISHED, deploy.Publish(2)),
        (Stage.PUBLISHED, deploy.LookBefore()),
        (Stage.BASELINED, deploy.Swap(2)),
        (Stage.SWAPPED, deploy.Tell()),
        (Stage.PROVING, deploy.Watch(fingerprint(2))),
        (Stage.REVERTING, deploy.Swap(1)),
        (Stage.REVERT_SWAPPED, deploy.Tell()),
        (Stage.PROVEN, deploy.Prune()),
    ],
)
def test_every_stage_has_its_effect(stage: Stage, effect: deploy.Effect) -> None:
    """Whatever is remembered of publications, and whoever is told."""
    job = deploy_job(stage, previous=1)
    assert next_step(job, VIEW, NOW) == Do(effect)
    bare = replace_view(VIEW, fingerprints={})
    assert isinstance(next_step(job, bare, NOW), Do)


def replace_view(view: View, **changes: object) -> View:
    """Return a view with some of it changed."""
    facts = {name: getattr(view, name) for name in View.__slots__}
    return View(**(facts | changes))


@pytest.mark.parametrize("stage", list(Stage))
def test_the_gate_holds_the_swap_and_nothing_else(stage: Stage) -> None:
    """What has been swapped is told and proven, also while held."""
    held = replace_view(VIEW, gate="held by an operator")
    step = next_step(deploy_job(stage), held, NOW)
    if stage is Stage.BASELINED:
        assert step == Wait(until=None, reason="held by an operator")
    else:
        assert isinstance(step, Do)


def test_a_wait_has_its_reason() -> None:
    """The failure's, or that the endpoint is given time."""
    at = NOW + timedelta(seconds=1)
    job = replace(deploy_job(Stage.SWAPPED), not_before=at)
    wait = Wait(until=at, reason="the endpoint is given time")
    assert next_step(job, VIEW, NOW) == wait
    job = replace(job, failure=failure("endpoint.down"))
    assert next_step(job, VIEW, NOW) == Wait(
        until=at, reason="endpoint.down went wrong"
    )
    assert isinstance(next_step(job, VIEW, at), Do)


@pytest.mark.parametrize(
    ("stage", "told", "watched", "after"),
    [
        (Stage.UNPUBLISHED, True, True, Stage.PUBLISHED),
        (Stage.UNPUBLISHED, True, False, Stage.BASELINED),
        (Stage.BASELINED, True, True, Stage.SWAPPED),
        (Stage.BASELINED, True, False, Stage.SWAPPED),
        (Stage.BASELINED, False, True, Stage.PROVING),
        (Stage.BASELINED, False, False, Stage.PROVEN),
        (Stage.SWAPPED, True, True, Stage.PROVING),
        (Stage.SWAPPED, True, False, Stage.PROVEN),
        (Stage.REVERTING, True, True, Stage.REVERT_SWAPPED),
        (Stage.REVERTING, False, True, Stage.PUBLISHED),
        (Stage.REVERT_SWAPPED, True, True, Stage.PUBLISHED),
        (Stage.PROVEN, True, True, Stage.PROVEN),
        (Stage.PUBLISHED, True, True, Stage.PUBLISHED),
        (Stage.PROVING, True, True, Stage.PROVING),
    ],
)
def test_what_was_done_leads_on(
    stage: Stage, told: bool, watched: bool, after: Stage
) -> None:
    """By whether the endpoint is told, and whether somebody can be asked."""
    view = replace_view(VIEW, told=told, watched=watched)
    job = deploy_job(stage, previous=1)
    done, _ = fold(job, SERVED_BEFORE, Performed(), view, moment())
    assert done.phase.stage is after


@pytest.mark.parametrize(
    ("live", "proven", "previous"),
    [(1, 1, 1), (0, 0, 0), (1, 0, 1), (2, 1, 1), (2, 0, 0), (2, 2, 0)],
)
def test_the_way_back_is_to_what_was_proven(
    live: int, proven: int, previous: int
) -> None:
    """Not to what `live` happens to point to, and never to itself."""
    endpoint = EndpointRecord(live=live, proven=proven)
    job = deploy_job(Stage.BASELINED)
    job, endpoint = fold(job, endpoint, Performed(), VIEW, moment())
    assert job.phase.previous == previous
    assert endpoint.live == 2


def test_an_endpoint_that_nobody_asks_is_believed() -> None:
    """It is proven by nobody, and says so."""
    job, endpoint = fold(
        deploy_job(Stage.BASELINED), SERVED_BEFORE, Performed(), SILENT, moment()
    )
    assert job.phase.stage is Stage.PROVEN
    assert (endpoint.live, endpoint.proven, endpoint.by) == (2, 2, "nobody-asked")


def watched(
    *seen: Sighting,
    before: tuple[Sighting, ...] = (),
    view: View = VIEW,
    settled: bool = False,
    previous: int = 1,
) -> tuple[DeployJob, EndpointRecord]:
    """Return job and endpoint after a watch that saw this."""
    job = deploy_job(Stage.PROVING, previous=previous, baseline=before, signals=1)
    outcome = deploy.Watched(tuple(seen), settled)
    return fold(job, SERVED_BEFORE, outcome, view, moment())


def test_only_the_new_one_is_a_proof() -> None:
    """Settled, it is proven over the wire and what failed before is forgotten."""
    job = replace(deploy_job(Stage.PROVING), failures=4, failure=failure())
    seen = deploy.Watched((sight("new"),), settled=True)
    job, endpoint = fold(job, SERVED_BEFORE, seen, VIEW, moment())
    assert (endpoint.proven, endpoint.by, endpoint.proven_at) == (2, "wire", NOW)
    assert endpoint.sightings == (sight("new"),)
    assert (job.failures, job.failure) == (0, None)


GOOD, DOWN = (sight("old"),), (sight("unreachable"),)
REVERTIBLE, FINAL = VIEW, replace_view(VIEW, revertible=False)


@pytest.mark.parametrize(
    ("before", "after", "view", "kind", "stage"),
    [
        (GOOD, "broken", REVERTIBLE, "deploy.reverted", Stage.REVERTING),
        (GOOD, "unreachable", REVERTIBLE, "deploy.reverted", Stage.REVERTING),
        (GOOD, "broken", FINAL, "deploy.broken", Stage.SWAPPED),
        (GOOD, "unreachable", FINAL, "deploy.broken", Stage.SWAPPED),
        (GOOD, "old", REVERTIBLE, "deploy.old", Stage.SWAPPED),
        (GOOD, "foreign", REVERTIBLE, "deploy.foreign", Stage.PROVING),
        (DOWN, "broken", REVERTIBLE, "deploy.broken", Stage.SWAPPED),
        (DOWN, "unreachable", REVERTIBLE, "deploy.down", Stage.PROVING),
        (DOWN, "old", REVERTIBLE, "deploy.old", Stage.SWAPPED),
        ((), "unreachable", REVERTIBLE, "deploy.down", Stage.PROVING),
        ((), "broken", FINAL, "deploy.broken", Stage.SWAPPED),
        ((sight("broken"),), "broken", REVERTIBLE, "deploy.broken", Stage.SWAPPED),
        ((sight("foreign"),), "broken", REVERTIBLE, "deploy.reverted", Stage.REVERTING),
    ],
)
def test_time_is_up(
    before: tuple[Sighting, ...], after: str, view: View, kind: str, stage: Stage
) -> None:
    """Back only from what worked before to what is good still; else again."""
    job, endpoint = watched(sight(after), before=before, view=view)
    assert job.phase.stage is stage
    assert job.failure is not None
    assert job.failure.kind == kind
    assert after in job.failure.message
    assert job.failures == 1
    assert endpoint.proven == 1
    if stage is not Stage.REVERTING:
        assert job.not_before is not None
        assert job.not_before > NOW


def test_an_endpoint_that_is_not_running_is_awaited() -> None:
    """It is looked for again soon, and not told again and again."""
    job, _ = watched(sight("unreachable"), before=DOWN)
    assert job.not_before == NOW + AWAITED
    assert next_step(job, VIEW, NOW + AWAITED) == Do(deploy.Watch(fingerprint(2)))


def test_an_endpoint_that_hangs_is_told_again_ever_more_seldom() -> None:
    """A kernel takes connections for a program that hangs over its last reload."""
    told = []
    job, endpoint = watched(sight("unreachable"), before=DOWN)
    for look in range(2, 34):
        job = replace(job, phase=replace(job.phase, stage=Stage.PROVING))
        outcome = deploy.Watched((sight("unreachable"),), settled=False)
        job, endpoint = fold(job, endpoint, outcome, VIEW, moment())
        assert job.not_before == NOW + AWAITED
        if next_step(job, VIEW, NOW + AWAITED) == Do(deploy.Tell()):
            told.append(look)
    assert told == [2, 4, 8, 16, 32]


def test_one_lost_address_of_two_is_enough_to_go_back() -> None:
    """The one that is fine goes back with it: they share the link."""
    both = (sight("old"), sight("old", OTHER))
    job, _ = watched(sight("new"), sight("broken", OTHER), before=both)
    assert job.phase.stage is Stage.REVERTING
    other_was_down = (sight("old"), sight("unreachable", OTHER))
    job, _ = watched(sight("new"), sight("unreachable", OTHER), before=other_was_down)
    assert job.phase.stage is Stage.PROVING


def test_foreign_is_never_gone_back_from() -> None:
    """A load balancer that shows another's certificate is not ours to repair."""
    job, endpoint = watched(sight("foreign"), sight("old", OTHER), before=GOOD)
    assert job.phase.stage is Stage.PROVING
    assert endpoint.live == 1
    assert next_step(job, VIEW, job.not_before or NOW) == Do(
        deploy.Watch(fingerprint(2))
    )


def test_what_the_endpoint_began_with_is_old_at_first() -> None:
    """A certificate of others that was there before ours is told to go."""
    job, _ = watched(sight("foreign"), before=(sight("foreign"),), previous=0)
    assert job.failure is not None
    assert job.failure.kind == "deploy.old"
    job, _ = watched(sight("foreign"), before=(sight("foreign"),), previous=1)
    assert job.failure is not None
    assert job.failure.kind == "deploy.foreign"


def test_an_endpoint_that_watches_its_files_is_not_told() -> None:
    """It is watched again instead."""
    self_watching = replace_view(VIEW, told=False)
    job, _ = watched(sight("old"), before=GOOD, view=self_watching)
    assert job.phase.stage is Stage.PROVING


def test_old_is_told_again_with_back_off() -> None:
    """Never more than an hour and a tenth apart; each signal is counted."""
    job, endpoint = deploy_job(Stage.PROVING, previous=1), SERVED_BEFORE
    waits = []
    for _ in range(9):
        outcome = deploy.Watched((sight("old"),), settled=False)
        job, endpoint = fold(job, endpoint, outcome, VIEW, moment())
        assert job.not_before is not None
        waits.append(job.not_before - NOW)
        job, endpoint = fold(job, endpoint, Performed(), VIEW, moment())
    assert waits == sorted(waits)
    assert waits[0] == timedelta(minutes=1)
    assert waits[-1] == timedelta(hours=1)
    assert job.phase.signals == 9


def test_a_revert_ends_in_another_round() -> None:
    """`live` goes back, the endpoint is told, and the same issuance is tried later."""
    job, endpoint = watched(sight("broken"), before=GOOD)
    endpoint = replace(endpoint, live=2)
    job, endpoint = fold(job, endpoint, Performed(), VIEW, moment())
    assert endpoint.live == 1
    assert next_step(job, VIEW, NOW) == Do(deploy.Tell())
    job, endpoint = fold(job, endpoint, Performed(), VIEW, moment())
    assert (job.phase.stage, job.phase.rounds) == (Stage.PUBLISHED, 1)
    assert job.phase.publication == 2
    assert job.not_before == NOW + timedelta(minutes=1)
    assert job.failure is not None
    assert job.failure.kind == "deploy.reverted"


@pytest.mark.parametrize("stage", list(Stage))
def test_a_failure_stays_where_it_is(stage: Stage) -> None:
    """What can be done again is done again, after a wait."""
    job = deploy_job(stage, previous=1)
    failed = Failed(failure("endpoint.failed"))
    after, endpoint = fold(job, SERVED_BEFORE, failed, VIEW, moment())
    assert after.phase == job.phase
    assert after.not_before == NOW + timedelta(minutes=1)
    assert endpoint == SERVED_BEFORE


@pytest.mark.parametrize(
    ("stage", "told", "after"),
    [
        (Stage.UNPUBLISHED, True, Stage.UNPUBLISHED),
        (Stage.BASELINED, True, Stage.UNPUBLISHED),
        (Stage.REVERTING, True, Stage.SWAPPED),
        (Stage.REVERTING, False, Stage.PROVING),
        (Stage.PROVEN, True, Stage.PROVEN),
    ],
)
def test_a_directory_that_is_gone_is_no_dead_end(
    stage: Stage, told: bool, after: Stage
) -> None:
    """It is written again; what cannot be gone back to is left."""
    view = replace_view(VIEW, told=told)
    failed = Failed(failure("publication"))
    job, _ = fold(deploy_job(stage, previous=1), SERVED_BEFORE, failed, view, moment())
    assert job.phase.stage is after
    assert job.failures == 1


def test_what_was_served_before_is_remembered() -> None:
    """As the baseline of the job and as the last look at the endpoint."""
    job, endpoint = fold(
        deploy_job(Stage.PUBLISHED),
        SERVED_BEFORE,
        deploy.Looked(GOOD),
        VIEW,
        moment(),
    )
    assert (job.phase.stage, job.phase.baseline) == (Stage.BASELINED, GOOD)
    assert endpoint.sightings == GOOD
