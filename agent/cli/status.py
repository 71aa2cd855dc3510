"""`nfcertd status`: how everything is; ends with 1 where something needs somebody."""

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
    answer = asking.answer_to(options, "status")
    view = read(answer, StatusShape)
    if options.json:
        asking.print_json(answer)
    else:
        print("\n".join(render.status(view, asking.screen())))
    return Exit.OK if render.is_well(view) else Exit.NOT_WELL
