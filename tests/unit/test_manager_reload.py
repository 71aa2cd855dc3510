"""What operators change while jobs run takes effect, and ends nothing else."""

import msgspec
import pytest

from tests.fakes.bench import Bench, Gate, spin
from tests.fakes.subjects import config

ENROLMENT = ["make-key", "create-order", "finalize", "download"]


@pytest.fixture
def bench() -> Bench:
    """Return a manager with nothing on the disk and one certificate configured."""
    made = Bench()
    made.configure(config("web"))
    return made


async def test_touch_looks_at_everything_again(bench: Bench) -> None:
    """What an operator changed in a record is acted on at once."""
    await bench.until(bench.done)
    cell = bench.cells.certificates["web"]
    async with bench.running():
        now = bench.clock.now()
        cell.change(lambda r: msgspec.structs.replace(r, renew_asked=now))
        bench.manager.touch()
        await spin(lambda: bench.done(number=2))
        assert bench.clock.now() == now


async def test_a_certificate_that_is_added_is_begun(bench: Bench) -> None:
    """A reload needs no restart."""
    async with bench.running():
        await spin(bench.done)
        bench.configure(config("web", "new"))
        await spin(lambda: bench.done("new"))


@pytest.mark.parametrize("effect", ["make-key", *ENROLMENT[1:], "publish", "swap"])
async def test_what_a_reload_removes_ends_quietly(effect: str) -> None:
    """The effect under way is written down; nothing more is begun, nothing destroyed.

    A process that ended there would have been ended by a reload.
    """
    bench = Bench()
    bench.configure(config("web", "stays"))
    gate = Gate(effect)

    async def only_web(subject: str, name: str) -> None:
        if subject == "web":
            await gate(subject, name)

    bench.performer.trouble = only_web
    async with bench.running():
        await spin(lambda: gate.waiting)
        bench.configure(config("stays", "later"))
        gate.open()
        await spin(lambda: bench.done("later") and bench.done("stays"))
        assert bench.performer.effects("web")[-1] == effect
    record = bench.certificate()
    running = [job.running for job in (record.issue, *record.deploy.values()) if job]
    assert running == [False] * len(running)


@pytest.mark.parametrize("effect", ["make-key", "register"])
async def test_an_account_that_a_reload_removes_ends_quietly(effect: str) -> None:
    """As a certificate does."""
    bench = Bench()
    bench.configure(config("web", cas=("old",)))
    gate = Gate(effect)

    async def only_old(subject: str, name: str) -> None:
        if subject == "old":
            await gate(subject, name)

    bench.performer.trouble = only_old
    async with bench.running():
        await spin(lambda: gate.waiting)
        bench.configure(config("web", cas=("new",)))
        gate.open()
        await spin(bench.done)
        assert bench.performer.effects("old")[-1] == effect


@pytest.mark.parametrize("effect", ["make-key", "register"])
async def test_what_comes_from_another_ca_is_not_folded(effect: str) -> None:
    """The account's CA changed while its answer was on the way: it is not ours."""
    bench = Bench()
    before, after = config("web"), config("web")
    moved = msgspec.structs.replace(
        after.ca["test"], directory="https://moved.example/directory"
    )
    after = msgspec.structs.replace(after, ca={"test": moved})
    bench.configure(before)
    gate = Gate(effect)

    async def only_account(subject: str, name: str) -> None:
        if subject == "test":
            await gate(subject, name)

    bench.performer.trouble = only_account
    async with bench.running():
        await spin(lambda: gate.waiting)
        bench.configure(after)
        await spin(lambda: bench.account().directory == moved.directory)
        gate.open()
        await spin(bench.done)
    account = bench.account()
    assert account.url == f"{moved.directory}/account"
    assert account.key is not None
    assert account.key.public == account.key.id.encode()
