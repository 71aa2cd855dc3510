"""What /proc says: parsed strictly, believed only while it does not change."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.config.endpoints import Reload
from agent.endpoints.errors import (
    EndpointDeafError,
    EndpointDeniedError,
    EndpointDownError,
    EndpointError,
    EndpointFailedError,
)
from agent.endpoints.proc import ProcessTable
from agent.endpoints.process import PidfileTarget

ME = os.getpid()
HUP = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a process table says of this process."""

    state: str = "S"
    start: int = 4711
    command: str = "nginx"
    caught: int = 1
    ignored: int = 0
    uid: int = os.geteuid()
    cgroup: str = "0::/system.slice/nginx.service\n"


def write(root: Path, process: Process) -> ProcessTable:
    """Write a process table with one process, whose pid is a living one."""
    home = root / str(ME)
    home.mkdir(parents=True, exist_ok=True)
    rest = " ".join(str(number) for number in range(18))
    (home / "stat").write_text(
        f"{ME} ({process.command}) {process.state} {rest} {process.start} 0\n"
    )
    (home / "status").write_text(
        f"Name:\t{process.command}\nUid:\t{process.uid}\t{process.uid}\t{process.uid}\t"
        f"{process.uid}\nSigIgn:\t{process.ignored:016x}\n"
        f"SigCgt:\t{process.caught:016x}\n"
    )
    (home / "cgroup").write_text(process.cgroup)
    return ProcessTable(root)


@pytest.mark.parametrize("command", ["nginx", "a) S 1 2 (b", "\n", ""])
def test_the_start_time_is_found_behind_any_name(tmp_path: Path, command: str) -> None:
    """A command's name may hold parentheses and white space."""
    table = write(tmp_path, Process(command=command))
    assert table.start_time(ME) == 4711


@pytest.mark.parametrize("state", ["Z", "X"])
def test_what_is_left_of_a_process_is_not_running(tmp_path: Path, state: str) -> None:
    """A zombie still has a pid, and hears nothing."""
    with pytest.raises(EndpointDownError, match="has ended"):
        write(tmp_path, Process(state=state)).start_time(ME)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/a.service\n", "/system.slice/a.service"),
        ("3:cpu:/other\n1:name=systemd:/system.slice/a\n0::/x\n", "/system.slice/a"),
        ("0::/with:colon\n", "/with:colon"),
        ("3:cpu:/other\n", ""),
        ("", ""),
    ],
)
def test_the_control_group_is_systemds(tmp_path: Path, text: str, path: str) -> None:
    """Version 2, version 1 and the mixture of both."""
    assert write(tmp_path, Process(cgroup=text)).cgroup(ME) == path


def test_this_process_can_be_looked_up() -> None:
    """The kernel's own table reads the same way."""
    table = ProcessTable()
    assert table.start_time(ME) == table.start_time(ME) > 0
    assert table.owners(ME) == {os.geteuid()}
    assert table.cgroup(ME).startswith("/")


class Kernel:
    """A send seam: notes what would be sent, or fails as a kernel does."""

    def __init__(self, failure: OSError | None = None) -> None:
        """Succeed, or fail so."""
        self.failure = failure
        self.sent: list[int] = []

    def send(self, descriptor: int, signum: int) -> None:
        """Note the signal; the descriptor must still be open."""
        os.fstat(descriptor)
        if self.failure is not None:
            raise self.failure
        self.sent.append(signum)


@pytest.fixture
def pidfile(tmp_path: Path) -> Path:
    """Write a pidfile that names this process."""
    path = tmp_path / "nginx.pid"
    path.write_text(f"{ME}\n")
    path.chmod(0o644)
    return path


GOOD = Process()


@pytest.mark.parametrize(
    ("process", "cgroup", "expected"),
    [
        (GOOD, None, None),
        (GOOD, "/system.slice/nginx.service", None),
        (GOOD, "/system.slice/", None),
        (replace(GOOD, caught=0, ignored=1), None, None),
        (GOOD, "/system.slice/nginx", EndpointDownError),
        (GOOD, "/user.slice", EndpointDownError),
        (replace(GOOD, cgroup=""), "/system.slice", EndpointDownError),
        (replace(GOOD, caught=0), None, EndpointDeafError),
        (replace(GOOD, caught=~HUP & 0xFFFF), None, EndpointDeafError),
        (replace(GOOD, state="Z"), None, EndpointDownError),
    ],
)
async def test_only_the_right_process_is_signalled(
    tmp_path: Path,
    pidfile: Path,
    process: Process,
    cgroup: str | None,
    expected: type[EndpointError] | None,
) -> None:
    """Control group, handler and life are checked; nothing is sent otherwise."""
    kernel = Kernel()
    target = PidfileTarget(write(tmp_path / "proc", process), kernel.send)
    reload = Reload(pidfile=str(pidfile), cgroup=cgroup)
    if expected is None:
        await target.tell(reload)
    else:
        with pytest.raises(expected):
            await target.tell(reload)
    assert kernel.sent == ([HUP] if expected is None else [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_a_users_pidfile_names_only_that_users_processes(
    tmp_path: Path, pidfile: Path
) -> None:
    """Nobody can point us at a process that is not theirs."""
    os.chown(pidfile, 1234, -1)
    kernel = Kernel()
    reload = Reload(pidfile=str(pidfile))
    table = write(tmp_path / "proc", replace(GOOD, uid=0))
    with pytest.raises(EndpointDeniedError, match="belongs to user 1234"):
        await PidfileTarget(table, kernel.send).tell(reload)
    assert kernel.sent == []
    table = write(tmp_path / "proc", replace(GOOD, uid=1234))
    await PidfileTarget(table, kernel.send).tell(reload)
    assert kernel.sent == [HUP]


class RecyclingTable(ProcessTable):
    """A table whose process is another one at each look."""

    looks = 0

    def start_time(self, pid: int) -> int:
        """Return another start time than the last."""
        self.looks += 1
        return super().start_time(pid) + self.looks


async def test_a_pid_that_is_recycled_meanwhile_is_not_signalled(
    tmp_path: Path, pidfile: Path
) -> None:
    """The start time must be the same before and after all other questions."""
    write(tmp_path / "proc", GOOD)
    kernel = Kernel()
    target = PidfileTarget(RecyclingTable(tmp_path / "proc"), kernel.send)
    with pytest.raises(EndpointDownError, match="while it was looked at"):
        await target.tell(Reload(pidfile=str(pidfile)))
    assert kernel.sent == []


@pytest.mark.parametrize(
    ("failure", "expected", "hint"),
    [
        (ProcessLookupError(3, "No such process"), EndpointDownError, ""),
        (PermissionError(1, "Not permitted"), EndpointDeniedError, "signal.conf"),
        (OSError(22, "Invalid argument"), EndpointFailedError, ""),
    ],
)
async def test_what_the_kernel_says_is_worded(
    tmp_path: Path,
    pidfile: Path,
    failure: OSError,
    expected: type[EndpointError],
    hint: str,
) -> None:
    """A process that ended since, a missing capability, anything else."""
    target = PidfileTarget(write(tmp_path / "proc", GOOD), Kernel(failure).send)
    with pytest.raises(expected) as caught:
        await target.tell(Reload(pidfile=str(pidfile)))
    assert hint in caught.value.hint


async def test_a_process_that_is_hidden_is_down_with_a_hint(
    tmp_path: Path, pidfile: Path
) -> None:
    """ProtectProc=invisible looks like no process at all."""
    with pytest.raises(EndpointDownError) as caught:
        await PidfileTarget(ProcessTable(tmp_path)).tell(Reload(pidfile=str(pidfile)))
    assert "ProtectProc=default" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "mode", "expected", "message"),
    [
        (b"", 0o644, EndpointDownError, "is empty"),
        (b" \n", 0o644, EndpointDownError, "is empty"),
        (b"1\n", 0o644, EndpointDeniedError, "names process 1"),
        (b"0", 0o644, EndpointDeniedError, "names process 0"),
        (b"-1", 0o644, EndpointDeniedError, "does not hold one process id"),
        (b"12 13\n", 0o644, EndpointDeniedError, "does not hold one process id"),
        (b"99999999", 0o644, EndpointDeniedError, "does not hold one process id"),
        ("\u0661\u0662".encode(), 0o644, EndpointDeniedError, "does not hold"),
        (b" " * 65, 0o644, EndpointDeniedError, "does not hold one process id"),
        (b"4194304", 0o644, EndpointDownError, "is stale: there is no process"),
        (b"12", 0o664, EndpointDeniedError, "writable by its group or others"),
        (b"12", 0o646, EndpointDeniedError, "writable by its group or others"),
    ],
)
async def test_a_pidfile_that_cannot_be_trusted_is_refused(
    pidfile: Path, text: bytes, mode: int, expected: type[EndpointError], message: str
) -> None:
    """Not one number, not ours to trust, or stale."""
    pidfile.write_bytes(text)
    pidfile.chmod(mode)
    with pytest.raises(expected, match=message):
        await PidfileTarget().tell(Reload(pidfile=str(pidfile)))


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "nothing"])
async def test_only_a_regular_file_is_a_pidfile(pidfile: Path, kind: str) -> None:
    """Links are not followed, and a FIFO is not waited for."""
    path = pidfile.with_name("other.pid")
    if kind == "link":
        path.symlink_to(pidfile)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    expected = EndpointDownError if kind == "nothing" else EndpointDeniedError
    with pytest.raises(expected):
        await PidfileTarget().tell(Reload(pidfile=str(path)))


async def test_a_pidfile_is_only_signalled(pidfile: Path) -> None:
    """Nobody can reload a pidfile, nor tell nothing."""
    for reload in (Reload(), Reload(pidfile=str(pidfile), verb="reload")):
        with pytest.raises(EndpointDeniedError, match="told by a signal"):
            await PidfileTarget().tell(reload)
