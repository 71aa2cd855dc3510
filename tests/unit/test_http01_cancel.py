"""http-01 leaves nothing presented, wherever it is cancelled."""

import asyncio
import socket
from collections.abc import Awaitable, Coroutine, Generator
from pathlib import Path

import pytest

from agent.config.challenges import Listen
from agent.solvers.http01 import Http01
from tests.fakes.presented import presented

CHALLENGE = presented("amf1.example", "token", "token.thumbprint")
MOST_STEPS = 40


class CancelledAt:
    """Awaits a coroutine and cancels its own task at the n-th suspension."""

    def __init__(self, coroutine: Coroutine[object, object, None], step: int) -> None:
        """Cancel at suspension `step`, counted from 1; 0 is never."""
        self._coroutine = coroutine
        self._step = step
        self.steps = 0

    def __await__(self) -> Generator[object, None, None]:
        """Pass every suspension on, and count it."""
        running = self._coroutine.__await__()
        error: BaseException | None = None
        while True:
            try:
                waited = running.send(None) if error is None else running.throw(error)
            except StopIteration:
                return
            error = None
            self.steps += 1
            task = asyncio.current_task()
            if self.steps == self._step and task is not None:
                task.cancel()
            try:
                yield waited
            except BaseException as thrown:  # noqa: BLE001 -- hands it to the coroutine
                error = thrown


async def hold(solver: Http01, entered: list[bool]) -> None:
    """Present, fetch nothing, wait two turns of the loop, leave."""
    async with solver.prepare(CHALLENGE):
        entered.append(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def run(work: CancelledAt) -> bool:
    """Run in a task of its own; tell whether it was cancelled."""

    async def body(awaited: Awaitable[None]) -> None:
        await awaited

    task = asyncio.get_running_loop().create_task(body(work))
    await asyncio.wait([task])
    return task.cancelled()


def assert_nothing_is_left(solver: Http01, port: int) -> None:
    """Nothing is presented, nothing listens, and the port can be had again."""
    assert solver.presented == frozenset()
    assert not solver.where
    with socket.create_server(("127.0.0.1", port)):
        pass


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def test_cancelling_at_every_await_leaves_no_listener() -> None:
    """Each suspension of entering, holding and leaving is cancelled once."""
    port = free_port()
    cancelled = entered_and_cancelled = 0
    for step in range(1, MOST_STEPS):
        solver = Http01(Listen(listen=(f"127.0.0.1:{port}",)))
        entered: list[bool] = []
        work = CancelledAt(hold(solver, entered), step)
        if not await run(work):
            assert work.steps < step
            break
        cancelled += 1
        entered_and_cancelled += bool(entered)
        assert_nothing_is_left(solver, port)
    else:
        pytest.fail("it never ran to its end")
    assert cancelled > entered_and_cancelled > 0


@pytest.mark.parametrize("step", range(1, 8))
async def test_a_cancelled_neighbour_takes_nothing_away(step: int) -> None:
    """One is cancelled while it opens, another presents at the same time."""
    port = free_port()
    solver = Http01(Listen(listen=(f"127.0.0.1:{port}",)))
    done: list[bool] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(run_quietly(CancelledAt(hold(solver, []), step)))
        group.create_task(hold(solver, done))
    assert done == [True]
    assert_nothing_is_left(solver, port)


async def run_quietly(work: CancelledAt) -> None:
    """Run and let a cancellation be the end of it."""
    await run(work)


async def test_cancelling_while_held_removes_the_file(tmp_path: Path) -> None:
    """The webroot is as empty as before."""
    for step in (1, 2):
        solver = Http01(Listen(webroot=str(tmp_path)))
        assert await run(CancelledAt(hold(solver, []), step))
        assert list(tmp_path.iterdir()) == []
        assert solver.presented == frozenset()
