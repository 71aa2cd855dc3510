"""What the subcommands that ask the daemon have in common."""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.cli.exits import Exit
from agent.cli.text import Screen, coloured, plain, printable
from agent.control.client import ask
from agent.control.verbs import (
    CONTROL_SOCKET,
    STATUS_SOCKET,
    VERBS,
    Argument,
    UnreachableError,
    VerbClass,
)

RUNTIME: Final = Path("/run/nfcertd")
"""Directory of the control sockets, unless `--runtime` names another."""


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Declare where the daemon is."""
    parser.add_argument(
        "--runtime",
        type=Path,
        default=RUNTIME,
        metavar="DIR",
        help="directory of the control sockets (%(default)s)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare that the answer can be had as it is."""
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def answer_to(
    options: argparse.Namespace, verb: str, **arguments: Argument
) -> dict[str, object]:
    """Return the daemon's answer to a verb.

    Raises:
        ControlError: It cannot be reached, or refused.
    """
    return asyncio.run(_ask(options.runtime, verb, arguments))


async def _ask(
    runtime: Path, verb: str, arguments: Mapping[str, Argument]
) -> dict[str, object]:
    if VERBS[verb] is not VerbClass.READ:
        return await ask(runtime / CONTROL_SOCKET, verb, arguments)
    try:
        return await ask(runtime / STATUS_SOCKET, verb, arguments)
    except UnreachableError as error:
        # An administrator need not be in the readers' group as well.
        if not _forbidden(error):
            raise
        try:
            return await ask(runtime / CONTROL_SOCKET, verb, arguments)
        except UnreachableError as second:
            if not _forbidden(second):
                raise
        # Who may use neither is told of the one that readers are meant to use.
        raise


def _forbidden(error: UnreachableError) -> bool:
    return isinstance(error.__cause__, PermissionError)


def add_certificate(parser: argparse.ArgumentParser) -> None:
    """Declare which certificate is meant."""
    parser.add_argument("name", help="name of the certificate in the configuration")


def add_confirmation(parser: argparse.ArgumentParser) -> None:
    """Declare the confirmation of what cannot be taken back."""
    parser.add_argument(
        "--confirm",
        required=True,
        metavar="NAME",
        help="the name once more: this cannot be taken back",
    )


def operate(options: argparse.Namespace, verb: str, outcome: str) -> int:
    """Ask for something to be done to a certificate; say that it is."""
    answer_to(options, verb, name=options.name)
    print(f"{printable(options.name)}: {outcome}")
    return Exit.OK


def screen() -> Screen:
    """Return the terminal that standard output is, or unlimited plain text."""
    if not sys.stdout.isatty():
        return Screen()
    colours = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Screen(shutil.get_terminal_size().columns, coloured if colours else plain)


def print_json(answer: object) -> None:
    """Print JSON for programs and for people."""
    print(json.dumps(answer, indent=2, ensure_ascii=True))
