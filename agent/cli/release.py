"""`nfcertd release`: end a hold, or let a manual deployment go on."""

import argparse

from agent.cli import asking


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the certificate."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    return asking.operate(options, "release", "released")
