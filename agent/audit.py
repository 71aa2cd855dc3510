"""The audit trail's files: append only, rotated by size, whole after any crash.

It knows open(2), fsync(2) and rename(2). It does not know what an entry means. Every
entry is written before anything else happens; what matters most is also synced.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from agent.clock import Clock
from agent.errors import AgentError
from agent.files import describe, read_bounded, sync_directory
from agent.trail.entry import (
    GENESIS,
    MAX_LINE,
    EntryError,
    Fact,
    digest,
    line_of,
    placed,
    read_line,
)
from agent.trail.vocabulary import Word

_log: Final = logging.getLogger("nfcertd.audit")

CURRENT: Final = "audit.jsonl"
"""The file that grows."""
MAX_FILE: Final = 1 << 28
"""Octets; a larger file in the directory is not ours."""
_ROTATED: Final = re.compile(r"audit-(\d{12})\.jsonl")


class AuditError(AgentError):
    """An entry could not be written; until one can, the trail has a gap."""

    kind = "audit"


class Head(NamedTuple):
    """The end of the trail.

    Attributes:
        seq: Number of the last entry, 0 for none.
        digest: SHA-256 of its line, hexadecimal.
        checkpoint: When the last checkpoint was made, None for never.
    """

    seq: int
    digest: str
    checkpoint: datetime | None = None


class Trail:
    """Appends entries to the files of one directory.

    Where an entry cannot be written (the disk is full) it is lost and counted; the next
    one that can be is preceded by a `gap` entry that says how many were lost and since
    when. What the daemon does meanwhile is its configuration's, `on_full`.
    """

    def __init__(self, directory: Path, clock: Clock, *, size: int, keep: int) -> None:
        """Use a directory, made with mode 0700; `open` reads what is there.

        Args:
            directory: Where the files are.
            clock: Dates the entries.
            size: Octets after which a file is closed and a new one begun.
            keep: Closed files that are kept; older ones are removed.
        """
        self._directory = directory
        self._clock = clock
        self._size = size
        self._keep = keep
        self._descriptor = -1
        self._written = 0
        self._lost = 0
        self.head = Head(0, GENESIS)
        self.broken_since: datetime | None = None
        self.failure = ""

    def limit(self, *, size: int, keep: int) -> None:
        """Take new limits; they hold from the next entry on."""
        self._size = size
        self._keep = keep

    def open(self) -> None:
        """Find the end of the trail, and cut off a line that a crash tore.

        Raises:
            AuditError: The directory or a file cannot be used.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            torn = self._recover()
        except OSError as error:
            raise AuditError(
                f"cannot use {self._directory}: {describe(error)}",
                hint="the service's user must own it",
            ) from error
        if torn:
            text = "a line that a crash had torn was cut off"
            data = {"octets": str(len(torn)), "sha256": digest(torn)}
            self.append(
                Fact(event=Word.REPAIRED, subject="audit", text=text, data=data)
            )

    def close(self) -> None:
        """Sync and close the file that grows."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def append(self, fact: Fact, *, durable: bool = True) -> bool:
        """Write an entry; tell whether it was written.

        Args:
            fact: What happened.
            durable: Sync it as well: it survives a power cut when this returns. The
                others survive the end of the process.
        """
        try:
            self._fill_gap()
            self._write(fact, durable=durable)
            self._rotate()
        except OSError as error:
            self._break(error)
            return False
        return True

    def mend(self) -> bool:
        """Try to write what says that entries were lost; tell whether all is well."""
        try:
            self._fill_gap()
        except OSError as error:
            self.failure = f"the audit trail cannot be written: {describe(error)}"
            return False
        return True

    def _fill_gap(self) -> None:
        if not self._lost:
            return
        since = self.broken_since or self._clock.now()
        data = {"lost": str(self._lost), "since": since.isoformat()}
        text = "entries were lost, because they could not be written"
        self._write(
            Fact(event=Word.GAP, subject="audit", text=text, data=data), durable=True
        )
        self._lost = 0
        self.broken_since = None
        self.failure = ""

    def _break(self, error: OSError) -> None:
        if self.broken_since is None:
            self.broken_since = self._clock.now()
            _log.error("the audit trail cannot be written: %s", describe(error))
        self._lost += 1
        self.failure = f"the audit trail cannot be written: {describe(error)}"

    def _write(self, fact: Fact, *, durable: bool) -> None:
        now = self._clock.now()
        entry = placed(fact, self.head.seq + 1, now, self.head.digest)
        line = line_of(entry)
        if self._descriptor < 0:
            self._descriptor, self._written = self._open_current()
        begin = self._written
        try:
            self._write_all(line + b"\n")
            if durable:
                os.fdatasync(self._descriptor)
        except OSError:
            # Half a line would end the chain: it is cut off now, or when the file is
            # opened again.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, begin)
            self.close()
            raise
        checkpoint = now if fact.event == Word.CHECKPOINT else self.head.checkpoint
        self.head = Head(entry.seq, digest(line), checkpoint)

    def _write_all(self, data: bytes) -> None:
        while data:
            count = os.write(self._descriptor, data)
            self._written += count
            data = data[count:]

    def _open_current(self) -> tuple[int, int]:
        if (self._directory / CURRENT).exists():
            _cut_torn(self._directory / CURRENT)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._directory / CURRENT, flags, 0o600)
        sync_directory(self._directory)
        return descriptor, os.fstat(descriptor).st_size

    def _rotate(self) -> None:
        """Close a full file under the number of its first entry, and forget old ones.

        The rename is the only step; a crash before or after it loses nothing.
        """
        if self._written < self._size:
            return
        current = self._directory / CURRENT
        first = _number(next(lines_of(current), b""))
        os.fsync(self._descriptor)
        self.close()
        current.rename(self._directory / f"audit-{first:012}.jsonl")
        sync_directory(self._directory)
        for old in closed_files(self._directory)[: -self._keep]:
            old.unlink(missing_ok=True)
            _log.info("audit file %s is older than what is kept: removed", old.name)

    def _recover(self) -> bytes:
        for path in reversed(trail_files(self._directory)):
            torn = _cut_torn(path) if path.name == CURRENT else b""
            line = _last_line(path)
            if line:
                self.head = Head(_number(line), digest(line), self._last_checkpoint())
                return torn
            if torn:
                return torn
        return b""

    def _last_checkpoint(self) -> datetime | None:
        found = None
        for path in trail_files(self._directory)[-2:]:
            for line in lines_of(path):
                if b'"event":"checkpoint"' in line:
                    found = _at(line) or found
        return found


def trail_files(directory: Path) -> list[Path]:
    """Return the files of a trail, oldest first."""
    current = directory / CURRENT
    return [*closed_files(directory), *([current] if current.exists() else [])]


def closed_files(directory: Path) -> list[Path]:
    """Return the files that were closed, oldest first."""
    if not directory.is_dir():
        return []
    return sorted(p for p in directory.iterdir() if _ROTATED.fullmatch(p.name))


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of an audit file without their ends; a torn one as it is.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE + 1):
            yield line.removesuffix(b"\n")


def _number(line: bytes) -> int:
    try:
        return read_line(line).seq
    except EntryError:
        # Somebody else wrote it; the numbers begin again, and a check tells.
        return 0


def _last_line(path: Path) -> bytes:
    return _tail(path).removesuffix(b"\n").rpartition(b"\n")[2]


def _tail(path: Path) -> bytes:
    """Return the end of a file, at least its last line if that is an entry's."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(length - MAX_LINE - 2, 0))
        return file.read(MAX_LINE + 2)


def _at(line: bytes) -> datetime | None:
    try:
        return read_line(line).at
    except EntryError:
        return None


def _cut_torn(path: Path) -> bytes:
    """Cut off what follows the last line's end, and return it; as a rule nothing."""
    data = _tail(path)
    if data and b"\n" not in data:
        # Longer than any line of ours: whatever it is, it is no entry.
        data = read_bounded(path, MAX_FILE)
    torn = data.rpartition(b"\n")[2]
    if torn:
        os.truncate(path, path.stat().st_size - len(torn))
    return torn
