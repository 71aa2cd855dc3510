"""What a newOrder asks for beyond RFC 8555: named only where the CA offers it.

Servers may ignore what they do not know, which makes silence no consent, and some
refuse it instead: so the directory is asked before, and what was refused is told apart.
"""

from typing import Final

from agent.acme.errors import (
    ProblemError,
    ProfileRefusedError,
    ProfileUnavailableError,
    ReplacesRefusedError,
)
from agent.acme.messages import Directory
from agent.acme.problem import printable
from agent.errors import AgentError
from agent.jobs.issue.effects import Extras

_ON_REPLACES: Final = frozenset({"alreadyReplaced", "malformed", "unauthorized"})
"""Refusals that can be about `replaces`: only the first one is for certain."""
MAX_SHOWN: Final = 300
"""Characters of a CA's list of profiles that an error repeats."""

Members = dict[str, object]


def members(extras: Extras, directory: Directory) -> Members:
    """Return the further members of a newOrder.

    `replaces` is sent only where renewal information is offered (RFC 9773 section 5), a
    profile only where it is advertised (draft-ietf-acme-profiles section 4).

    Raises:
        ProfileUnavailableError: A profile is required and not offered.
    """
    found: Members = {}
    if extras.replaces and directory.renewal_info is not None:
        found["replaces"] = extras.replaces
    offered = directory.meta.profiles or {}
    if extras.profile and extras.profile in offered:
        found["profile"] = extras.profile
    elif extras.profile and extras.required:
        known = printable(", ".join(sorted(offered)), MAX_SHOWN) or "none"
        raise ProfileUnavailableError(
            f"the ca offers no profile {extras.profile}; it offers: {known}",
            hint="name one that it offers, or say required = false",
        )
    return found


def refusal(error: ProblemError, sent: Members, extras: Extras) -> AgentError:
    """Return what a refused newOrder means, given what was sent beside the names."""
    kind = error.problem.token
    if "replaces" in sent and kind in _ON_REPLACES:
        return ReplacesRefusedError(f"an order that replaces another: {error}")
    if "profile" in sent and kind == "invalidProfile" and not extras.required:
        return ProfileRefusedError(f"an order with a profile: {error}")
    return error
