"""What follows when a CA has revoked a certificate that nobody here gave up."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

LONGEST: Final = timedelta(hours=1)
SHORTEST: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)


class Consequence(StrEnum):
    """What is done about a revocation from outside."""

    REPLACE = "replace"
    """A new certificate with a new key is ordered at once."""
    STOP = "stop"
    """Nothing is ordered: the CA would not, or should not, issue it again."""


CONSEQUENCES: Final[Mapping[str, Consequence]] = {
    "unspecified": Consequence.REPLACE,
    "keyCompromise": Consequence.REPLACE,
    "cACompromise": Consequence.REPLACE,
    "affiliationChanged": Consequence.STOP,
    "superseded": Consequence.REPLACE,
    "cessationOfOperation": Consequence.STOP,
    "certificateHold": Consequence.STOP,
    "removeFromCRL": Consequence.REPLACE,
    "privilegeWithdrawn": Consequence.STOP,
    "aACompromise": Consequence.REPLACE,
}
"""The one table; it knows every reason code."""


def check_interval(life: timedelta) -> timedelta:
    """Return how often the status of a certificate is asked for.

    A twentieth of its lifetime, at most an hour, at least a minute.
    """
    return max(min(LONGEST, life / 20), SHORTEST)


def patience(life: timedelta) -> timedelta:
    """Return for how long a status may be unknown before it is an alarm."""
    return min(DAY, life / 10)


def replacement_pause(life: timedelta) -> timedelta:
    """Return how far apart two replacements of revoked certificates are."""
    return life / 4
