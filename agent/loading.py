"""From files to the configuration in force: read, checked, replaced all or nothing."""

from pathlib import Path

from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.config.parse import parse
from agent.config_files import read_sources
from agent.files import FileError

FIXED = ("state", "runtime", "health")
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
    if config.http01 != running.http01:
        changed.append("http-01: cannot change while running, restart nfcertd")
    if changed:
        raise ConfigError(changed)
    return config
