"""From files to the configuration in force: read, checked, replaced all or nothing.

It knows where files lie and how large they may be. It does not know what is in them.
"""

from pathlib import Path
from typing import Final

from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.config.parse import Source, parse
from agent.files import FileError, describe, read_bounded

DEFAULT: Final = Path("/etc/nfcertd/nfcertd.toml")
"""The main file; `conf.d/*.toml` beside it is read after it, by name."""

MAX_FILES: Final = 256
"""Files in `conf.d`; more are refused, not skipped."""

FIXED: Final = ("state", "runtime", "health")
"""Keys of `[agent]` that a reload cannot change."""


def load(path: Path) -> Config:
    """Return the configuration of a file and of the `conf.d` beside it.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong.
    """
    try:
        return parse(read_sources(path))
    except FileError as error:
        raise ConfigError([str(error)]) from error


def reload(path: Path, running: Config) -> Config:
    """Return a new configuration that a running daemon can take.

    Raises:
        ConfigError: As `load`; also where it needs a restart.
    """
    config = load(path)
    changed = [
        f"agent.{key}: cannot change while running, restart nfcertd"
        for key in FIXED
        if getattr(config.agent, key) != getattr(running.agent, key)
    ]
    changed += [
        f"{table}: cannot change while running, restart nfcertd"
        for table, new, old in (
            ("http-01", config.http01, running.http01),
            ("tls-alpn-01", config.tlsalpn01, running.tlsalpn01),
        )
        if new != old
    ]
    if changed:
        raise ConfigError(changed)
    return config


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
