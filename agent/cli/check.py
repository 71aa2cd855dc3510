"""`nfcertd check`: is the configuration valid; nothing is touched, nobody is asked."""

import argparse
import sys

from agent.cli.configured import add_config, loaded
from agent.cli.exits import Exit
from agent.config.advice import advice
from agent.config.model import Certificate
from agent.solvers import tpm
from agent.solvers.dns01 import lexicon


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Check it; every problem becomes a line on standard error, and so does advice."""
    found = loaded(options)
    config = found.config
    if config.dns01 is not None and config.dns01.provider == "lexicon":
        # What else it takes is looked at by pre-flight; this no configuration can mend.
        lexicon.require_installed()
    if any(_by_tpm(table) for table in config.certificate.values()):
        tpm.require_installed()
    for line in advice(config):
        print(f"nfcertd: advice: {line}", file=sys.stderr)
    for line in found.lacks():
        print(f"nfcertd: {line}", file=sys.stderr)
    count = len(config.certificate) + len(found.waiting)
    print(f"{options.config} is valid: {count} certificate{'' if count == 1 else 's'}")
    return Exit.OK


def _by_tpm(table: Certificate) -> bool:
    return table.attestation is not None and table.attestation.format == "tpm"
