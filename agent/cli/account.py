"""`nfcertd account`: replace the key of an account, or give the account up."""

import argparse

from agent.cli import asking
from agent.cli.exits import Exit
from agent.cli.text import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is done to which account."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    roll = actions.add_parser("roll", help="replace its key now (RFC 8555 7.3.5)")
    roll.add_argument("--cancel", action="store_true", help="do not, after all")
    end = actions.add_parser("deactivate", help="give it up at the ca, for good")
    asking.add_confirmation(end)
    for action in (roll, end):
        asking.add_runtime(action)
        action.add_argument("name", help="name of the account in the configuration")


def run(options: argparse.Namespace) -> int:
    """Ask for it."""
    name = options.name
    if options.action == "roll":
        asking.answer_to(options, "account-roll", name=name, cancel=options.cancel)
        outcome = "not replaced" if options.cancel else "its key is being replaced"
    else:
        confirm = options.confirm
        asking.answer_to(options, "account-deactivate", name=name, confirm=confirm)
        outcome = "is being given up, see nfcertd accounts"
    print(f"{printable(name)}: {outcome}")
    return Exit.OK
