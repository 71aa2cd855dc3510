"""What the subcommands that read the configuration have in common."""

import argparse
from pathlib import Path

from agent.config.model import Config
from agent.loading import DEFAULT, Loaded, load


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare where the configuration is."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT,
        metavar="FILE",
        help="main file; conf.d/*.toml beside it is read as well (%(default)s)",
    )


def configuration(options: argparse.Namespace) -> Config:
    """Return the configuration, read and checked; raises as `loaded`."""
    return loaded(options).config


def loaded(options: argparse.Namespace) -> Loaded:
    """Return the configuration with the bootstrap bundle that was taken last.

    Raises:
        ConfigError: It cannot be read, or is not valid.
    """
    return load(options.config)
