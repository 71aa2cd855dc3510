"""From files to the configuration in force: read, checked, replaced all or nothing."""

from collections.abc import Iterator
from pathlib import Path

from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.config.parse import Source, parse
from agent.files import FileError, read_bounded

FIXED = ("state", "runtime", "health")
"""Keys of `[agent]` that a reload cannot change."""


def load(path: Path) -> Config:
    """Return the configuration of a file and of the `conf.d` beside it.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong.
    """
    return parse(list(_sources(path)))


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
    if config.http01 != running.http01:
        changed.append("http-01: cannot change while running, restart nfcertd")
    if changed:
        raise ConfigError(changed)
    return config


def _sources(path: Path) -> Iterator[Source]:
    try:
        yield Source(str(path), read_bounded(path))
        directory = path.parent / "conf.d"
        for extra in sorted(directory.glob("*.toml")) if directory.is_dir() else ():
            yield Source(str(extra), read_bounded(extra))
    except FileError as error:
        raise ConfigError([str(error)]) from error
