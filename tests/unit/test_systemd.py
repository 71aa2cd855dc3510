"""What systemd hands over and hears, on real sockets and real processes."""

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from agent.systemd import (
    MAX_STATUS,
    Notifier,
    SystemdError,
    clear_ambient_capabilities,
    credentials_directory,
    listen_fds,
    watchdog_period,
)
from tests.fakes.clock import FakeClock


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, str]]:
    """Listen as systemd does, and yield the value of `$NOTIFY_SOCKET`."""
    name = f"@{uuid.uuid4()}" if request.param == "abstract" else f"{tmp_path}/notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.settimeout(5)
        yield listener, name


def test_each_notification_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    """The words are those of sd_notify(3); monotonic time is in microseconds."""
    listener, name = manager
    clock = FakeClock()
    clock.advance(timedelta(seconds=1.5))
    notifier = Notifier(name, clock)
    assert notifier.listened
    notifier.ready("2 certificates")
    notifier.reloading()
    notifier.status("due\nSTOPPING=1\x00")
    notifier.watchdog()
    notifier.extend(timedelta(seconds=2))
    notifier.stopping("bye")
    assert [listener.recv(4096).decode() for _ in range(6)] == [
        "READY=1\nSTATUS=2 certificates",
        "RELOADING=1\nMONOTONIC_USEC=1500000",
        "STATUS=due STOPPING=1 ",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=2000000",
        "STOPPING=1\nSTATUS=bye",
    ]


def test_a_status_is_bounded(manager: tuple[socket.socket, str]) -> None:
    """A long status is cut, not refused."""
    listener, name = manager
    Notifier(name, FakeClock()).status("x" * 100_000)
    assert len(listener.recv(1 << 17)) == len("STATUS=") + MAX_STATUS


@pytest.mark.parametrize("address", [None, "", "vsock:2:1", "/nonexistent/notify"])
def test_nobody_listening_is_no_failure(address: str | None) -> None:
    """Outside a unit, or with a manager that went away, nothing happens."""
    Notifier(address, FakeClock()).ready()


@pytest.mark.parametrize(
    ("environ", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, timedelta(minutes=2)),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "7"}, timedelta(microseconds=1)),
        ({"WATCHDOG_USEC": "1", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_the_watchdog_is_ours_or_not(
    environ: dict[str, str], period: timedelta | None
) -> None:
    """sd_watchdog_enabled(3): WATCHDOG_PID, where set, must be our own."""
    assert watchdog_period(environ, 7) == period


@pytest.mark.parametrize("text", ["", "0", "-1", "1s", "9" * 30, "\u0661"])
def test_a_period_that_is_no_number_is_refused(text: str) -> None:
    """A watchdog that is misread kills the daemon later; so it fails now."""
    with pytest.raises(SystemdError, match="WATCHDOG_USEC is not a positive number"):
        watchdog_period({"WATCHDOG_USEC": text}, 7)


REPOSITORY = Path(__file__).resolve().parents[2]

CHILD = """
import os, socket, sys
from agent.systemd import SystemdError, listen_fds
for number in range(3, 3 + int(sys.argv[2])):
    made = socket.socket() if sys.argv[1] == "socket" else open("/dev/null", "rb", 0)
    os.dup2(made.fileno(), 100)
    made.close()
    os.dup2(100, number)
    os.close(100)
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    found = listen_fds(os.environ, os.getpid())
except SystemdError as error:
    sys.exit(print(error))
print({name: [(s.fileno(), s.get_inheritable(), s.getblocking()) for s in sockets]
       for name, sockets in found.items()},
      [name for name in os.environ if name.startswith("LISTEN")])
"""


@pytest.mark.parametrize(
    ("count", "names", "expected"),
    [
        (2, "a:a", "{'a': [(3, False, False), (4, False, False)]} []"),
        (
            2,
            "http-01:status",
            "{'http-01': [(3, False, False)], 'status': [(4, False, False)]} []",
        ),
        (1, "", "{'unknown': [(3, False, False)]} []"),
        (2, "a", "LISTEN_FDNAMES names 1 of 2 descriptors"),
    ],
)
def test_handed_sockets_are_taken_by_name(
    count: int, names: str, expected: str
) -> None:
    """Sockets become close-on-exec and non-blocking; the variables are removed."""
    environ = {**os.environ, "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "socket", str(count)],
        env=environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"LISTEN_FDS": "65", "LISTEN_PID": "7"}, "LISTEN_FDS=65 is more than 64"),
        ({"LISTEN_FDS": "x", "LISTEN_PID": "7"}, "LISTEN_FDS is not a positive number"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": ""}, "LISTEN_PID is not a positive number"),
    ],
)
def test_nonsense_from_the_manager_is_refused(
    environ: dict[str, str], message: str
) -> None:
    """A daemon without its sockets must not look ready."""
    with pytest.raises(SystemdError, match=message):
        listen_fds(environ, 7)


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "8"}]
)
def test_somebody_elses_sockets_are_left_alone(environ: dict[str, str]) -> None:
    """LISTEN_PID says for whom they are, and the variables stay."""
    before = dict(environ)
    assert listen_fds(environ, 7) == {}
    assert environ == before


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    """The name of the descriptor stands in the message."""
    environ = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "status"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "file", "1"],
        env=environ,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "descriptor 3 named 'status' is not a socket" in done.stdout


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("relative", None),
        ("/run/credentials/nfcertd.service", Path("/run/credentials/nfcertd.service")),
    ],
)
def test_credentials_are_where_systemd_says(
    value: str | None, expected: Path | None
) -> None:
    """Outside a unit with credentials there are none."""
    environ = {} if value is None else {"CREDENTIALS_DIRECTORY": value}
    assert credentials_directory(environ) == expected


def test_ambient_capabilities_are_gone_after_clearing() -> None:
    """The kernel's view of this process has none left."""
    clear_ambient_capabilities()
    status = Path("/proc/self/status").read_text()
    assert "CapAmb:\t0000000000000000" in status
