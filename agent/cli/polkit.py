"""`nfcertd polkit`: the rule that lets the daemon tell exactly its endpoints."""

import argparse

from agent.cli.configured import add_config, configuration
from agent.cli.exits import Exit
from agent.endpoints.polkit import needed, rules


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    add_config(parser)
    parser.add_argument(
        "--user", default="nfcertd", help="user of the daemon (%(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Print it; it is installed by hand, by root."""
    reloads = [
        endpoint.reload
        for certificate in configuration(options).certificate.values()
        for endpoint in certificate.endpoint
        if endpoint.reload is not None
    ]
    print(rules(needed(reloads), options.user), end="")
    return Exit.OK
