"""A deployment is watched until only the new certificate is served, or time is up."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from agent.config.endpoints import Endpoint, Reload, Verify
from agent.config.model import Certificate
from agent.errors import AgentError
from agent.jobs import deploy
from agent.jobs.step import Performed
from agent.procedures.deploy import DeployProcedure
from agent.procedures.watching import ONE_LOOK, STEADY, Deploying, Watcher
from agent.records.certificate import Publication
from agent.records.deployment import Sight, Sighting
from tests.fakes.clock import FakeClock
from tests.fakes.subjects import deployed, table

NEW, OLD = "n" * 64, "o" * 64
HERE, THERE = "192.0.2.1:443", "192.0.2.2:443"
Served = Callable[[str, float], str]
"""What an address serves so many seconds after the beginning."""


class Host:
    """An endpoint's host: publisher, signaller and prober that remember.

    Attributes:
        done: What was asked for, in order.
        looks: Address, server name and patience of every look.
        served: What is served, `broken` or nothing for a failure to serve.
        slow: How long one look takes.
    """

    def __init__(self, clock: FakeClock, served: Served) -> None:
        """Begin with nothing done."""
        self._clock = clock
        self.done: list[str] = []
        self.looks: list[tuple[str, str, timedelta]] = []
        self.served = served
        self.slow = timedelta(0)

    async def publish(
        self, certificate: str, publication: Publication, config: Certificate
    ) -> None:
        """Note a publication."""
        self.done.append(f"publish {certificate} {publication.number}")
        assert config.names

    async def swap(self, certificate: str, endpoint: str, number: int) -> None:
        """Note a swap."""
        self.done.append(f"swap {certificate} {endpoint} {number}")

    async def prune(self, certificate: str, keep: frozenset[int]) -> None:
        """Note a pruning."""
        self.done.append(f"prune {certificate} {sorted(keep)}")

    async def withdraw(
        self, certificate: str, endpoint: str, config: Certificate
    ) -> None:
        """Note a withdrawal."""
        self.done.append(f"withdraw {certificate} {endpoint}")
        assert config.names

    async def clear(self, certificate: str) -> None:
        """Note that nothing is left."""
        self.done.append(f"clear {certificate}")

    async def tell(self, reload: Reload) -> None:
        """Note a signal."""
        self.done.append(f"tell {reload.unit}")

    async def look(self, address: str, server_name: str, within: timedelta) -> Sighting:
        """Return what an address serves now."""
        self.looks.append((address, server_name, within))
        await self._clock.sleep(self.slow)
        found = self.served(address, self._clock.monotonic())
        sight = Sight.SERVED if found else Sight.UNREACHABLE
        if found == "broken":
            sight, found = Sight.BROKEN, ""
        at = self._clock.now()
        return Sighting(address=address, sight=sight, fingerprint=found, at=at)


def endpoint(*addresses: str, within: str = "10s", name: str = "") -> Endpoint:
    """Return an endpoint that is told and watched."""
    return Endpoint(
        name=name,
        reload=Reload(unit="nginx.service"),
        verify=Verify(connect=addresses or HERE, within=within),
    )


def about(of: Endpoint) -> Deploying:
    """Return a deployment of the only publication to an endpoint."""
    return Deploying(record=deployed(), config=table("web", of), endpoint=of)


class Stage:
    """A procedure with its host and its clock."""

    def __init__(self, served: Served) -> None:
        """Serve as told."""
        self.clock = FakeClock(auto=True)
        self.host = Host(self.clock, served)
        self.procedure = DeployProcedure(
            self.host, self.host, Watcher(self.host, self.clock)
        )

    async def perform(
        self, effect: deploy.Effect, of: Endpoint | None = None
    ) -> deploy.Outcome:
        """Perform an effect."""
        subject = about(of or endpoint())
        return await self.procedure.perform(effect, subject, frozenset({1, 2}))

    async def watch(self, of: Endpoint | None = None) -> deploy.Watched:
        """Watch for the new certificate."""
        outcome = await self.perform(deploy.Watch(NEW), of)
        assert isinstance(outcome, deploy.Watched)
        return outcome


def always(fingerprint: str) -> Served:
    """Serve the same for ever."""
    return lambda _address, _seconds: fingerprint


@pytest.mark.parametrize(
    ("effect", "done"),
    [
        (deploy.Publish(1), ["publish web 1"]),
        (deploy.Publish(7), []),
        (deploy.Swap(1), ["swap web edge 1"]),
        (deploy.Tell(), ["tell nginx.service"]),
        (deploy.Prune(), ["prune web [1, 2]"]),
    ],
)
async def test_each_effect_has_its_collaborator(
    effect: deploy.Effect, done: list[str]
) -> None:
    """A publication that the record has forgotten is not written."""
    stage = Stage(always(NEW))
    assert await stage.perform(effect, endpoint(name="edge")) == Performed()
    assert stage.host.done == done


async def test_an_endpoint_that_watches_its_files_is_not_told() -> None:
    """It has no `reload`; a removed endpoint has none either."""
    stage = Stage(always(NEW))
    await stage.perform(deploy.Tell(), Endpoint())
    assert stage.host.done == []


@pytest.mark.parametrize(
    ("verify", "asked"),
    [
        (Verify(connect=HERE), "web.example"),
        (Verify(connect=HERE, server_name="sbi.example"), "sbi.example"),
    ],
)
async def test_the_baseline_is_one_look_at_every_address(
    verify: Verify, asked: str
) -> None:
    """The server name is the configured one, or the certificate's first."""
    stage = Stage(always(OLD))
    outcome = await stage.perform(deploy.LookBefore(), Endpoint(verify=verify))
    assert isinstance(outcome, deploy.Looked)
    assert [s.fingerprint for s in outcome.sightings] == [OLD]
    assert stage.host.looks == [(HERE, asked, ONE_LOOK)]


async def test_an_endpoint_that_nobody_can_ask_is_not_looked_at() -> None:
    """There is nothing to compare with later."""
    stage = Stage(always(OLD))
    outcome = await stage.perform(deploy.LookBefore(), Endpoint())
    assert outcome == deploy.Looked(())
    assert stage.host.looks == []


async def test_the_new_certificate_must_be_served_steadily() -> None:
    """One good handshake proves nothing while workers are being replaced."""
    stage = Stage(always(NEW))
    watched = await stage.watch()
    assert watched.settled
    assert stage.clock.monotonic() == pytest.approx(STEADY.total_seconds())
    assert len(stage.host.looks) == 6


async def test_a_mixture_of_old_and_new_begins_the_wait_again() -> None:
    """An old worker that answers once more is no failure either."""

    def served(_address: str, seconds: float) -> str:
        return OLD if 0.25 < seconds < 0.35 else NEW

    stage = Stage(served)
    assert (await stage.watch()).settled
    assert 0.85 < stage.clock.monotonic() < 1.05


async def test_every_address_must_serve_the_new_one() -> None:
    """The slower of two decides."""

    def served(address: str, seconds: float) -> str:
        return NEW if address == HERE or seconds > 2 else OLD

    stage = Stage(served)
    watched = await stage.watch(endpoint(HERE, THERE))
    assert watched.settled
    assert [s.address for s in watched.sightings] == [HERE, THERE]
    assert 2.5 < stage.clock.monotonic() < 2.8


@pytest.mark.parametrize("served", [OLD, "f" * 64, "broken", ""])
async def test_time_is_up_for_anything_else(served: str) -> None:
    """The last look is what the job decides by: old, foreign, broken, unreachable."""
    stage = Stage(always(served))
    watched = await stage.watch(endpoint(within="3s"))
    assert not watched.settled
    assert stage.clock.monotonic() == pytest.approx(3.0)
    [sighting] = watched.sightings
    assert sighting.fingerprint == ("" if served == "broken" else served)


async def test_one_bad_address_is_enough_to_fail() -> None:
    """What the good one serves is in the outcome as well."""
    stage = Stage(lambda address, _: NEW if address == HERE else "broken")
    watched = await stage.watch(endpoint(HERE, THERE, within="2s"))
    assert not watched.settled
    assert [s.sight for s in watched.sightings] == [Sight.SERVED, Sight.BROKEN]


async def test_a_good_beginning_at_the_deadline_is_seen_to_its_end() -> None:
    """A server that was just in time is given the half second."""
    stage = Stage(lambda _, seconds: NEW if seconds > 2.75 else OLD)
    assert (await stage.watch(endpoint(within="3s"))).settled
    assert 3.2 < stage.clock.monotonic() < 3.5


async def test_a_good_beginning_that_breaks_after_the_deadline_is_none() -> None:
    """It is not given another half second for ever."""

    def served(_address: str, seconds: float) -> str:
        return NEW if seconds * 10 % 4 >= 2 else OLD

    stage = Stage(served)
    assert not (await stage.watch(endpoint(within="1s"))).settled
    assert stage.clock.monotonic() < 2


async def test_one_look_is_bounded_by_what_is_left_to_wait_at_all() -> None:
    """A silent address does not take longer than the whole."""
    stage = Stage(always(""))
    stage.host.slow = timedelta(seconds=1)
    await stage.watch(endpoint(within="2s"))
    assert {within for _, _, within in stage.host.looks} == {timedelta(seconds=2)}
    assert stage.clock.monotonic() < 4


class DeafError(AgentError):
    """What a signaller says."""

    kind = "endpoint.deaf"


async def test_what_a_collaborator_raises_is_handed_on() -> None:
    """The runner folds it into the job."""

    class Deaf(Host):
        """A signaller whose target handles no signal."""

        async def tell(self, reload: Reload) -> None:
            """Refuse."""
            raise DeafError(f"{reload.unit} does not handle the signal")

    clock = FakeClock()
    host = Deaf(clock, always(NEW))
    procedure = DeployProcedure(host, host, Watcher(host, clock))
    with pytest.raises(DeafError):
        await procedure.perform(deploy.Tell(), about(endpoint()), frozenset())
