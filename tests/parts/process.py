"""Processes: started with a log, awaited with a bound, ended by their pid.

It knows nothing of what it starts. Users are numbers, so that a test needs no entry in
`/etc/passwd`; changing them needs root.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

END_WITHIN: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""
POLL: Final = 0.02


class PartError(Exception):
    """A real part did not start, did not answer, or died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom a process runs.

    Attributes:
        uid: User id; need not be in `/etc/passwd`.
        gid: Group id.
        groups: Supplementary groups.
        capabilities: Ambient capabilities, such as `kill`.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the options of setpriv(1) that make a process this identity."""
        groups = ",".join(map(str, self.groups))
        held = ",".join(f"+{name}" for name in self.capabilities)
        return (
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            f"--groups={groups}" if groups else "--clear-groups",
            f"--inh-caps=-all{',' + held if held else ''}",
            *((f"--ambient-caps={held}",) if held else ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a process is started.

    Attributes:
        environment: Added to, or with an empty text removed from, our environment.
        identity: As whom; None as ourselves.
        directory: Working directory; None for `/`.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    directory: Path | None = None

    def complete(self) -> dict[str, str]:
        """Return our environment with the changes made."""
        merged = {**os.environ, **self.environment}
        return {name: value for name, value in merged.items() if value}


PLAIN: Final = Setting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A process that was started here.

    Attributes:
        name: What it is, for messages.
        process: Its handle.
        log: File with what it wrote to both outputs.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Return its process id; setpriv(1) replaces itself, so this is the program."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self.process.poll() is None

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, and to nobody else."""
        self.process.send_signal(number)

    def stop(self, within: float = END_WITHIN) -> int:
        """End it by SIGTERM, after `within` seconds by SIGKILL; return its status."""
        if self.alive:
            self.process.terminate()
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(END_WITHIN)

    def wait_until(self, check: Callable[[], bool], within: float = 15.0) -> None:
        """Wait until `check` holds.

        Raises:
            PartError: It ended meanwhile, or `within` seconds passed.
        """
        deadline = time.monotonic() + within
        while not check():
            if not self.alive:
                status = self.process.returncode
                raise PartError(f"{self.name} ended with {status}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise PartError(f"{self.name} not ready in {within} s\n{self.tail()}")
            time.sleep(POLL)


def start(name: str, argv: Sequence[str], log: Path, setting: Setting = PLAIN) -> Part:
    """Start a process with its outputs in a file."""
    prefix = ["setpriv", "--pdeathsig=TERM"]
    if setting.identity is not None:
        prefix.extend(setting.identity.arguments)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=setting.complete(),
            cwd=setting.directory or "/",
            start_new_session=True,
        )
    return Part(name=name, process=process, log=log)


@contextmanager
def running(
    name: str, argv: Sequence[str], log: Path, setting: Setting = PLAIN
) -> Iterator[Part]:
    """Run a process for as long as the context lasts."""
    part = start(name, argv, log, setting)
    try:
        yield part
    finally:
        part.stop()


def run(
    argv: Sequence[str], setting: Setting = PLAIN, within: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its outputs.

    Raises:
        PartError: It failed; the message holds what it wrote.
    """
    identity = setting.identity
    prefix = ["setpriv", *identity.arguments, "--"] if identity else []
    done = subprocess.run(
        [*prefix, *argv],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=setting.complete(),
        cwd=setting.directory or "/",
        timeout=within,
    )
    if done.returncode != 0:
        raise PartError(
            f"{argv[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts connections on a port of a loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def missing(*programs: str) -> str:
    """Return which of some programs or absolute paths are not there, or nothing."""
    absent = [name for name in programs if _absent(name)]
    return f"missing: {', '.join(absent)}" if absent else ""


def _absent(name: str) -> bool:
    if name.startswith("/"):
        return not Path(name).exists()
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None
