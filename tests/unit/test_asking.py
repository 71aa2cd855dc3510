"""Who may not ask the daemon is told which socket readers are meant to use."""

import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runtime() -> Iterator[Path]:
    """Give a runtime directory with two sockets that only their owner may use."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        listeners = []
        for path in (directory / "status.sock", directory / "control.sock"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            path.chmod(0)
            listeners.append(listener)
        yield directory
        for listener in listeners:
            listener.close()


def ask_as_somebody(runtime: Path, verb: str) -> subprocess.CompletedProcess[str]:
    """Ask as a user without rights; skips where that cannot be tried."""
    known = pwd.getpwnam("nobody")
    other = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
    rights = other if os.geteuid() == 0 else {}
    program = [sys.executable, "-B", "-m", "agent", verb, "--runtime", str(runtime)]
    done = subprocess.run(
        program,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=20,
        **rights,  # type: ignore[call-overload]  # keywords by name
    )
    if "No module named agent" in done.stderr:
        pytest.skip("another user cannot read this checkout")
    assert isinstance(done, subprocess.CompletedProcess)
    return done


@pytest.mark.parametrize(
    ("verb", "socket_name"), [("status", "status.sock"), ("reload", "control.sock")]
)
def test_the_socket_that_is_meant_is_named(
    runtime: Path, verb: str, socket_name: str
) -> None:
    """The other one, tried in case an administrator asks, would mislead."""
    done = ask_as_somebody(runtime, verb)
    assert done.returncode == 3
    assert f"{runtime / socket_name}: permission denied" in done.stderr
    assert "group nfcertd-read" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_an_administrator_need_not_be_a_reader(runtime: Path) -> None:
    """Refused on the one socket, the other answers: here by ending at once."""
    (runtime / "control.sock").chmod(0o666)
    (runtime / "control.sock").unlink()
    done = ask_as_somebody(runtime, "status")
    assert done.returncode == 3
    assert "control.sock: no such file" in done.stderr
