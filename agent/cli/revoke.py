"""`nfcertd revoke`: have a certificate revoked by its CA."""

import argparse

from agent.cli import asking
from agent.cli.exits import Exit
from agent.cli.text import printable
from agent.pki.reasons import OURS


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the certificate."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)
    asking.add_confirmation(parser)
    parser.add_argument(
        "--reason", required=True, choices=OURS, help="why, as in RFC 5280"
    )
    parser.add_argument(
        "--serial", default="", metavar="HEX", help="which one (the newest)"
    )
    parser.add_argument(
        "--by", choices=("account", "key"), default="account", help="who signs"
    )


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    asking.answer_to(
        options,
        "revoke",
        name=options.name,
        confirm=options.confirm,
        reason=options.reason,
        serial=options.serial,
        by=options.by,
    )
    print(f"{printable(options.name)}: revocation asked for; see nfcertd status")
    return Exit.OK
