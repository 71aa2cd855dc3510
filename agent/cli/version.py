"""`nfcertd version`: of this program, and of the daemon if there is one."""

import argparse

from agent import __version__
from agent.cli import asking
from agent.cli.exits import Exit
from agent.cli.text import printable
from agent.control.verbs import ControlError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options."""
    asking.add_runtime(parser)


def run(options: argparse.Namespace) -> int:
    """Show both; a daemon that cannot be asked is no failure."""
    print(f"nfcertd {__version__}")
    try:
        answer = asking.answer_to(options, "version")
    except ControlError as error:
        print(f"daemon: {printable(str(error))}")
    else:
        print(f"daemon: {printable(str(answer.get('version', 'unknown')))}")
    return Exit.OK
