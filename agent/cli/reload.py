"""`nfcertd reload`: read the configuration again, all of it or nothing."""

import argparse

from agent.cli import asking
from agent.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    asking.add_runtime(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    asking.answer_to(options, "reload")
    print("the configuration was read again and is in force")
    return Exit.OK
