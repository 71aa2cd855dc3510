"""One daemon thread for one PKCS#11 module: serial calls, each with a deadline.

It knows threads and futures. It does not know PKCS#11: it takes any function. A module
is initialised without locking, so that no two threads may ever be inside it.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar, TypeVarTuple

from agent.clock import Clock
from agent.keys.errors import TokenHungError

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

_CLOSE_PATIENCE: Final = timedelta(seconds=2)
"""How long closing waits for the call that is under way."""


class _Job:
    """One call: what to run, and where its outcome goes."""

    __slots__ = ("deadline", "error", "function", "future", "loop", "result", "timer")

    def __init__(self, function: Callable[[], object], deadline: timedelta) -> None:
        self.function = function
        self.deadline = deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[object] = self.loop.create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run on the worker thread and keep the outcome."""
        if self.future.cancelled():
            return
        try:
            self.result = self.function()
        except BaseException as error:  # noqa: BLE001 -- raised again in the caller
            self.error = error

    def settle(self) -> None:
        """Hand the outcome to the caller, who may have gone."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)

    def fail(self, error: Exception) -> None:
        """Fail the caller without an outcome."""
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """Runs blocking functions one after the other on its own daemon thread.

    All methods belong to the event loop's thread. The thread is a daemon, so that a
    call that never returns does not keep the process from ending.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        """Name the thread; it starts with the first call."""
        self._name = name
        self._clock = clock
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pending: deque[_Job] = deque()
        self._running: _Job | None = None
        self._thread: threading.Thread | None = None
        self._hung_since: float | None = None
        self._returns = 0

    @property
    def hung_since(self) -> float | None:
        """Return since when a call hangs (monotonic seconds), None if none does."""
        return self._hung_since

    @property
    def returns(self) -> int:
        """Return how many calls came back after they had been given up."""
        return self._returns

    async def call(
        self,
        deadline: timedelta,
        function: Callable[[*_Arguments], _Result],
        *arguments: *_Arguments,
    ) -> _Result:
        """Run `function(*arguments)` on the thread and return what it returns.

        The deadline counts from when the call starts, not while it waits for others.
        A caller that is cancelled leaves; a call that has started goes on.

        Raises:
            TokenHungError: This call, or one before it, did not return in time.
        """
        if self._hung_since is not None:
            raise self._hung()
        job = _Job(partial(function, *arguments), deadline)
        self._pending.append(job)
        self._pump()
        try:
            return await job.future  # type: ignore[return-value]  # futures of a queue
        finally:
            with contextlib.suppress(ValueError):
                self._pending.remove(job)

    async def close(self) -> None:
        """End the thread after the call under way; a hung one is left behind."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        self._inbox.put(None)
        if self._hung_since is None:
            patience = _CLOSE_PATIENCE.total_seconds()
            await asyncio.to_thread(thread.join, patience)

    def _hung(self) -> TokenHungError:
        return TokenHungError(
            f"module {self._name} does not answer: a call is overdue",
            hint="look at the token, its driver and its network",
        )

    def _pump(self) -> None:
        if self._running is not None or not self._pending:
            return
        job = self._running = self._pending.popleft()
        job.timer = job.loop.call_later(job.deadline.total_seconds(), self._expire, job)
        self._start()
        self._inbox.put(job)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name=f"pkcs11 {self._name}", daemon=True
            )
            self._thread.start()

    def _serve(self) -> None:
        while (job := self._inbox.get()) is not None:
            job.run()
            # The loop is closed when the process ends meanwhile: nobody waits then.
            with contextlib.suppress(RuntimeError):
                job.loop.call_soon_threadsafe(self._finish, job)

    def _finish(self, job: _Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        self._running = None
        if self._hung_since is not None:
            self._hung_since = None
            self._returns += 1
        job.settle()
        self._pump()

    def _expire(self, job: _Job) -> None:
        self._hung_since = self._clock.monotonic()
        job.fail(self._hung())
        while self._pending:
            self._pending.popleft().fail(self._hung())
