"""`nfcertd plan`: what happens next, when, and which rule says so."""

import argparse

from agent.cli import asking, render
from agent.cli.exits import Exit
from agent.cli.shapes import StatusShape, read


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    asking.add_runtime(parser)
    asking.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Show it."""
    answer = asking.answer_to(options, "plan")
    if options.json:
        asking.print_json(answer)
    else:
        view = read(answer, StatusShape)
        print("\n".join(render.plan(view, asking.screen())))
    return Exit.OK
