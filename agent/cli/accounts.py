"""`nfcertd accounts`: every account, its key, and when that is replaced next."""

import argparse

from agent.cli import asking, render_accounts
from agent.cli.exits import Exit
from agent.cli.shapes import StatusShape, read


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    asking.add_runtime(parser)
    asking.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Show them; ends with 1 where one of them cannot order."""
    answer = asking.answer_to(options, "status")
    view = read(answer, StatusShape)
    if options.json:
        asking.print_json(answer.get("accounts", []))
    else:
        print("\n".join(render_accounts.accounts(view, asking.screen())))
    well = all(one.state in {"", "valid"} for one in view.accounts)
    return Exit.OK if well else Exit.NOT_WELL
