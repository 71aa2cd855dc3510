"""Files: bounded reads, durable atomic writes, secrets by reference, mapped pages.

It knows rename(2), fsync(2), modes and madvise(2). It does not know what is in the
files.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import AgentError

MAX_SMALL_FILE: Final = 1 << 20
"""Octets; above this a configuration, PIN or PEM file is refused unread."""

_SMAPS: Final = Path("/proc/self/smaps")
_MADV_DONTNEED: Final = 4
_MAPPING: Final = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<rights>[r-][w-][x-][sp]) "
    r"[0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+ *(?P<path>.*)"
)


class FileError(AgentError):
    """A file could not be read or written."""

    kind = "file"


def read_bounded(path: Path, limit: int = MAX_SMALL_FILE) -> bytes:
    """Return the octets of a file of at most `limit` octets.

    Raises:
        FileError: The file is missing, unreadable or too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise FileError(f"cannot read {path}: {describe(error)}") from error
    if len(data) > limit:
        raise FileError(f"cannot read {path}: larger than {limit} octets")
    return data


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file durably: temporary file, fsync, rename, fsync of the directory.

    After it returns the new content survives a power cut; before, the old one does.

    Raises:
        FileError: Any step failed; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_durable(temporary, data, mode)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise FileError(f"cannot write {path}: {describe(error)}") from error


def write_durable(path: Path, data: bytes, mode: int) -> None:
    """Write a file with `mode` set before its content, and fsync it.

    Raises:
        OSError: The caller maps it, because it knows what the file is.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, mode), "wb") as file:  # noqa: PTH123 -- adopts an fd
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: The caller maps it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_directory(path: Path) -> int:
    """Lock a directory for this process; the kernel unlocks it when the process ends.

    Returns:
        The descriptor that holds the lock, close-on-exec.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The caller maps it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def describe(error: OSError) -> str:
    """Word an OSError without the path, which the caller has already named."""
    return (error.strerror or type(error).__name__).lower()


def read_secret(reference: str, credentials: Path | None) -> bytes:
    """Resolve `credential:NAME` or `file:/PATH` to a secret, final newline removed.

    Args:
        reference: Where the secret is; never the secret.
        credentials: systemd's `$CREDENTIALS_DIRECTORY`, or None outside a unit.

    Raises:
        FileError: It names the reference and never the content.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "file":
        return read_bounded(Path(rest)).rstrip(b"\r\n")
    if credentials is None:
        raise FileError(
            f"cannot read {reference}: not started with systemd credentials",
            hint="start as a unit with LoadCredential=, or use file:/PATH",
        )
    return read_bounded(credentials / rest).rstrip(b"\r\n")


def release_code_pages() -> None:
    """Give back the pages of code that are as they are in its files.

    Libraries make a quarter of what an idle daemon has in memory, and most of them only
    serve its next order: what is touched again is read again from the page cache.
    """
    import ctypes  # noqa: PLC0415 -- half a mebibyte, needed by a daemon only

    libc = ctypes.CDLL(None)
    try:
        text = _SMAPS.read_text(errors="replace")
    except OSError:
        # Without /proc nothing can be given back, and nothing is lost by that.
        return
    for start, length in clean_code(text):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED)


def clean_code(smaps: str) -> Iterator[tuple[int, int]]:
    """Yield address and octets of code whose every page is also in a file.

    Only code: constants look the same, and the loader may relocate them on another
    thread between the look and the act; code is never relocated on our platforms. A
    mapping with a page of its own, as a debugger makes, is left alone (proc(5),
    `/proc/pid/smaps`).
    """
    found: re.Match[str] | None = None
    for line in smaps.splitlines():
        if header := _MAPPING.match(line):
            is_code = header["rights"] == "r-xp" and header["path"].startswith("/")
            found = header if is_code else None
        elif found is not None and line.split() == ["Anonymous:", "0", "kB"]:
            start, end = int(found["start"], 16), int(found["end"], 16)
            yield start, end - start
