"""What a newOrder asks for beyond RFC 8555: named only where the CA offers it.

Servers may ignore what they do not know, which makes silence no consent, and some
refuse it instead: so the directory is asked before, and what was refused is told apart.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from agent.acme.errors import (
    ProblemError,
    ProfileRefusedError,
    ProfileUnavailableError,
    ReplacesRefusedError,
    StarRefusedError,
)
from agent.acme.messages import AutoRenewalMeta, Directory
from agent.acme.problem import printable
from agent.errors import AgentError
from agent.jobs.issue.effects import Extras
from agent.records.star import StarWanted

_ON_REPLACES: Final = frozenset({"alreadyReplaced", "malformed", "unauthorized"})
"""Refusals that can be about `replaces`: only the first one is for certain."""
_ON_STAR: Final = frozenset({"malformed", "unauthorized", "unsupportedIdentifier"})
"""Refusals that can be about `auto-renewal`, which has none of its own for newOrder."""
OF_DURATION: Final = 0.99
"""Part of a CA's longest series that is asked for."""
MAX_SHOWN: Final = 300
"""Characters of a CA's list of profiles that an error repeats."""

Members = dict[str, object]


def members(extras: Extras, directory: Directory, now: datetime) -> Members:
    """Return the further members of a newOrder.

    `replaces` is sent only where renewal information is offered (RFC 9773 section 5), a
    profile only where it is advertised (draft-ietf-acme-profiles section 4), a STAR
    order only where the CA speaks RFC 8739, and within the bounds that it names.

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
    renewal = (
        None if extras.star is None else _auto_renewal(extras.star, directory, now)
    )
    if renewal is not None:
        found["auto-renewal"] = renewal
    return found


def _auto_renewal(wanted: StarWanted, directory: Directory, now: datetime) -> object:
    """Return the member `auto-renewal`; None where the CA offers no such order."""
    try:
        offered = msgspec.convert(directory.meta.auto_renewal, AutoRenewalMeta)
    except msgspec.ValidationError:
        return None
    lifetime = max(wanted.lifetime, offered.min_lifetime)
    # A little less than the bound, which the CA counts by its own clock.
    span = min(wanted.duration, int(offered.max_duration * OF_DURATION))
    if lifetime > span:
        return None
    end = (now + timedelta(seconds=span)).replace(microsecond=0)
    asked = {"end-date": end, "lifetime": lifetime}
    if wanted.adjust:
        asked["lifetime-adjust"] = min(wanted.adjust, lifetime)
    if wanted.get and offered.allow_certificate_get:
        asked["allow-certificate-get"] = True
    return asked


def refusal(error: ProblemError, sent: Members, extras: Extras) -> AgentError:
    """Return what a refused newOrder means, given what was sent beside the names."""
    kind = error.problem.token
    if "replaces" in sent and kind in _ON_REPLACES:
        return ReplacesRefusedError(f"an order that replaces another: {error}")
    if "profile" in sent and kind == "invalidProfile" and not extras.required:
        return ProfileRefusedError(f"an order with a profile: {error}")
    if "auto-renewal" in sent and kind in _ON_STAR:
        return StarRefusedError(f"a star order: {error}")
    return error
