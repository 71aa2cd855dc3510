"""Signals to real processes, and units on a real bus with a scripted systemd.

A booted systemd with polkit is in tests/system/; here is what it cannot be made to do.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from jeepney import (
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.asyncio import DBusConnection, DBusRouter, open_dbus_connection
from jeepney.wrappers import DBusAddress

from agent.clock import SystemClock
from agent.config.endpoints import Reload
from agent.endpoints.errors import (
    EndpointDeafError,
    EndpointDeniedError,
    EndpointDownError,
    EndpointError,
    EndpointFailedError,
)
from agent.endpoints.process import PidfileTarget
from agent.endpoints.signaller import Signals
from agent.endpoints.unit import UnitTarget

pytestmark = pytest.mark.integration

EARS = {
    "listening": "signal.signal(signal.SIGHUP, lambda *_: print('heard', flush=True))",
    "ignoring": "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
    "deaf": "signal.signal(signal.SIGHUP, signal.SIG_DFL)",
    "blocking": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])",
}


@asynccontextmanager
async def endpoint(ears: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process that treats SIGHUP in one way, ready when this yields."""
    # Who was started by nohup(1) has inherited a signal that is ignored.
    script = f"import signal, sys\n{EARS['deaf']}\n{EARS[ears]}\n"
    script += "print('up', flush=True)\n"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{script}sys.stdin.read()"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await line(process) == "up"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    """Return the next line that the process prints."""
    assert process.stdout is not None
    async with asyncio.timeout(10):
        return (await process.stdout.readline()).decode().strip()


def pidfile(directory: Path, process: asyncio.subprocess.Process) -> Path:
    """Write a pidfile for the process."""
    path = directory / "endpoint.pid"
    path.write_text(f"{process.pid}\n")
    path.chmod(0o644)
    return path


async def test_a_listening_process_hears_one_signal_for_three(tmp_path: Path) -> None:
    """Three publications at once are one SIGHUP through a pidfd."""
    async with endpoint("listening") as process:
        reload = Reload(pidfile=str(pidfile(tmp_path, process)))
        signals = Signals(
            SystemClock(), UnitTarget(), PidfileTarget(), timedelta(seconds=0.05)
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(signals.tell(reload))
        assert await line(process) == "heard"
        process.terminate()
        assert await line(process) == ""


@pytest.mark.parametrize("ears", ["deaf", "blocking"])
async def test_a_process_that_would_die_is_spared(tmp_path: Path, ears: str) -> None:
    """No handler: not sent. Blocked counts as no handler."""
    async with endpoint(ears) as process:
        path = pidfile(tmp_path, process)
        with pytest.raises(EndpointDeafError, match="does not handle signal 1"):
            await PidfileTarget().tell(Reload(pidfile=str(path)))
        assert process.returncode is None


async def test_a_process_that_ignores_the_signal_lives(tmp_path: Path) -> None:
    """An ignored signal harms nobody; the proof over the wire says the rest."""
    async with endpoint("ignoring") as process:
        await PidfileTarget().tell(Reload(pidfile=str(pidfile(tmp_path, process))))
        assert process.returncode is None


async def test_a_process_that_ended_is_down(tmp_path: Path) -> None:
    """Its pidfile is stale."""
    async with endpoint("listening") as process:
        path = pidfile(tmp_path, process)
    with pytest.raises(EndpointDownError, match="is stale"):
        await PidfileTarget().tell(Reload(pidfile=str(path)))


BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy>
</busconfig>"""

UNIT_PATH = "/org/freedesktop/systemd1/unit/nginx_2eservice"
JOB = "/org/freedesktop/systemd1/job/7"
MANAGER = DBusAddress(
    "/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager"
)
SYSTEMD = "org.freedesktop.systemd1"
DBUS = "org.freedesktop.DBus.Error"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    """Run a bus of our own, where anybody may be systemd."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("dbus-daemon is not installed")
    path = tmp_path / "bus"
    configuration = tmp_path / "bus.conf"
    configuration.write_text(BUS.format(path=path))
    process = subprocess.Popen(
        [program, f"--config-file={configuration}", "--nofork", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        yield str(path)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


class ScriptedSystemd:
    """Answers as systemd does, except where it is told otherwise.

    Attributes:
        errors: D-Bus error names by method.
        silent: Methods that are never answered.
        properties: What the unit's properties are.
        results: Results of reload jobs; other people's jobs end before ours.
        calls: The methods that were called, with their arguments.
    """

    def __init__(self) -> None:
        """Run a unit whose main process is this one."""
        self.errors: dict[str, str] = {}
        self.silent: set[str] = set()
        self.properties: dict[str, tuple[str, object]] = {
            "ActiveState": ("s", "active"),
            "Id": ("s", "nginx.service"),
            "MainPID": ("u", os.getpid()),
        }
        self.result = "done"
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    async def serve(self, connection: DBusConnection) -> None:
        """Answer until cancelled."""
        while True:
            message = await connection.receive()
            if message.header.message_type is MessageType.method_call:
                for answer in self.answer(message):
                    await connection.send(answer)

    def answer(self, message: Message) -> list[Message]:
        """Return reply and signals for one call."""
        method = message.header.fields[HeaderFields.member]
        self.calls.append((method, message.body))
        if method in self.silent:
            return []
        if method in self.errors:
            return [new_error(message, self.errors[method], "s", ("No\nreason.",))]
        if method == "GetUnit":
            return [new_method_return(message, "o", (UNIT_PATH,))]
        if method == "Get":
            value = self.properties[message.body[1]]
            return [new_method_return(message, "v", (value,))]
        if method == "ReloadUnit":
            return self.reload(message)
        return [new_method_return(message)]

    def reload(self, message: Message) -> list[Message]:
        """Return the job and its end, told before the reply as can happen."""
        other = new_signal(
            MANAGER, "JobRemoved", "uoss", (6, JOB[:-1] + "6", "a.service", "failed")
        )
        ours = new_signal(
            MANAGER, "JobRemoved", "uoss", (7, JOB, "nginx.service", self.result)
        )
        return [other, ours, new_method_return(message, "o", (JOB,))]


@pytest.fixture
async def systemd(bus: str) -> AsyncIterator[ScriptedSystemd]:
    """Own systemd's name on the bus."""
    scripted = ScriptedSystemd()
    connection = await open_dbus_connection(f"unix:path={bus}")
    async with DBusRouter(connection) as router:
        await router.send_and_get_reply(message_bus.RequestName(SYSTEMD))
    serving = asyncio.create_task(scripted.serve(connection))
    try:
        yield scripted
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await connection.close()


SIGNAL = Reload(unit="nginx.service", signal="SIGINT")
RELOAD = Reload(unit="nginx.service", verb="reload")


async def test_a_signal_is_sent_to_the_main_process(
    bus: str, systemd: ScriptedSystemd
) -> None:
    """KillUnit by the unit's own name, where the configuration has an alias."""
    await UnitTarget(address=bus).tell(Reload(unit="web.service", signal="SIGINT"))
    assert systemd.calls[0] == ("GetUnit", ("web.service",))
    assert systemd.calls[-1] == ("KillUnit", ("nginx.service", "main", 2))


async def test_a_reload_is_waited_for(bus: str, systemd: ScriptedSystemd) -> None:
    """Other people's failed jobs are not ours, and a queued stop is left alone."""
    await UnitTarget(address=bus).tell(RELOAD)
    methods = [method for method, _ in systemd.calls]
    assert methods[-2:] == ["Subscribe", "ReloadUnit"]
    assert systemd.calls[-1][1] == ("nginx.service", "fail")


@pytest.mark.parametrize(
    ("reload", "method", "name", "expected"),
    [
        (SIGNAL, "GetUnit", f"{SYSTEMD}.NoSuchUnit", EndpointDownError),
        (SIGNAL, "GetUnit", f"{DBUS}.AccessDenied", EndpointDeniedError),
        (SIGNAL, "KillUnit", f"{SYSTEMD}.NoSuchProcess", EndpointDownError),
        (SIGNAL, "KillUnit", f"{DBUS}.AccessDenied", EndpointDeniedError),
        (SIGNAL, "KillUnit", f"{DBUS}.Failed", EndpointFailedError),
        (
            RELOAD,
            "ReloadUnit",
            f"{DBUS}.InteractiveAuthorizationRequired",
            EndpointDeniedError,
        ),
        (RELOAD, "ReloadUnit", f"{SYSTEMD}.JobTypeNotApplicable", EndpointDeafError),
        (
            RELOAD,
            "ReloadUnit",
            f"{SYSTEMD}.TransactionIsDestructive",
            EndpointDownError,
        ),
        (RELOAD, "Subscribe", f"{DBUS}.Failed", EndpointFailedError),
    ],
)
async def test_what_systemd_says_is_worded(
    bus: str,
    systemd: ScriptedSystemd,
    reload: Reload,
    method: str,
    name: str,
    expected: type[EndpointError],
) -> None:
    """Each D-Bus error has one meaning; its text is kept, on one line."""
    systemd.errors[method] = name
    with pytest.raises(expected, match=r"nginx\.service.*: No reason$") as caught:
        await UnitTarget(address=bus).tell(reload)
    assert type(caught.value) is expected
    if expected is EndpointDeniedError:
        assert "nfcertd polkit" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ActiveState", ("s", "inactive"), EndpointDownError),
        ("ActiveState", ("s", "failed"), EndpointDownError),
        ("ActiveState", ("s", "activating"), EndpointDownError),
        ("ActiveState", ("s", "deactivating"), EndpointDownError),
        ("MainPID", ("u", 0), EndpointDownError),
        ("MainPID", ("u", 1 << 22), EndpointDownError),
    ],
)
async def test_a_unit_that_does_not_run_is_not_signalled(
    bus: str,
    systemd: ScriptedSystemd,
    name: str,
    value: tuple[str, object],
    expected: type[EndpointError],
) -> None:
    """Awaited, not failed, and nothing is sent."""
    systemd.properties[name] = value
    with pytest.raises(expected):
        await UnitTarget(address=bus).tell(SIGNAL)
    assert "KillUnit" not in [method for method, _ in systemd.calls]


async def test_a_deaf_main_process_is_not_signalled(
    bus: str, systemd: ScriptedSystemd
) -> None:
    """This process does not handle SIGUSR2, so systemd is not asked to send it."""
    with pytest.raises(EndpointDeafError, match=r"nginx\.service .pid \d+. does not"):
        await UnitTarget(address=bus).tell(
            Reload(unit="nginx.service", signal="SIGUSR2")
        )
    assert "KillUnit" not in [method for method, _ in systemd.calls]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("failed", EndpointFailedError),
        ("timeout", EndpointFailedError),
        ("canceled", EndpointFailedError),
        ("skipped", EndpointDownError),
    ],
)
async def test_a_reload_that_does_not_end_well_says_how(
    bus: str, systemd: ScriptedSystemd, result: str, expected: type[EndpointError]
) -> None:
    """The job's result is the outcome."""
    systemd.result = result
    with pytest.raises(expected):
        await UnitTarget(address=bus).tell(RELOAD)


async def test_a_systemd_that_hangs_is_given_up(
    bus: str, systemd: ScriptedSystemd
) -> None:
    """The wait is bounded."""
    systemd.silent.add("KillUnit")
    target = UnitTarget(address=bus, answer_within=timedelta(seconds=0.3))
    with pytest.raises(EndpointFailedError, match="did not finish"):
        await target.tell(SIGNAL)


async def test_nobody_on_the_bus_is_worded(bus: str) -> None:
    """A bus without systemd, as in a container."""
    with pytest.raises(EndpointDeniedError, match="not allowed to tell"):
        await UnitTarget(address=bus).tell(SIGNAL)


async def test_a_missing_bus_is_worded(tmp_path: Path) -> None:
    """A host without D-Bus is told what else there is."""
    with pytest.raises(EndpointDeniedError, match="cannot reach") as caught:
        await UnitTarget(address=str(tmp_path / "bus")).tell(SIGNAL)
    assert "nfcertd polkit" in caught.value.hint


@pytest.mark.parametrize("greeting", [b"REJECTED ANONYMOUS\r\n", b"rubbish\r\n", b""])
async def test_a_bus_that_does_not_want_us_is_worded(
    tmp_path: Path, greeting: bytes
) -> None:
    """It rejects, talks nonsense, or hangs up."""

    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Read what the client says and refuse."""
        await reader.read(100)
        writer.write(greeting)
        writer.close()

    path = str(tmp_path / "bus")
    async with await asyncio.start_unix_server(refuse, path):
        with pytest.raises(EndpointDeniedError, match="does not accept us"):
            await UnitTarget(address=path).tell(SIGNAL)
