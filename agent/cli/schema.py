"""`nfcertd schema`: the JSON schema of the configuration, for editors."""

import argparse

from agent.cli.asking import print_json
from agent.cli.exits import Exit
from agent.config.parse import schema


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Print it."""
    del options
    print_json(schema())
    return Exit.OK
