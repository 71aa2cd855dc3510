"""The exit codes that the package's docstring promises, and which error has which."""

from enum import IntEnum
from typing import Final

from agent.errors import AgentError


class Exit(IntEnum):
    """What the process says when it ends."""

    OK = 0
    NOT_WELL = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    INVALID = 5
    FAILED = 6


_BY_KIND: Final = {
    "config": Exit.INVALID,
    "control.refused": Exit.REFUSED,
    "control.later": Exit.NOT_WELL,
    "control.unreachable": Exit.UNREACHABLE,
}


def exit_of(error: AgentError) -> Exit:
    """Return the exit code of an error."""
    return _BY_KIND.get(error.kind, Exit.FAILED)
