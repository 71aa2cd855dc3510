"""`nfcertd accept`: deploy after all what was refused because it breaks its profile."""

import argparse

from agent.cli import asking


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the certificate."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    return asking.operate(options, "accept", "accepted, it is deployed next")
