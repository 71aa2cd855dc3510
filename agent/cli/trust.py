"""`nfcertd trust`: lists of trusted roots, and what operators ask of one."""

import argparse

from agent.cli import asking, lists
from agent.cli.exits import Exit
from agent.cli.shapes import TrustsShape, read
from agent.cli.text import printable
from agent.clock import SystemClock

_DONE = {"fetch": "its source is asked now", "accept": "accepted, and asked for again"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options, and what may be asked of one list."""
    asking.add_runtime(parser)
    asking.add_json(parser)
    parser.add_argument(
        "what", nargs="?", choices=sorted(_DONE), help="ask it of one list"
    )
    parser.add_argument("name", nargs="?", help="name of the list")


def run(options: argparse.Namespace) -> int:
    """Show them, or ask for it."""
    if options.what is not None:
        return _operate(options)
    answer = asking.answer_to(options, "trust")
    if options.json:
        asking.print_json(answer)
    else:
        now = SystemClock().now()
        view = read(answer, TrustsShape)
        print("\n".join(lists.trust(view, now, asking.screen())))
    return Exit.OK


def _operate(options: argparse.Namespace) -> int:
    if options.name is None:
        print(f"nfcertd trust {options.what}: name the list")
        return Exit.USAGE
    asking.answer_to(options, f"trust-{options.what}", name=options.name)
    print(f"{printable(options.name)}: {_DONE[options.what]}")
    return Exit.OK
