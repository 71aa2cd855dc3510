"""Which profile an order has (draft-ietf-acme-profiles).

Knows the profiles that are advertised and the one that is chosen for whoever asks for
none. Does not know what a profile puts into certificates.
"""

from collections.abc import Mapping

from tests.ca.config import Config
from tests.ca.problems import refusal


def advertised(config: Config) -> dict[str, str]:
    """Return the member `profiles` of the directory's meta."""
    return {name: f"https://ca.example/profiles/{name}" for name in config.profiles}


def chosen(config: Config, request: Mapping[str, object]) -> str:
    """Return the profile of a new order; empty where this CA has none.

    An unknown one is refused with `invalidProfile`; a CA without profiles ignores the
    member, as it ignores everything that it does not know.
    """
    if not config.profiles:
        return ""
    name = request.get("profile", config.default_profile)
    if name in config.rejected_profiles or (name and name not in config.profiles):
        raise refusal("invalidProfile", "there is no such profile")
    return str(name)
