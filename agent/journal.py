"""Logging: to the journal with fields where there is one, else plain lines on stderr.

It knows the journal's native protocol and the priorities of syslog. It does not know
what is worth saying. There is no redaction: secrets never get here.
"""

import logging
import os
import socket
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from agent.events import Event

SOCKET: Final = Path("/run/systemd/journal/socket")
"""Where journald takes datagrams of the native protocol."""

PREFIX: Final = "NFCERTD_"
"""Begins the name of every journal field of ours."""

MAX_VALUE: Final = 8192
"""Characters of one field; longer text is cut, so that a datagram always fits."""

MAX_FIELDS: Final = 24
"""Fields of ours in one entry."""

_NATIVE_TIMEOUT: Final = 0.25
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NOTICE: Final = 25


def log_event(event: Event) -> None:
    """Word an event in the log; its subject, kind and fields become journal fields."""
    fields = {**event.fields, "SUBJECT": event.subject, "EVENT": event.kind}
    logging.getLogger("nfcertd").log(
        event.severity,
        "%s: %s",
        event.subject,
        event.text,
        extra={"fields": fields},
    )


def set_up(level: str, environ: Mapping[str, str], stream: TextIO) -> logging.Handler:
    """Send the log of the whole process where it belongs, and return the handler.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        environ: `JOURNAL_STREAM` in it names the journal as device and inode.
        stream: Standard error.
    """
    handler = _handler(environ, stream)
    logging.addLevelName(_NOTICE, "NOTICE")
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return handler


def _handler(environ: Mapping[str, str], stream: TextIO) -> logging.Handler:
    if _is_journal(environ.get("JOURNAL_STREAM", ""), stream) and SOCKET.exists():
        return JournalHandler(SOCKET)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(prefixed=not stream.isatty()))
    return handler


def _is_journal(named: str, stream: TextIO) -> bool:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def priority(level: int) -> int:
    """Return the syslog priority (RFC 5424 section 6.2.1) of a logging level."""
    steps = (
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (_NOTICE, 5),
        (logging.INFO, 6),
    )
    return next((number for least, number in steps if level >= least), 7)


def printable(text: str) -> str:
    """Return text in one line that cannot drive a terminal or turn its direction.

    Line breaks and tabs become spaces; other control, format and surrogate characters
    go away; what is longer than `MAX_VALUE` is cut.
    """
    if not (text.isascii() and text.isprintable()):
        spaced = " ".join(text.split()) if "\n" in text or "\t" in text else text
        text = "".join(
            char for char in spaced if unicodedata.category(char) not in _UNPRINTABLE
        )
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


class LineFormatter(logging.Formatter):
    """Makes plain lines; `<N>` in front tells journald the priority (sd-daemon(3))."""

    def __init__(self, *, prefixed: bool) -> None:
        """Begin each line with `<N>`, or only the first with the level's name."""
        super().__init__()
        self._prefixed = prefixed

    def format(self, record: logging.LogRecord) -> str:
        """Return the message and, for a bug, its traceback, control-free."""
        lines = [printable(record.getMessage()), *self._traceback(record)]
        if self._prefixed:
            return "\n".join(f"<{priority(record.levelno)}>{line}" for line in lines)
        return f"{record.levelname.lower()}: " + "\n".join(lines)

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        if record.exc_info is None:
            return []
        return [
            _keep_indent(line)
            for line in self.formatException(record.exc_info).splitlines()
        ]


def _keep_indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip(" "))) + printable(line.strip())


class JournalHandler(logging.Handler):
    """Speaks the native protocol of journald: one datagram for each entry.

    A journal that is away or full costs entries, never time: at most a quarter of a
    second each. The next entry that arrives says how many were lost.
    """

    def __init__(self, path: Path = SOCKET) -> None:
        """Send to the socket at `path`; it need not exist yet."""
        super().__init__()
        self._path = str(path)
        self._lines = LineFormatter(prefixed=True)
        self._lost = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_NATIVE_TIMEOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry, or count it as lost."""
        try:
            self._socket.sendto(self._entry(record), self._path)
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _entry(self, record: logging.LogRecord) -> bytes:
        message = printable(record.getMessage())
        parts = [
            _field("PRIORITY", str(priority(record.levelno))),
            _field("SYSLOG_IDENTIFIER", "nfcertd"),
            _field(f"{PREFIX}LOGGER", record.name),
        ]
        if record.exc_info is not None:
            trace = self._lines.formatException(record.exc_info).splitlines()
            message = "\n".join([message, *map(_keep_indent, trace)])[:MAX_VALUE]
        if self._lost:
            parts.append(_field(f"{PREFIX}LOST", str(self._lost)))
        own: Mapping[str, str] = getattr(record, "fields", {})
        parts += [
            _field(f"{PREFIX}{_name(name)}", printable(str(value)))
            for name, value in list(own.items())[:MAX_FIELDS]
        ]
        return b"".join([*parts, _field("MESSAGE", message)])


def _name(text: str) -> str:
    # Journal field names are A-Z, 0-9 and _ only, 64 octets at most.
    kept = "".join(char if char.isalnum() else "_" for char in text.upper())
    return kept.encode("ascii", "replace").replace(b"?", b"_").decode()[:56]


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
