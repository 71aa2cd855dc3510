"""`nfcertd replace`: replace a certificate whose key is known to somebody else."""

import argparse

from agent.cli import asking
from agent.cli.exits import Exit
from agent.cli.text import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the certificate."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)
    asking.add_confirmation(parser)
    parser.add_argument(
        "--compromised",
        action="store_true",
        required=True,
        help="its key is known to somebody else: it is revoked and destroyed",
    )


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    asking.answer_to(
        options,
        "replace",
        name=options.name,
        confirm=options.confirm,
        compromised=options.compromised,
    )
    print(f"{printable(options.name)}: replacement begun; see nfcertd status")
    return Exit.OK
