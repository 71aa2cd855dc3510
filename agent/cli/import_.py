"""`nfcertd import`: take the certificate that a CA issued for a request of ours."""

import argparse
from pathlib import Path
from typing import Final

from agent.cli import asking
from agent.cli.exits import Exit
from agent.cli.text import printable
from agent.control.verbs import MalformedError
from agent.files import describe

MAX_CHAIN: Final = 60_000
"""Octets of a chain: a request to the daemon has to hold it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options, the name of the certificate and its file."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)
    parser.add_argument(
        "chain", type=Path, metavar="CHAIN.PEM", help="leaf and intermediates, PEM"
    )


def run(options: argparse.Namespace) -> int:
    """Hand it over; the daemon checks it as one that came by ACME."""
    chain = _read(options.chain)
    answer = asking.answer_to(options, "import", name=options.name, chain=chain)
    serial = printable(str(answer.get("serial", "")))
    print(f"{printable(options.name)}: certificate {serial} taken; see nfcertd status")
    return Exit.OK


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CHAIN + 1)
    except OSError as error:
        raise MalformedError(f"cannot read {path}: {describe(error)}") from error
    if len(data) > MAX_CHAIN or not data.isascii():
        raise MalformedError(f"{path} is no chain in pem of {MAX_CHAIN} octets at most")
    return data.decode("ascii")
