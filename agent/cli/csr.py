"""`nfcertd csr`: print a request for the next key, to take to a CA by hand."""

import argparse

from agent.cli import asking
from agent.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the certificate."""
    asking.add_runtime(parser)
    asking.add_certificate(parser)


def run(options: argparse.Namespace) -> int:
    """Ask for it, and print PKCS#10 in PEM."""
    answer = asking.answer_to(options, "csr", name=options.name)
    print(answer.get("csr", ""), end="")
    return Exit.OK
