"""The log reaches the journal with its fields, and a terminal without its tricks."""

import io
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.events import Event
from agent.journal import (
    MAX_VALUE,
    JournalHandler,
    LineFormatter,
    log_event,
    printable,
    priority,
    set_up,
)


def happened(text: str = "an order was created", **fields: str) -> Event:
    """Return an event of one certificate."""
    return Event(subject="amf1", kind="order.created", text=text, fields=fields)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen where journald would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(2)
        yield sock


@pytest.fixture
def logger(journal: socket.socket) -> Iterator[logging.Logger]:
    """Return the logger of events, which writes to that journal only."""
    handler = JournalHandler(Path(journal.getsockname()))
    logger = logging.getLogger("nfcertd")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.propagate = True
    logger.removeHandler(handler)
    handler.close()


def entry(journal: socket.socket) -> dict[str, str]:
    """Return the fields of the next entry, as journald reads them."""
    data = journal.recv(1 << 20)
    fields: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        fields[name.decode()] = value.decode()
        data = rest
    return fields


def test_an_event_has_its_fields(
    logger: logging.Logger, journal: socket.socket
) -> None:
    """`journalctl NFCERTD_SUBJECT=amf1` finds it."""
    log_event(happened(order_url="https://ca/1"))
    assert logger.name == "nfcertd"
    assert entry(journal) == {
        "MESSAGE": "amf1: an order was created",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "nfcertd",
        "NFCERTD_LOGGER": "nfcertd",
        "NFCERTD_SUBJECT": "amf1",
        "NFCERTD_EVENT": "order.created",
        "NFCERTD_ORDER_URL": "https://ca/1",
    }


def test_a_value_with_a_line_break_makes_no_second_field(
    logger: logging.Logger, journal: socket.socket
) -> None:
    """What a CA says cannot become a field of the entry."""
    log_event(happened("a\nPRIORITY=0", x="b\nMESSAGE=c"))
    found = entry(journal)
    assert logger.name
    assert found["PRIORITY"] == "6"
    assert found["MESSAGE"] == "amf1: a PRIORITY=0"
    assert found["NFCERTD_X"] == "b MESSAGE=c"


def test_a_bug_shows_its_traceback(
    logger: logging.Logger, journal: socket.socket
) -> None:
    """The lines of a traceback stay lines."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("bug")
    lines = entry(journal)["MESSAGE"].splitlines()
    assert lines[:2] == ["bug", "Traceback (most recent call last):"]
    assert lines[2].startswith("  File ")
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_an_enormous_text_still_fits_a_datagram(
    logger: logging.Logger, journal: socket.socket
) -> None:
    """Every value is cut, and so is their number."""
    log_event(
        happened("x" * 10**6, **{f"f{number}": "y" * 10**6 for number in range(99)})
    )
    found = entry(journal)
    assert logger.name
    assert len(found["MESSAGE"]) == MAX_VALUE
    assert len(found) < 40


def test_lost_entries_are_counted_and_nothing_fails(
    tmp_path: Path,
) -> None:
    """A journal that is away costs entries; the next one says how many."""
    path = tmp_path / "late"
    handler = JournalHandler(path)
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "text", None, None)
    for _ in range(3):
        handler.emit(record)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        handler.emit(record)
        assert entry(sock)["NFCERTD_LOST"] == "3"
        handler.emit(record)
        assert "NFCERTD_LOST" not in entry(sock)
    handler.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("zażółć", "zażółć"),
        ("a\x1b[31mb", "a[31mb"),
        ("a\r\nb\tc", "a b c"),
        ("a\x00b\x7fc\x9bd", "abcd"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u2028b", "ab"),
        ("\udcff", ""),
    ],
)
def test_text_from_outside_cannot_drive_a_terminal(text: str, shown: str) -> None:
    """Control, format and surrogate characters go away."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("level", "number"),
    [(50, 2), (40, 3), (30, 4), (25, 5), (20, 6), (10, 7), (0, 7)],
)
def test_levels_become_syslog_priorities(level: int, number: int) -> None:
    """RFC 5424 section 6.2.1."""
    assert priority(level) == number


def test_lines_carry_their_priority_unless_a_person_reads() -> None:
    """The journal takes `<N>` away; a terminal would show it."""
    record = logging.LogRecord("a", logging.WARNING, "f", 1, "b\nc", None, None)
    assert LineFormatter(prefixed=True).format(record) == "<4>b c"
    assert LineFormatter(prefixed=False).format(record) == "warning: b c"


def test_every_line_of_a_traceback_has_the_priority() -> None:
    """The journal reads line by line."""
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        info = sys.exc_info()
    else:
        pytest.fail("no bug")
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "bug", None, info)
    lines = LineFormatter(prefixed=True).format(record).splitlines()
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Put the root logger back as it was."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.parametrize("named", ["", "1:2", "nonsense"])
def test_without_a_journal_the_log_goes_to_stderr(
    root: logging.Logger, named: str
) -> None:
    """`JOURNAL_STREAM` that is not our stderr does not count."""
    stream = io.StringIO()
    set_up("info", {"JOURNAL_STREAM": named}, stream)
    root.info("hello")
    root.debug("not this")
    assert stream.getvalue() == "<6>hello\n"


def test_a_named_stream_is_compared_with_stderr(
    root: logging.Logger, tmp_path: Path
) -> None:
    """Device and inode decide; where the journal's socket is, its protocol is used."""
    with (tmp_path / "stderr").open("w") as stream:
        status = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        handler = set_up("debug", named, stream)
        has_journal = Path("/run/systemd/journal/socket").exists()
        assert isinstance(handler, JournalHandler) == has_journal
        assert root.handlers == [handler]
        handler.close()
