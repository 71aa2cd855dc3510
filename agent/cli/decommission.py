"""`nfcertd decommission`: end a network function, with all that it has here."""

import argparse

from agent.cli import asking
from agent.cli.exits import Exit
from agent.cli.render_nfs import consequences
from agent.cli.shapes import DecommissionShape, read
from agent.cli.text import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options and the name of the network function."""
    asking.add_runtime(parser)
    asking.add_json(parser)
    parser.add_argument("name", help="name of the network function: [nf.NAME]")
    parser.add_argument(
        "--confirm",
        default="",
        metavar="NAME",
        help="the name once more: this cannot be taken back",
    )
    parser.add_argument(
        "--check", action="store_true", help="only say what goes; nothing changes"
    )
    parser.add_argument(
        "--keep-account",
        action="store_true",
        help="leave its account open, also where nobody else uses it",
    )


def run(options: argparse.Namespace) -> int:
    """Ask for it, or for what it would do."""
    answer = asking.answer_to(
        options,
        "decommission",
        name=options.name,
        confirm=options.confirm,
        check=options.check,
        keep_account=options.keep_account,
    )
    if options.json:
        asking.print_json(answer)
        return Exit.OK
    print("\n".join(consequences(read(answer, DecommissionShape))))
    if not options.check:
        print(f"{printable(options.name)}: its end has begun; see nfcertd status")
    return Exit.OK
