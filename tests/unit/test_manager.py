"""The manager runs what is due, in the right order, and sleeps until the next thing."""

import asyncio
from datetime import datetime, timedelta

import pytest

from agent.config.authorities import Ca
from agent.manager import (
    IDLE,
    OVERDUE,
    Draws,
    Manager,
)
from agent.renewal.plan import plan
from agent.transport import TransportError
from tests.fakes.bench import Bench, Gate, spin
from tests.fakes.clock import START, FakeClock
from tests.fakes.parts import House
from tests.fakes.subjects import LIFE, config, deployed

MAX_TASKS = Ca(directory="https://ca.example/dir", roots="system").concurrency
ENROLMENT = ["make-key", "create-order", "finalize", "download"]
DEPLOYMENT = ["publish", "swap", "prune"]


@pytest.fixture
def bench() -> Bench:
    """Return a manager with nothing on the disk and one certificate configured."""
    made = Bench()
    made.configure(config("web"))
    return made


async def test_a_certificate_is_enrolled_and_deployed(bench: Bench) -> None:
    """Account first, then the order, then the endpoint; each effect once."""
    await bench.until(bench.done)
    assert bench.performer.effects("test") == ["make-key", "register"]
    assert bench.performer.effects("web") == ENROLMENT + DEPLOYMENT
    assert bench.clock.now() == START


async def test_a_renewal_comes_when_it_is_planned(bench: Bench) -> None:
    """Nothing is asked in between, and the only wake-up is that of the plan."""
    await bench.until(bench.done)
    at = _planned(bench, "web")
    await bench.until(lambda: bench.done(number=2))
    assert bench.clock.now() == at
    assert at in bench.clock.slept
    assert bench.performer.effects("web").count("create-order") == 2


async def test_the_wake_up_is_the_minimum_over_everything() -> None:
    """Of two certificates the one that is due earlier decides, and only it is asked."""
    bench = Bench()
    bench.configure(config("long", "short"))

    async def lives(subject: str, effect: str) -> None:
        del effect
        bench.performer.life = LIFE / 10 if subject == "short" else LIFE

    bench.performer.trouble = lives
    await bench.until(lambda: bench.done("long") and bench.done("short"))
    bench.clock.slept.clear()
    due = [_planned(bench, name) for name in ("long", "short")]
    await bench.until(lambda: bench.done("short", 2))
    assert bench.clock.slept[0] == min(due) == due[1]
    assert bench.clock.now() == due[1]
    assert bench.performer.effects("long").count("create-order") == 1


def _planned(bench: Bench, name: str) -> datetime:
    current = bench.certificate(name).current
    assert current is not None
    return plan(current, None).at


async def test_an_idle_manager_lets_go_and_says_so(bench: Bench) -> None:
    """Connections are closed for a long pause, and kept over a short one."""
    await bench.until(lambda: bench.done() and bench.house.rests)
    rests, pauses = bench.house.rests, len(bench.house.pauses)
    assert rests == 1
    bench.house.held_until = bench.clock.now() + IDLE / 2
    await bench.until(lambda: len(bench.house.pauses) > pauses)
    assert bench.house.rests == rests


async def test_the_earliest_end_comes_first() -> None:
    """A burst of renewals cannot starve the certificate that is about to end."""
    lives = {"a": 5, "b": 2, "c": 9, "d": 1}
    records = [deployed(n, life=timedelta(days=days)) for n, days in lives.items()]
    bench = Bench(*records)
    bench.configure(config(*lives, "e"))
    bench.clock.jump(START + timedelta(days=8, hours=12))
    async with bench.running():
        await spin(lambda: len({name for name, _ in bench.performer.performed}) == 6)
    begun = dict.fromkeys(name for name, _ in bench.performer.performed)
    # Emergencies first, also before what has no certificate and waits for its account.
    assert list(begun) == ["test", "d", "b", "a", "e", "c"]


async def test_one_ca_is_not_asked_by_everybody_at_once() -> None:
    """Its certificates wait for each other, and those of another CA do not."""
    bench = Bench()
    names = [f"n{number:02}" for number in range(2 * (MAX_TASKS + 3))]
    bench.configure(config(*names, cas=("one", "two")))
    gate = Gate("create-order")
    bench.performer.trouble = gate
    async with bench.running():
        await spin(lambda: len(gate.waiting) == 2 * MAX_TASKS)
        for ca in (0, 1):
            busy = [n for n in gate.waiting if names.index(n) % 2 == ca]
            assert len(busy) == MAX_TASKS
        gate.open()
        await spin(lambda: all(bench.done(name) for name in names))
    assert gate.most == 2 * MAX_TASKS


async def test_one_sick_certificate_does_not_stop_the_others() -> None:
    """Its failures are its own, with its own back-off."""
    bench = Bench()
    bench.configure(config("good", "sick"))

    async def sick(subject: str, effect: str) -> None:
        if (subject, effect) == ("sick", "create-order"):
            raise TransportError("no answer from ca.example in time")

    bench.performer.trouble = sick
    await bench.until(lambda: bench.done("good"))
    issue = bench.certificate("sick").issue
    assert issue is not None
    assert issue.failure is not None
    assert issue.failure.kind == "transport"


async def test_a_job_that_hangs_does_not_stop_the_others() -> None:
    """It has its task, and the others have theirs."""
    bench = Bench()
    bench.configure(config("good", "slow"))
    gate = Gate("create-order")

    async def slow(subject: str, effect: str) -> None:
        if subject == "slow":
            await gate(subject, effect)

    bench.performer.trouble = slow
    async with bench.running():
        await spin(lambda: gate.waiting and bench.done("good"))


async def test_a_failed_attempt_is_repeated_after_its_back_off(bench: Bench) -> None:
    """The manager sleeps exactly until the job's own instant."""
    broken = ["once", "twice"]

    async def trouble(subject: str, effect: str) -> None:
        del subject
        if effect == "download" and broken:
            broken.pop()
            raise TransportError("no answer from ca.example in time")

    bench.performer.trouble = trouble
    await bench.until(bench.done)
    # 1 min, then 10 min; the draw in the middle spreads them by nothing.
    assert bench.clock.now() == START + timedelta(minutes=11)
    assert bench.performer.effects("web").count("create-order") == 1


@pytest.mark.parametrize(
    ("late", "slept_over", "changed", "overdue"),
    [
        (False, False, False, False),
        (True, False, False, False),
        (False, True, False, False),
        (False, False, True, False),
        (True, True, False, True),
        (True, False, True, True),
        (True, True, True, True),
    ],
)
async def test_the_watchdog_asks_one_question(
    late: bool, slept_over: bool, changed: bool, overdue: bool
) -> None:
    """A turn long ago, and since then something due: a waiting daemon is healthy."""
    bench, clock = Bench(), FakeClock()
    house = House(clock)
    house.held_until = wake = START + timedelta(seconds=30)
    manager = Manager(
        bench.cells,
        bench.performer,
        house,
        clock=clock,
        draws=Draws(fraction=lambda: 0.0, token=lambda: "0" * 32),
    )
    task = asyncio.create_task(manager.run())
    await spin(lambda: clock.sleepers)
    task.cancel()
    await asyncio.wait([task])
    assert not manager.overdue()
    if late:
        # Only monotonic time: the wall clock is set back.
        clock.advance(OVERDUE + timedelta(seconds=1))
        clock.jump(START)
    if slept_over:
        clock.jump(wake + OVERDUE)
    if changed:
        manager.touch()
    assert manager.overdue() is overdue


def test_contexts_know_the_account_and_the_token() -> None:
    """What is not configured has none."""
    bench = Bench()
    bench.configure(config("web"))
    [(name, context)] = bench.manager.contexts().items()
    assert (name, context.ca, context.account) == ("web", "test", None)
    assert bench.manager.label_prefix == f"nfcertd/{'0' * 16}/"
