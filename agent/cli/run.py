"""`nfcertd run`: the daemon, in the foreground, as systemd wants it."""

import argparse

from agent.cli.configured import add_config
from agent.daemon import main


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Run until told to stop."""
    return main(options.config)
