"""`nfcertd renew`: renew a certificate now, whatever the plan says."""

import argparse

from agent.cli import asking


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the certificate."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    return asking.operate(options, "renew", "renewal asked for; see nfcertd plan")
