"""Telling shared targets: one window, one lock, one outcome."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from agent.config.endpoints import Reload
from agent.endpoints.errors import (
    EndpointDeniedError,
    EndpointDownError,
    EndpointError,
)
from agent.endpoints.signaller import Signals
from tests.fakes.clock import FakeClock

NGINX = Reload(unit="nginx.service")
SECOND = timedelta(seconds=1)


class RecordingTarget:
    """Keeps what it was told, when, and how many were told at once."""

    def __init__(self, clock: FakeClock) -> None:
        """Take no time and succeed, until told otherwise."""
        self.clock = clock
        self.told: list[tuple[float, Reload]] = []
        self.found: list[Reload] = []
        self.takes = timedelta(0)
        self.failure: EndpointError | None = None
        self.busy = 0

    async def find(self, reload: Reload) -> None:
        """Be there."""
        self.found.append(reload)

    async def tell(self, reload: Reload) -> None:
        """Note it, take the time, fail or not."""
        self.busy += 1
        assert self.busy == 1
        try:
            self.told.append((self.clock.monotonic(), reload))
            await self.clock.sleep(self.takes)
            if self.failure is not None:
                raise self.failure
        finally:
            self.busy -= 1


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


class Scene:
    """A signaller over recording targets, and tasks that tell."""

    def __init__(self) -> None:
        """Begin at second 0."""
        self.clock = FakeClock()
        self.units = RecordingTarget(self.clock)
        self.pidfiles = RecordingTarget(self.clock)
        self.signals = Signals(self.clock, self.units, self.pidfiles)

    async def tell(self, reload: Reload = NGINX) -> "asyncio.Task[str]":
        """Begin to tell, as far as it goes."""
        task = asyncio.create_task(outcome(self.signals.tell(reload)))
        await settle()
        return task

    async def pass_time(self, *spans: timedelta) -> None:
        """Let time pass in steps."""
        for span in spans:
            self.clock.advance(span)
            await settle()


async def outcome(telling: Awaitable[None]) -> str:
    """Return `told`, or the error's class."""
    try:
        await telling
    except EndpointError as error:
        return f"{type(error).__name__}: {error} ({error.hint})"
    return "told"


async def test_publications_within_the_window_share_one_signal() -> None:
    """Three within two seconds are one delivery, at the end of the first's window."""
    scene = Scene()
    tasks = []
    for _ in range(3):
        tasks.append(await scene.tell())
        await scene.pass_time(SECOND / 2)
    await scene.pass_time(SECOND / 2)
    assert [await task for task in tasks] == ["told"] * 3
    assert scene.units.told == [(2.0, NGINX)]


async def test_a_shared_failure_reaches_all() -> None:
    """Everybody who shares the delivery gets its error, hint included."""
    scene = Scene()
    scene.units.failure = EndpointDownError("nginx is inactive", hint="start it")
    tasks = [await scene.tell() for _ in range(3)]
    await scene.pass_time(2 * SECOND)
    expected = "EndpointDownError: nginx is inactive (start it)"
    assert [await task for task in tasks] == [expected] * 3
    assert len(scene.units.told) == 1


async def test_who_comes_while_it_is_told_is_told_again() -> None:
    """A delivery that began before a publication does not count for it."""
    scene = Scene()
    scene.units.takes = SECOND
    first = await scene.tell()
    await scene.pass_time(2 * SECOND)
    second = await scene.tell()
    await scene.pass_time(SECOND, SECOND, SECOND)
    assert [await first, await second] == ["told", "told"]
    assert [at for at, _ in scene.units.told] == [2.0, 4.0]


async def test_a_target_is_told_one_thing_at_a_time() -> None:
    """Two ways to tell one unit do not share, and do not overlap."""
    scene = Scene()
    scene.units.takes = SECOND
    other = Reload(unit="nginx.service", verb="reload")
    tasks = [await scene.tell(), await scene.tell(other)]
    await scene.pass_time(2 * SECOND, SECOND, SECOND)
    assert [await task for task in tasks] == ["told", "told"]
    assert scene.units.told == [(2.0, NGINX), (3.0, other)]


async def test_two_targets_do_not_wait_for_each_other() -> None:
    """A slow reload of one endpoint delays no other."""
    scene = Scene()
    scene.units.takes = timedelta(hours=1)
    slow = await scene.tell()
    fast = await scene.tell(Reload(pidfile="/run/envoy.pid"))
    await scene.pass_time(2 * SECOND)
    assert await fast == "told"
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


@pytest.mark.parametrize("after", [SECOND, 2.5 * SECOND], ids=["waiting", "telling"])
async def test_cancelling_the_first_does_not_lose_the_second(after: timedelta) -> None:
    """Whoever is left delivers, also where the first was cut off half-way."""
    scene = Scene()
    scene.units.takes = SECOND
    first, second = await scene.tell(), await scene.tell()
    await scene.pass_time(*[SECOND / 2] * int(after / (SECOND / 2)))
    first.cancel()
    await settle()
    await scene.pass_time(2 * SECOND, 2 * SECOND)
    assert first.cancelled()
    assert await second == "told"


async def test_a_failure_is_not_remembered() -> None:
    """The next publication is told afresh."""
    scene = Scene()
    scene.units.failure = EndpointDownError("down")
    first = await scene.tell()
    await scene.pass_time(2 * SECOND)
    assert (await first).startswith("EndpointDownError")
    scene.units.failure = None
    second = await scene.tell()
    await scene.pass_time(2 * SECOND)
    assert await second == "told"


async def test_a_reload_without_target_is_refused() -> None:
    """Neither unit nor pidfile: the configuration is wrong, and it says so at once."""
    with pytest.raises(EndpointDeniedError, match="neither unit nor pidfile"):
        await Scene().signals.tell(Reload())


async def test_looking_for_a_target_tells_it_nothing() -> None:
    """The one that would be told is asked, and at once."""
    scene = Scene()
    signals = Signals(scene.clock, scene.units, RecordingTarget(scene.clock))
    await signals.find(NGINX)
    assert (scene.units.found, scene.units.told) == ([NGINX], [])
    with pytest.raises(EndpointDeniedError):
        await signals.find(Reload())
