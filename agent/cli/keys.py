"""`nfcertd keys`: every key that is ours, where it is and what it is for."""

import argparse

from agent.cli import asking, render
from agent.cli.exits import Exit
from agent.cli.shapes import KeysShape, read


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    asking.add_runtime(parser)
    asking.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Show them."""
    answer = asking.answer_to(options, "keys")
    if options.json:
        asking.print_json(answer)
    else:
        view = read(answer, KeysShape)
        print("\n".join(render.keys(view, asking.screen())))
    return Exit.OK
