"""What /proc tells about a process that we may be about to signal.

It knows proc_pid_stat(5), proc_pid_status(5) and proc_pid_cgroup(5), all of which are
readable for any process without privilege where /proc is not mounted with hidepid. It
does not read /proc/PID/exe, which needs CAP_SYS_PTRACE, and sends nothing.
"""

from pathlib import Path
from typing import Final

from agent.endpoints.errors import (
    EndpointDeafError,
    EndpointDeniedError,
    EndpointDownError,
)
from agent.files import describe

MAX_PROC_FILE: Final = 1 << 16
"""Octets; a status file has about 1,500."""


class ProcessTable:
    """Looks processes up by pid."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        """Look under `root`."""
        self._root = root

    def start_time(self, pid: int) -> int:
        """Return when the process started, in clock ticks since boot.

        A pid and its start time together name a process for as long as the host runs.

        Raises:
            EndpointDownError: There is no such process, or only its remains.
            EndpointDeniedError: It is hidden from us.
        """
        # The command's name is in parentheses and may itself hold any character.
        _, _, rest = self._read(pid, "stat").rpartition(")")
        fields = rest.split()
        if not fields or fields[0] in "ZXx":
            raise EndpointDownError(f"process {pid} has ended")
        return int(fields[19])

    def cgroup(self, pid: int) -> str:
        """Return the path of its control group in systemd's hierarchy.

        That is the line `0::` (version 2) or `name=systemd` (version 1); empty where
        neither exists.

        Raises:
            EndpointDownError: There is no such process.
            EndpointDeniedError: It is hidden from us.
        """
        found = {}
        for line in self._read(pid, "cgroup").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            found[controllers] = path
        return found.get("name=systemd") or found.get("", "")

    def owners(self, pid: int) -> frozenset[int]:
        """Return its real, effective, saved and file-system user ids.

        Raises:
            EndpointDownError: There is no such process.
            EndpointDeniedError: It is hidden from us.
        """
        return frozenset(int(text) for text in self._status(pid)["Uid"].split())

    def require_hearing(self, pid: int, signum: int, who: str) -> None:
        """Return only where the signal cannot end the process: caught or ignored.

        A process that blocks the signal and reads it from a signalfd counts as deaf: a
        signal that is blocked now may be fatal a moment later, as it is between fork
        and exec.

        Raises:
            EndpointDeafError: The default action would be taken.
            EndpointDownError: There is no such process.
            EndpointDeniedError: It is hidden from us.
        """
        status = self._status(pid)
        heard = int(status["SigCgt"], 16) | int(status["SigIgn"], 16)
        if not heard >> (signum - 1) & 1:
            raise EndpointDeafError(
                f"{who} (pid {pid}) does not handle signal {signum} and would end",
                hint="choose another signal, or verb = 'reload'",
            )

    def _status(self, pid: int) -> dict[str, str]:
        """Return the fields of /proc/PID/status by name."""
        pairs = (line.partition(":") for line in self._read(pid, "status").splitlines())
        return {name: value.strip() for name, _, value in pairs}

    def _read(self, pid: int, name: str) -> str:
        """Return a file of the process, or say that the process is gone."""
        path = self._root / str(pid) / name
        try:
            with path.open("rb") as file:
                return file.read(MAX_PROC_FILE).decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError) as error:
            raise EndpointDownError(
                f"process {pid} is not there",
                hint="if it does run, it is hidden: set ProtectProc=default",
            ) from error
        except OSError as error:
            raise EndpointDeniedError(
                f"cannot read {path}: {describe(error)}"
            ) from error
