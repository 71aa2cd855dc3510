"""What a newOrder asks for beyond RFC 8555: named only where the CA offers it.

"Servers MUST ignore unknown fields" makes silence no consent, and some refuse them
instead: so the directory is asked before, and what was refused is told apart.
"""

from typing import Final

from agent.acme.errors import ProblemError, ReplacesRefusedError
from agent.acme.messages import Directory
from agent.errors import AgentError
from agent.jobs.issue.effects import Extras

_ON_REPLACES: Final = frozenset({"alreadyReplaced", "malformed", "unauthorized"})
"""Refusals that can be about `replaces`: only the first one is for certain."""

Members = dict[str, object]


def members(extras: Extras, directory: Directory) -> Members:
    """Return the further members of a newOrder.

    `replaces` is sent only where renewal information is offered (RFC 9773 section 5).
    """
    found: Members = {}
    if extras.replaces and directory.renewal_info is not None:
        found["replaces"] = extras.replaces
    return found


def refusal(error: ProblemError, sent: Members) -> AgentError:
    """Return what a refused newOrder means, given what was sent beside the names."""
    if "replaces" in sent and error.problem.token in _ON_REPLACES:
        return ReplacesRefusedError(f"an order that replaces another: {error}")
    return error
