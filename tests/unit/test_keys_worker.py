"""The worker thread: serial, with deadlines, and harmless when a call hangs."""

import asyncio
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from agent.keys.errors import TokenHungError
from agent.keys.worker import Worker
from tests.fakes.clock import FakeClock

LONG = timedelta(seconds=10)
SHORT = timedelta(milliseconds=50)


async def test_calls_run_in_order_on_one_other_thread() -> None:
    """Results come back, in the order of the calls, from a single thread."""
    worker = Worker("test", FakeClock())
    seen: list[tuple[int, int]] = []

    def note(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker.call(LONG, note, n)) for n in range(5)]
    assert [task.result() for task in tasks] == [0, 1, 2, 3, 4]
    assert [number for number, _ in seen] == [0, 1, 2, 3, 4]
    threads = {thread for _, thread in seen}
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    await worker.close()


async def test_an_exception_reaches_its_caller_only() -> None:
    """A failing call fails its caller, and the next call works."""
    worker = Worker("test", FakeClock())
    with pytest.raises(ZeroDivisionError):
        await worker.call(LONG, divmod, 1, 0)
    assert await worker.call(LONG, divmod, 7, 2) == (3, 1)
    await worker.close()


async def test_a_hung_call_fails_queued_and_later_calls_until_it_returns() -> None:
    """Everybody learns at once; `hung_since` says since when; its return cures."""
    clock = FakeClock()
    clock.advance(timedelta(seconds=42))
    worker = Worker("test", clock)
    gate = threading.Event()
    errors: list[str] = []

    async def call() -> None:
        try:
            await worker.call(SHORT, gate.wait)
        except TokenHungError as error:
            errors.append(error.kind)

    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(call())
    assert worker.hung_since == 42.0
    await call()
    assert errors == ["token.hung"] * 4
    assert worker.returns == 0
    gate.set()
    async with asyncio.timeout(2):
        while worker.hung_since is not None:
            await asyncio.sleep(0.005)
    assert worker.returns == 1
    assert await worker.call(LONG, max, 1, 2) == 2
    await worker.close()


async def test_a_queued_call_that_is_cancelled_never_runs() -> None:
    """A caller that leaves the queue takes its call along."""
    worker = Worker("test", FakeClock())
    gate = threading.Event()
    ran: list[int] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.call(LONG, gate.wait))
        queued = group.create_task(worker.call(LONG, ran.append, 1))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.sleep(0)
        gate.set()
    assert await worker.call(LONG, len, ran) == 0
    await worker.close()


async def test_a_waiting_call_has_its_whole_deadline() -> None:
    """The deadline counts from the start of the call, not from its queueing."""
    worker = Worker("test", FakeClock())
    pause = threading.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(worker.call(SHORT * 2, pause.wait, 0.05))
    assert worker.hung_since is None
    await worker.close()


def test_a_hung_call_does_not_keep_the_process_alive() -> None:
    """The thread is a daemon: the interpreter ends under a call that never returns."""
    program = (
        "import asyncio, threading\n"
        "from datetime import timedelta\n"
        "from agent.clock import SystemClock\n"
        "from agent.keys.worker import Worker\n"
        "async def main():\n"
        "    worker = Worker('test', SystemClock())\n"
        "    try:\n"
        "        hang = threading.Event().wait\n"
        "        await worker.call(timedelta(milliseconds=20), hang)\n"
        "    finally:\n"
        "        await worker.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert b"TokenHungError" in done.stderr
