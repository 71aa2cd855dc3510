"""The durable store: one file for each subject, one rename for each transaction.

`Store.put` is the only durable write of what the daemon knows. It does not know what a
record means.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.files import FileError, lock_directory, read_bounded, write_atomic
from agent.records.codec import (
    KINDS,
    VERSIONS,
    R,
    Record,
    decode,
    encode,
    version_of,
)

MAX_RECORD: Final = 8 << 20
"""Octets; a larger record is corrupt."""


class StoreError(AgentError):
    """The state directory cannot be used; nothing that follows would be durable."""

    kind = "state.store"


class Store:
    """Records under `<state>/records/<kind>/<name>.json`, mode 0600."""

    def __init__(self, state: Path) -> None:
        """Use a state directory that systemd or the operator has made."""
        self._root = state / "records"
        self._lock = -1

    def prepare(self) -> None:
        """Make the directories, and make them ours until the process ends.

        Raises:
            StoreError: The state directory cannot be written, or another daemon, which
                would overwrite our records and we its, uses it.
        """
        try:
            self._root.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._root.mkdir(mode=0o700, exist_ok=True)
            for kind in KINDS.values():
                (self._root / kind).mkdir(mode=0o700, exist_ok=True)
            self._lock = lock_directory(self._root)
        except BlockingIOError as error:
            raise StoreError(
                f"the state directory {self._root.parent} is used by another nfcertd",
                hint="end the other one first",
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot use the state directory {self._root.parent}: "
                f"{error.strerror or error}",
                hint="let systemd make it with StateDirectory=",
            ) from error

    def put(self, record: Record) -> None:
        """Make a record durable; when it returns, a power cut cannot take it away.

        It blocks the loop for one fsync on purpose: between two instructions of the
        daemon either all of a step is durable or nothing of it.

        Raises:
            StoreError: The disk is full or the directory is gone; nothing changed.
        """
        name = getattr(record, "name", "instance")
        path = self._path(KINDS[type(record)], name)
        try:
            write_atomic(path, encode(record))
        except FileError as error:
            raise StoreError(str(error), hint="free space on the disk") from error

    def get(self, kind: type[R], name: str) -> R | None:
        """Return a record, None where there is none.

        A record of an older version is copied aside before it is migrated.

        Raises:
            RecordError: Corrupt, or newer than this program; its subject is
                quarantined, the others go on.
            FileError: It cannot be read.
        """
        path = self._path(KINDS[kind], name)
        if not path.exists():
            return None
        data = read_bounded(path, MAX_RECORD)
        version = version_of(data)
        if version is not None and version < VERSIONS[KINDS[kind]]:
            write_atomic(path.with_suffix(f".json.v{version}"), data)
        return decode(data, kind)

    def names(self, kind: type[Record]) -> Iterator[str]:
        """Yield the names of the records of a kind, sorted."""
        directory = self._root / KINDS[kind]
        for path in sorted(directory.glob("*.json")) if directory.is_dir() else ():
            yield path.stem

    def _path(self, kind: str, name: str) -> Path:
        # Names come from a checked configuration: no separator, no leading dot.
        return self._root / kind / f"{os.path.basename(name)}.json"  # noqa: PTH119 -- belt and braces
