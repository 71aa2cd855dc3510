"""`nfcertd bootstrap`: take what OAM gives this host to begin with."""

import argparse
from pathlib import Path
from typing import Final

from agent.cli import asking, render_bootstrap
from agent.cli.exits import Exit
from agent.cli.shapes import TakenShape, read
from agent.control.verbs import LaterError, MalformedError, RefusedError
from agent.files import describe

MAX_BUNDLE: Final = 60_000
"""Octets of a bundle: a request to the daemon has to hold it."""

PASSING: Final = frozenset(
    {"bootstrap.clock", "bootstrap.early", "control.timeout", "state.store"}
)
"""Kinds of refusals that pass by themselves: a clock is set, a disk has room again."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the bundle."""
    asking.add_runtime(parser)
    asking.add_json(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="only say what taking it would do; nothing changes",
    )
    parser.add_argument("bundle", type=Path, metavar="FILE", help="the signed bundle")


def run(options: argparse.Namespace) -> int:
    """Hand it over; the daemon takes all of it, or refuses it and says why."""
    answer = _answer(options, _read(options.bundle))
    if options.json:
        asking.print_json(answer)
    else:
        print("\n".join(render_bootstrap.taken(read(answer, TakenShape))))
    return Exit.OK


def _answer(options: argparse.Namespace, bundle: str) -> dict[str, object]:
    """Return the daemon's answer; tell a refusal that passes from one that stays."""
    try:
        return asking.answer_to(
            options, "bootstrap", bundle=bundle, check=options.check
        )
    except RefusedError as error:
        if error.remote_kind not in PASSING:
            raise
        raise LaterError(
            str(error), remote_kind=error.remote_kind, hint=error.hint
        ) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE + 1)
    except OSError as error:
        raise MalformedError(f"cannot read {path}: {describe(error)}") from error
    if len(data) > MAX_BUNDLE or not data.isascii():
        raise MalformedError(f"{path} is no bundle of {MAX_BUNDLE} octets at most")
    return data.decode("ascii")
