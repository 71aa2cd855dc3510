"""A stand-in for the daemon in its own sandbox: tells endpoints, says what came of it.

Prints one JSON object: what became of each reload, and what the sandbox allows.
"""

import asyncio
import grp
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from agent.clock import SystemClock
from agent.config.endpoints import Reload
from agent.endpoints.errors import EndpointError
from agent.endpoints.process import PidfileTarget
from agent.endpoints.signaller import Signals
from agent.endpoints.unit import UnitTarget
from agent.systemd import (
    clear_ambient_capabilities,
    credentials_directory,
    listen_fds,
)

STATE = Path("/var/lib/nfcertd")
SLICE = "/system.slice"

RELOADS = {
    "signal listener": Reload(unit="listener.service"),
    "signal listener by its alias": Reload(unit="alias.service"),
    "reload listener": Reload(unit="listener.service", verb="reload"),
    "signal deaf": Reload(unit="deaf.service"),
    "reload deaf": Reload(unit="deaf.service", verb="reload"),
    "reload failing": Reload(unit="failing.service", verb="reload"),
    "signal quiet": Reload(unit="quiet.service"),
    "reload quiet": Reload(unit="quiet.service", verb="reload"),
    "signal stopped": Reload(unit="stopped.service"),
    "reload nobody": Reload(unit="nobody.service", verb="reload"),
    "pidfile": Reload(pidfile="/run/listener.pid", cgroup=f"{SLICE}/listener.service"),
    "pidfile deaf": Reload(pidfile="/run/deaf.pid"),
    "pidfile elsewhere": Reload(
        pidfile="/run/listener.pid", cgroup=f"{SLICE}/other.service"
    ),
    "pidfile open": Reload(pidfile="/run/open.pid"),
}


async def tell(signals: Signals, reload: Reload) -> str:
    """Tell one endpoint and return the class of the error, or `told`."""
    try:
        await signals.tell(reload)
    except EndpointError as error:
        return f"{type(error).__name__}: {error} ({error.hint})"
    return "told"


def attempt(work: Callable[[], object]) -> str:
    """Return what came of one thing that the sandbox may forbid."""
    try:
        return str(work())
    except OSError as error:
        return str(error.strerror)


def group() -> bool:
    """Give a file to the group of status.sock."""
    path = STATE / "given"
    path.write_text("")
    wanted = grp.getgrnam("nfcertd-read").gr_gid
    os.chown(path, -1, wanted)
    return path.stat().st_gid == wanted


def acl() -> bool:
    """Let another user read a file by a POSIX ACL (version 2, user 33)."""
    path = STATE / "shared"
    path.write_text("")
    nobody = b"\xff\xff\xff\xff"
    entries = [(1, 6, nobody), (2, 4, b"\x21\0\0\0"), (4, 0, nobody)]
    entries += [(16, 4, nobody), (32, 0, nobody)]
    value = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + who
        for tag, rights, who in entries
    )
    os.setxattr(path, "system.posix_acl_access", value)
    return os.getxattr(path, "system.posix_acl_access") == value


def capabilities(text: str) -> str:
    """Return the effective capabilities in a /proc/PID/status."""
    return next(line.split()[1] for line in text.splitlines() if "CapEff" in line)


def facts() -> dict[str, object]:
    """Return what the sandbox gives and allows."""
    child = subprocess.run(
        ["/bin/cat", "/proc/self/status"], capture_output=True, text=True, check=True
    )
    credentials = credentials_directory(os.environ)
    handed = listen_fds(os.environ, os.getpid())
    return {
        "uid": os.getuid(),
        "own capabilities": capabilities(Path("/proc/self/status").read_text()),
        "child's capabilities": capabilities(child.stdout),
        "group": attempt(group),
        "acl": attempt(acl),
        "write /etc": attempt(lambda: Path("/etc/nfcertd/x").write_text("")),
        "pin": (credentials / "hsm-pin").read_text() if credentials else "",
        "sockets": {
            name: [each.getsockname()[:2] for each in sockets]
            for name, sockets in handed.items()
        },
    }


async def main() -> None:
    """Tell everybody once, and one endpoint three times at once."""
    clear_ambient_capabilities()
    signals = Signals(
        SystemClock(), UnitTarget(), PidfileTarget(), window=timedelta(seconds=0.1)
    )
    told = {name: await tell(signals, reload) for name, reload in RELOADS.items()}
    async with asyncio.TaskGroup() as together:
        for _ in range(3):
            together.create_task(tell(signals, Reload(unit="counter.service")))
    sys.stdout.write(json.dumps({"told": told, "facts": facts()}))


if __name__ == "__main__":
    asyncio.run(main())
