"""What systemd gives a service and wants to hear from it.

It knows the datagrams of sd_notify(3), the descriptors of sd_listen_fds(3), the period
of sd_watchdog_enabled(3), `$CREDENTIALS_DIRECTORY` and ambient capabilities. It does
not know when the daemon is ready, nor what counts as progress.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from agent.clock import Clock
from agent.errors import AgentError

FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START: the first descriptor that systemd hands over."""

MAX_DESCRIPTORS: Final = 64
"""More sockets than this are not ours; the variable is a mistake."""

MAX_STATUS: Final = 1024
"""Characters of STATUS= that are sent; `systemctl status` shows one line."""

_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


class SystemdError(AgentError):
    """What the service manager handed over cannot be used."""

    kind = "systemd"


class Notifier:
    """Tells the service manager how the daemon fares; silent outside a unit.

    A notification that cannot be sent is dropped: the manager that does not hear READY
    or WATCHDOG acts on its own, and nothing here could do better.
    """

    def __init__(self, address: str | None, clock: Clock) -> None:
        """Remember where to send to.

        Args:
            address: `$NOTIFY_SOCKET`: a path, or `@` and an abstract name; None or
                empty where nobody listens.
            clock: Its monotonic reading must be CLOCK_MONOTONIC for `reloading`.
        """
        self._address = _socket_address(address or "")
        self._clock = clock

    @property
    def listened(self) -> bool:
        """Return whether anybody asked to be told."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, has finished."""
        self._send("READY=1", _status(status))

    def reloading(self, status: str = "") -> None:
        """Say that a reload has begun; `ready` ends it.

        MONOTONIC_USEC is what systemd >= 253 wants to tell this reload from the last.
        """
        now = int(self._clock.monotonic() * 1_000_000)
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", _status(status))

    def stopping(self, status: str = "") -> None:
        """Say that shutting down has begun."""
        self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> None:
        """Set the one line that `systemctl status` shows."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """Say that the scheduler makes progress."""
        self._send("WATCHDOG=1")

    def extend(self, span: timedelta) -> None:
        """Ask for this much more time to start, reload or stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(span.total_seconds() * 1_000_000)}")

    def _send(self, *assignments: str) -> None:
        """Send one datagram; a full or absent socket is not waited for."""
        if not self._address:
            return
        message = "\n".join(filter(None, assignments)).encode()
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as sender:
                sender.sendto(message, self._address)
        except OSError:
            return


def _socket_address(text: str) -> str:
    """Return the AF_UNIX address of a `$NOTIFY_SOCKET` value, empty if unusable."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _status(text: str) -> str:
    """Return a STATUS= line; control characters would start another assignment."""
    line = "".join(c if c.isprintable() else " " for c in text[:MAX_STATUS])
    return f"STATUS={line}" if line else ""


def watchdog_period(environ: Mapping[str, str], pid: int) -> timedelta | None:
    """Return how often the manager wants WATCHDOG=1 at the latest, or None.

    sd_watchdog_enabled(3) recommends to send at half of this period.

    Raises:
        SystemdError: WATCHDOG_USEC or WATCHDOG_PID is not a positive number.
    """
    if "WATCHDOG_USEC" not in environ:
        return None
    period = timedelta(microseconds=_number(environ, "WATCHDOG_USEC"))
    if "WATCHDOG_PID" in environ and _number(environ, "WATCHDOG_PID") != pid:
        return None
    return period


def listen_fds(
    environ: MutableMapping[str, str], pid: int
) -> dict[str, tuple[socket.socket, ...]]:
    """Take over the sockets that systemd opened, by FileDescriptorName=.

    Descriptors become close-on-exec and non-blocking, and the variables are removed, so
    that no program that we run takes them for its own. Sockets without a name stand
    under `unknown`, as sd_listen_fds_with_names(3) has it.

    Raises:
        SystemdError: The variables disagree, or a descriptor is not a socket.
    """
    if "LISTEN_FDS" not in environ or "LISTEN_PID" not in environ:
        return {}
    # "If the LISTEN_PID does not match the current process' PID" they are not for us.
    if _number(environ, "LISTEN_PID") != pid:
        return {}
    names = _names(environ, _count(environ))
    for variable in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        environ.pop(variable, None)
    found: dict[str, tuple[socket.socket, ...]] = {}
    for number, name in enumerate(names, start=FIRST_DESCRIPTOR):
        found[name] = (*found.get(name, ()), _adopt(number, name))
    return found


def _count(environ: Mapping[str, str]) -> int:
    """Return how many descriptors were handed over."""
    count = _number(environ, "LISTEN_FDS")
    if count > MAX_DESCRIPTORS:
        raise SystemdError(f"LISTEN_FDS={count} is more than {MAX_DESCRIPTORS}")
    return count


def _names(environ: Mapping[str, str], count: int) -> list[str]:
    """Return one name for each descriptor."""
    if not environ.get("LISTEN_FDNAMES"):
        return ["unknown"] * count
    names = environ["LISTEN_FDNAMES"].split(":")
    if len(names) != count:
        raise SystemdError(f"LISTEN_FDNAMES names {len(names)} of {count} descriptors")
    return names


def _adopt(number: int, name: str) -> socket.socket:
    """Make a socket object of a descriptor that we inherited."""
    try:
        os.set_inheritable(number, False)  # noqa: FBT003 -- positional-only in os
        adopted = socket.socket(fileno=number)
    except OSError as error:
        raise SystemdError(
            f"descriptor {number} named {name!r} is not a socket"
        ) from error
    adopted.setblocking(False)  # noqa: FBT003 -- positional-only in socket
    return adopted


def _number(environ: Mapping[str, str], variable: str) -> int:
    """Return the positive number that a variable holds."""
    text = environ[variable]
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text)):  # noqa: PLR2004 -- digits of 2**64
        raise SystemdError(f"{variable} is not a positive number")
    return int(text)


def credentials_directory(environ: Mapping[str, str]) -> Path | None:
    """Return where systemd put the unit's credentials, or None outside such a unit."""
    value = environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(value) if value.startswith("/") else None


def clear_ambient_capabilities() -> None:
    """Keep our own capabilities and let no program that we run inherit them.

    capabilities(7): ambient capabilities survive execve(2) of an ordinary program.

    Raises:
        SystemdError: The kernel refused; running programs would be unsafe.
    """
    import ctypes  # noqa: PLC0415 -- half a mebibyte, needed once

    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(n) for n in (_PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)]
    if libc.prctl(ctypes.c_int(_PR_CAP_AMBIENT), *arguments) != 0:
        reason = os.strerror(ctypes.get_errno()).lower()
        raise SystemdError(f"cannot clear ambient capabilities: {reason}")
