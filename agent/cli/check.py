"""`nfcertd check`: is the configuration valid; nothing is touched, nobody is asked."""

import argparse

from agent.cli.configured import add_config, configuration
from agent.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Check it; every problem becomes a line on standard error."""
    config = configuration(options)
    count = len(config.certificate)
    print(f"{options.config} is valid: {count} certificate{'' if count == 1 else 's'}")
    return Exit.OK
