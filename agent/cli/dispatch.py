"""Finds the subcommand, runs it, and turns its errors into words and an exit code.

Only the module of the subcommand is imported: `nfcertd status` loads no cryptography.
"""

import argparse
import importlib
import keyword
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, cast

from agent import __version__
from agent.cli.exits import Exit, exit_of
from agent.cli.text import printable
from agent.errors import AgentError

COMMANDS: Final[Mapping[str, str]] = {
    "run": "run the daemon in the foreground",
    "status": "show certificates, endpoints, tokens and alarms",
    "plan": "show what happens next, when, and why",
    "keys": "show keys and what they are for",
    "trust": "show lists of trusted roots, fetch one now, or accept what it refused",
    "bootstrap": "take the signed bundle that oam gives this host to begin with",
    "audit": "read the audit trail, and verify that it is whole",
    "accounts": "show accounts, their keys, and when those are replaced",
    "account": "replace the key of an account, or give the account up",
    "renew": "renew a certificate now",
    "hold": "leave a certificate as it is until it is released",
    "release": "end a hold, or let a manual deployment go on",
    "ack": "accept a deployment that could not be proven over the wire",
    "csr": "print a request for the next key, to take to a ca by hand",
    "import": "take the certificate that a ca issued for such a request",
    "revoke": "have a certificate revoked by its ca",
    "replace": "replace a certificate whose key is compromised",
    "decommission": "end a network function, with all that it has here",
    "accept": "deploy a certificate that was refused for its profile",
    "reload": "read the configuration again",
    "check": "check a configuration without touching anything",
    "schema": "print the JSON schema of the configuration",
    "polkit": "print the polkit rule that the configuration needs",
    "version": "show the version of this program and of the daemon",
}
"""Every subcommand, as `agent.cli.<name>`, and what it does."""


class Command(Protocol):
    """What the module of a subcommand has."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and arguments."""
        ...

    def run(self, options: argparse.Namespace) -> int:
        """Do it and return the exit code; an `AgentError` may be raised."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit code of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        words = ["version"]
    if not words or words[0] not in COMMANDS:
        return _usage(words)
    try:
        return _command(words[0], words[1:])
    except AgentError as error:
        _complain(error)
        return exit_of(error)
    except BrokenPipeError:
        # Who reads us has seen enough, as in `nfcertd status | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except KeyboardInterrupt:
        return 130


def _command(name: str, words: Sequence[str]) -> int:
    # `import` cannot be the name of a module.
    module = f"{name}_" if keyword.iskeyword(name) else name
    command = cast("Command", importlib.import_module(f"agent.cli.{module}"))
    parser = argparse.ArgumentParser(
        prog=f"nfcertd {name}", description=COMMANDS[name], allow_abbrev=False
    )
    command.arguments(parser)
    code = command.run(parser.parse_args(words))
    sys.stdout.flush()
    return code


def _usage(words: Sequence[str]) -> int:
    asked = words[:1] in (["-h"], ["--help"], ["help"])
    stream = sys.stdout if asked else sys.stderr
    if words and not asked:
        print(f"nfcertd: there is no subcommand {printable(words[0])}\n", file=stream)
    print(f"nfcertd {__version__}\nusage: nfcertd SUBCOMMAND [--help]\n", file=stream)
    for name, text in COMMANDS.items():
        print(f"  {name:<9}{text}", file=stream)
    return Exit.OK if asked else Exit.USAGE


def _complain(error: AgentError) -> None:
    for problem in getattr(error, "problems", (str(error),)):
        print(f"nfcertd: {printable(problem)}", file=sys.stderr)
    if error.hint:
        print(f"  {printable(error.hint)}", file=sys.stderr)
