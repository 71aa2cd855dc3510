"""Signals sent by ourselves to the process that a pidfile names.

For hosts without D-Bus, with the drop-in `signal.conf` (CAP_KILL). It knows how a pid
can lie: stale, recycled, planted by another user. It does not know systemd.
"""

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.config.endpoints import Reload
from agent.endpoints.errors import (
    EndpointDeniedError,
    EndpointDownError,
    EndpointFailedError,
)
from agent.endpoints.proc import ProcessTable
from agent.files import describe

MAX_PIDFILE: Final = 64
"""Octets; a pidfile is one number and white space."""

Send = Callable[[int, int], None]
"""Sends a signal number to a pidfd; raises OSError."""


class PidfileTarget:
    """Signals the process that a pidfile names, if it is the one that is meant.

    The pidfile must be a regular file, no link, writable by its owner only, and owned
    by root or by the user under whom the process wholly runs (real, effective, saved
    and file-system user id). So nobody can point us at a process that they could not
    signal themselves.
    """

    def __init__(
        self,
        processes: ProcessTable | None = None,
        send: Send = signal.pidfd_send_signal,
    ) -> None:
        """Use the kernel's process table and pidfd_send_signal(2) by default."""
        self._processes = processes or ProcessTable()
        self._send = send

    async def tell(self, reload: Reload) -> None:
        """Send the signal to the pidfile's process.

        Raises:
            EndpointDownError: No pidfile, no such process, or a recycled pid.
            EndpointDeafError: The process would die of the signal.
            EndpointDeniedError: The pidfile cannot be trusted, or CAP_KILL is missing.
            EndpointFailedError: The kernel refused otherwise.
        """
        if reload.pidfile is None or reload.verb != "signal":
            raise EndpointDeniedError("a pidfile is told by a signal and nothing else")
        path = Path(reload.pidfile)
        pid, owner = read_pidfile(path)
        descriptor = _open_pidfd(pid, path)
        try:
            self._check(pid, owner, reload)
            self._deliver(descriptor, signal.Signals[reload.signal], path)
        finally:
            os.close(descriptor)

    async def find(self, reload: Reload) -> None:
        """Return where the pidfile names a process; nothing is sent.

        Raises:
            EndpointDownError: No pidfile, or no such process.
            EndpointDeniedError: The pidfile cannot be trusted.
        """
        path = Path(str(reload.pidfile))
        pid, _ = read_pidfile(path)
        os.close(_open_pidfd(pid, path))

    def _check(self, pid: int, owner: int, reload: Reload) -> None:
        """Make sure of the process; the caller holds a pidfd that was opened before.

        Where the start time is the same before and after, all answers between are about
        one process. If that is not the pidfd's, then the pidfd's has ended, and sending
        fails with ESRCH.
        """
        started = self._processes.start_time(pid)
        if owner and self._processes.owners(pid) != {owner}:
            raise EndpointDeniedError(
                f"{reload.pidfile} belongs to user {owner}, and process {pid} does not",
                hint="let root own the pidfile",
            )
        if reload.cgroup is not None:
            self._require_cgroup(pid, reload.cgroup, str(reload.pidfile))
        self._processes.require_hearing(
            pid, signal.Signals[reload.signal], str(reload.pidfile)
        )
        if self._processes.start_time(pid) != started:
            raise EndpointDownError(f"process {pid} ended while it was looked at")

    def _require_cgroup(self, pid: int, wanted: str, name: str) -> None:
        """Return only where the process is in the control group or below it."""
        actual = self._processes.cgroup(pid)
        if not f"{actual}/".startswith(f"{wanted.rstrip('/')}/"):
            raise EndpointDownError(
                f"{name} is stale: process {pid} is in {actual}, not in {wanted}"
            )

    def _deliver(self, descriptor: int, signum: int, path: Path) -> None:
        """Send, and word what the kernel says."""
        try:
            self._send(descriptor, signum)
        except ProcessLookupError as error:
            raise EndpointDownError(f"the process of {path} has ended") from error
        except PermissionError as error:
            raise EndpointDeniedError(
                f"not allowed to signal the process of {path}",
                hint="install the drop-in nfcertd.service.d/signal.conf (CAP_KILL)",
            ) from error
        except OSError as error:
            raise EndpointFailedError(
                f"cannot signal the process of {path}: {describe(error)}"
            ) from error


def read_pidfile(path: Path) -> tuple[int, int]:
    """Return the pid in a pidfile and the user id of the file's owner.

    Raises:
        EndpointDownError: There is no pidfile, or it is still empty.
        EndpointDeniedError: Others could have written it, or it holds no pid.
    """
    try:
        # O_NONBLOCK: opening a planted FIFO must not wait for a writer.
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        try:
            facts = os.fstat(descriptor)
            _require_trusted(facts, path)
            text = os.read(descriptor, MAX_PIDFILE + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise EndpointDownError(f"there is no pidfile {path}") from error
    except OSError as error:
        raise EndpointDeniedError(
            f"cannot read pidfile {path}: {describe(error)}"
        ) from error
    return _pid(text, path), facts.st_uid


def _require_trusted(facts: os.stat_result, path: Path) -> None:
    """Return only for a regular file that its owner alone can write."""
    if not stat.S_ISREG(facts.st_mode):
        raise EndpointDeniedError(f"pidfile {path} is not a regular file")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EndpointDeniedError(
            f"pidfile {path} is writable by its group or others",
            hint=f"chmod go-w {path}",
        )


def _pid(text: bytes, path: Path) -> int:
    """Return the one number that a pidfile holds."""
    number = text.strip()
    if not number and len(text) <= MAX_PIDFILE:
        raise EndpointDownError(f"pidfile {path} is empty")
    if len(text) > MAX_PIDFILE or not number.isdigit() or len(number) > len("4194304"):
        raise EndpointDeniedError(f"pidfile {path} does not hold one process id")
    if int(number) <= 1:
        raise EndpointDeniedError(f"pidfile {path} names process {int(number)}")
    return int(number)


def _open_pidfd(pid: int, path: Path) -> int:
    """Return a descriptor that names the process for ever, whatever becomes of it."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise EndpointDownError(
            f"{path} is stale: there is no process {pid}"
        ) from error
    except OSError as error:
        raise EndpointFailedError(
            f"cannot open process {pid} of {path}: {describe(error)}"
        ) from error
