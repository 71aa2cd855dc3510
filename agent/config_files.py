"""Reads the files of the configuration; the daemon and the command line share it.

It knows where files lie and how large they may be. It does not know what is in them.
"""

from pathlib import Path
from typing import Final

from agent.config.parse import Source
from agent.files import FileError, describe, read_bounded

DEFAULT: Final = Path("/etc/nfcertd/nfcertd.toml")
"""The main file; `conf.d/*.toml` beside it is read after it, by name."""

MAX_FILES: Final = 256
"""Files in `conf.d`; more are refused, not skipped."""


def read_sources(main: Path) -> tuple[Source, ...]:
    """Return the main file and those of `conf.d` beside it, sorted by name.

    Raises:
        FileError: A file cannot be read, is too large, or there are too many.
    """
    directory = main.parent / "conf.d"
    try:
        names = sorted(directory.iterdir()) if directory.is_dir() else []
    except OSError as error:
        raise FileError(f"cannot list {directory}: {describe(error)}") from error
    parts = [p for p in names if p.suffix == ".toml" and not p.name.startswith(".")]
    if len(parts) > MAX_FILES:
        raise FileError(f"{directory} holds more than {MAX_FILES} files")
    return tuple(Source(str(path), read_bounded(path)) for path in (main, *parts))
