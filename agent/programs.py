"""Programs that the configuration names: who may have written them, how they end.

It knows processes. It does not know what a program is for. No shell reads anything, and
nothing of our environment is passed on.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from agent.acme.problem import printable
from agent.errors import AgentError
from agent.files import describe

_log: Final = logging.getLogger(__name__)

MAX_OUTPUT: Final = 4096
"""Octets at the end of the output that are kept."""
MAX_DRAINED: Final = 32
"""Reads after the end: more than a pipe holds, fewer than a straggler could fill."""
MAX_LINE: Final = 200
"""Characters of the last line that an error shows."""
REAP_WITHIN: Final = 1.0
"""Seconds that a killed process may take to be gone."""


class ProgramError(AgentError):
    """A program may not be run, cannot be started, took too long, or failed."""

    kind = "program"


async def succeed(
    argv: Sequence[str],
    environment: dict[str, str],
    within: timedelta,
    request: bytes = b"",
) -> None:
    """Run a program that nobody but root can have written; it has to end with 0.

    Raises as `answer`.
    """
    await answer(argv, environment, within, request)


async def answer(
    argv: Sequence[str],
    environment: dict[str, str],
    within: timedelta,
    request: bytes = b"",
    keep: int = MAX_OUTPUT,
) -> bytes:
    """Run a program that nobody but root can have written; return what it printed.

    It has to end with 0. The last `keep` octets of its output are returned.

    Raises:
        ProgramError: It may not be run, took too long, or ended otherwise; its last
            line says why.
    """
    require_trusted(Path(argv[0]))
    status, output = await run(argv, environment, within, request, keep)
    if status != 0:
        lines = output.decode("utf-8", "replace").strip().splitlines()
        last = printable(lines[-1].strip(), MAX_LINE) if lines else "no output"
        raise ProgramError(f"{argv[0]} ended with {_word(status)}: {last}")
    return output


def require_trusted(path: Path) -> None:
    """Return only for an executable that nobody but root can have written.

    The same holds for every directory above it, and above a link to it. A sticky one
    may be written by others, who cannot replace what is root's there.

    Raises:
        ProgramError: It is missing, no executable file, or not root's alone.
    """
    try:
        real = path.resolve(strict=True)
        facts = real.stat()
        parents = dict.fromkeys((*real.parents, *path.parents))
        above = [(parent, parent.stat()) for parent in parents]
    except OSError as error:
        raise ProgramError(f"cannot run {path}: {describe(error)}") from error
    if not stat.S_ISREG(facts.st_mode) or not facts.st_mode & 0o111:
        raise ProgramError(f"cannot run {path}: not an executable file")
    for place, seen in [(real, facts), *above]:
        others = seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        shared = stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX
        if seen.st_uid != 0 or (others and not shared):
            raise ProgramError(
                f"will not run {path}: {place} can be written by others than root",
                hint=f"chown root {place}; chmod go-w {place}",
            )


async def run(
    argv: Sequence[str],
    environment: dict[str, str],
    within: timedelta,
    request: bytes = b"",
    keep: int = MAX_OUTPUT,
) -> tuple[int, bytes]:
    """Run a program to its end; return its status and the last octets of its output.

    It reads the request on its standard input. It leads a session and a process group
    of its own, which is killed as a whole after its end, after `within`, and when we
    are cancelled. Blocks the loop for a fork, and for at most `REAP_WITHIN` where the
    kernel cannot end the process.

    Raises:
        ProgramError: It cannot be started, or took longer than `within`.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, reader)
        process = _start(argv, environment, writer, request)
        undo.callback(_end, process)
        output = undo.enter_context(_Output(reader, keep))
        try:
            async with asyncio.timeout(within.total_seconds()):
                await _until_ended(process.pid)
        except TimeoutError as error:
            seconds = f"{within.total_seconds():g} s"
            raise ProgramError(
                f"{argv[0]} took longer than {seconds} and was killed"
            ) from error
    return process.returncode or 0, output.tail


def _start(
    argv: Sequence[str], environment: dict[str, str], writer: int, request: bytes
) -> "subprocess.Popen[bytes]":
    try:
        os.set_blocking(writer, True)
        with _input(request) as stdin:
            return subprocess.Popen(  # noqa: S603 -- root's own executable, no shell
                argv,
                stdin=stdin,
                stdout=writer,
                stderr=writer,
                env=environment,
                cwd="/",
                close_fds=True,
                start_new_session=True,
            )
    except OSError as error:
        raise ProgramError(f"cannot run {argv[0]}: {describe(error)}") from error
    finally:
        os.close(writer)


@contextlib.contextmanager
def _input(request: bytes) -> Iterator[int]:
    """Yield what a program reads: the request and its end, without us waiting for it.

    Raises:
        OSError: The request is larger than what a socket holds for a reader.
    """
    if not request:
        yield subprocess.DEVNULL
        return
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        if ours.send(request) != len(request):
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        ours.shutdown(socket.SHUT_WR)
        yield theirs.fileno()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the group before its leader is reaped: until then its number is taken."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(REAP_WITHIN)
    except subprocess.TimeoutExpired:
        _log.warning("process %d does not end though it was killed", process.pid)


async def _until_ended(pid: int) -> None:
    """Return once a child has ended; it is not reaped."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    try:
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


class _Output:
    """Reads a pipe while it is entered and keeps the end of what came."""

    def __init__(self, descriptor: int, keep: int) -> None:
        self.tail = b""
        self._keep = keep
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        self._loop.add_reader(self._descriptor, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._descriptor)
        for _drained in range(MAX_DRAINED):
            if not self._read():
                break

    def _read(self) -> bool:
        """Take what is there; tell whether there may be more."""
        try:
            more = os.read(self._descriptor, MAX_OUTPUT)
        except BlockingIOError:
            return False
        self.tail = (self.tail + more)[-self._keep :]
        if not more:
            self._loop.remove_reader(self._descriptor)
        return bool(more)


def _word(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
