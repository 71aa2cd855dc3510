"""What goes wrong in a job, a token, a disk or a CA stays where it is."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from agent.acme.errors import ProblemError
from agent.acme.problem import PREFIX, Problem
from agent.keys.errors import TokenHungError
from agent.manager import (
    STORE_PAUSE,
    HungModuleError,
)
from agent.records.certificate import CertificateRecord
from agent.records.codec import Record
from agent.records.others import AccountRecord
from tests.fakes.bench import Bench, Gate, spin
from tests.fakes.clock import START
from tests.fakes.parts import no_trouble
from tests.fakes.subjects import config


@pytest.fixture
def bench() -> Bench:
    """Return a manager with nothing on the disk and one certificate configured."""
    made = Bench()
    made.configure(config("web"))
    return made


class BugError(Exception):
    """What nobody expected."""


async def test_a_bug_ends_the_manager_with_its_job_running(bench: Bench) -> None:
    """Restarted, the process finds the job running and counts a crash."""

    async def bug(subject: str, effect: str) -> None:
        del subject
        if effect == "finalize":
            raise BugError

    bench.performer.trouble = bug
    with pytest.raises(ExceptionGroup) as caught:
        await bench.until(bench.done)
    assert caught.group_contains(BugError)
    again = Bench(*(decoded for decoded in _durable(bench)))
    issue = again.certificate().issue
    assert issue is not None
    assert (issue.crashes, issue.crashed_in) == (1, "finalize")


def _durable(bench: Bench) -> Iterator[Record]:
    for name in bench.store.names(CertificateRecord):
        record = bench.store.get(CertificateRecord, name)
        assert record is not None
        yield record


async def test_a_job_that_ends_the_process_three_times_is_left_alone() -> None:
    """Then the others go on."""
    bench = Bench()

    async def bug(subject: str, effect: str) -> None:
        if (subject, effect) == ("web", "make-key"):
            raise BugError

    for _ in range(3):
        bench.configure(config("web", "well"))
        bench.performer.trouble = bug
        with pytest.raises(ExceptionGroup):
            await bench.until(lambda: False)
        bench = Bench(*_durable(bench))
    bench.configure(config("web", "well"))
    bench.performer.trouble = bug
    await bench.until(lambda: bench.done("well"))
    assert "issue-quarantined" in bench.certificate().alarms


async def test_a_shutdown_is_no_crash(bench: Bench) -> None:
    """What was under way is durable with its intent, and not as running."""
    gate = Gate("finalize")
    bench.performer.trouble = gate
    async with bench.running():
        await spin(lambda: gate.waiting)
    stored = bench.store.get(CertificateRecord, "web")
    assert stored is not None
    assert stored.issue is not None
    assert (stored.issue.running, stored.issue.intent) == (False, "finalize")


async def test_a_full_disk_pauses_everything_and_then_it_goes_on(bench: Bench) -> None:
    """Nothing is performed that could not be written down."""
    bench.store.broken = True
    async with bench.running():
        await spin(lambda: bench.manager.store_failure)
        await spin(lambda: bench.clock.now() >= START + 3 * STORE_PAUSE)
        assert bench.performer.performed == []
        assert "no space left" in bench.manager.store_failure
        bench.store.broken = False
        await spin(bench.done)
    assert bench.manager.store_failure == ""


async def test_a_disk_that_fills_up_in_the_middle_repeatsno_trouble(
    bench: Bench,
) -> None:
    """The order whose answer could not be written down is looked for."""

    async def fill(subject: str, effect: str) -> None:
        del subject
        bench.store.broken = effect == "create-order"

    bench.performer.trouble = fill
    async with bench.running():
        await spin(lambda: bench.manager.store_failure)
        bench.performer.trouble = no_trouble
        bench.store.broken = False
        await spin(bench.done)
    found = bench.performer.effects("web")
    assert found[:3] == ["make-key", "create-order", "find-order"]
    assert found.count("create-order") == 1


async def testno_trouble_is_begun_while_the_clock_is_not_believed(bench: Bench) -> None:
    """Afterwards it goes on by itself."""
    until = START + timedelta(minutes=10)
    bench.house.held_until = until
    async with bench.running():
        await spin(lambda: bench.manager.clock_held)
        await spin(bench.done)
    assert bench.clock.now() == until
    assert not bench.manager.clock_held
    assert bench.performer.performed


class Ca:
    """Trouble as a CA makes it that has lost its accounts.

    Attributes:
        losses: How often it loses the account yet.
    """

    def __init__(self, losses: int) -> None:
        """Lose it so many times."""
        self.losses = losses

    async def __call__(self, subject: str, effect: str) -> None:
        """Refuse an order."""
        del subject
        if effect == "create-order" and self.losses:
            self.losses -= 1
            problem = Problem(type=f"{PREFIX}accountDoesNotExist", detail="who")
            raise ProblemError(problem, status=400, url="https://ca.example/order")


async def test_an_account_that_is_lost_once_is_registered_again(bench: Bench) -> None:
    """The same key, at once."""
    bench.performer.trouble = Ca(1)
    await bench.until(bench.done)
    assert bench.performer.effects("test") == ["make-key", "register", "register"]
    assert bench.clock.now() < START + timedelta(minutes=2)
    assert bench.account().lost == 0


async def test_an_account_that_is_lost_again_is_the_operators(bench: Bench) -> None:
    """A CA that forgets whatever it is told is asked once a day."""
    bench.performer.trouble = Ca(2)

    def told() -> bool:
        cell = bench.cells.accounts.get("test")
        return cell is not None and cell.record.lost == 2

    async with bench.running():
        await spin(told)
        await spin(lambda: bench.account().register)
        job = bench.account().register
        assert job is not None
        assert job.failure is not None
        assert job.failure.message == "the ca has lost the account again"
        await spin(bench.done)
    assert timedelta(hours=23) < bench.clock.now() - START < timedelta(hours=25)


@pytest.mark.parametrize("due", [True, False])
async def test_a_hung_module_ends_the_process_if_work_waits_for_it(due: bool) -> None:
    """A new process gets rid of it; while nothing is due it does no harm."""
    bench = Bench()
    bench.configure(config("web"))

    async def hung(subject: str, effect: str) -> None:
        del subject
        if due and effect == "make-key":
            raise TokenHungError("a call into the module of token hsm hangs")

    bench.performer.trouble = hung
    if not due:
        bench.house.hung = "hsm"
        await bench.until(bench.done)
        return
    async with bench.running() as task:
        await spin(
            lambda: any(_failed(c.record) for c in bench.cells.accounts.values())
        )
        bench.house.hung = "hsm"
        await asyncio.wait([task], timeout=5)
        with pytest.raises(ExceptionGroup) as caught:
            task.result()
    assert caught.group_contains(HungModuleError, match="token hsm hangs")


def _failed(account: AccountRecord) -> bool:
    return account.register is not None and account.register.failure is not None
