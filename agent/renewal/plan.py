"""When a certificate is renewed, and which rule decided.

Everything is relative to the lifetime; nothing here counts in days. The result depends
on the issuance alone (its draw is stored), so asking again never moves it.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from agent.records.certificate import Issuance

SHORT_LIFE: Final = timedelta(days=10)
JITTER: Final = 0.05
"""Share of the lifetime over which renewals are spread, to the early side."""
TWO_THIRDS: Final = 2 / 3
HALF: Final = 1 / 2


class Rule(StrEnum):
    """Which rule set the time of a renewal."""

    TWO_THIRDS = "two-thirds"
    HALF = "half-of-a-short-life"
    CONFIGURED = "configured-fraction"


class Plan(NamedTuple):
    """When the next renewal begins.

    Attributes:
        at: The instant.
        rule: Which rule set it.
        emergency_at: From here on our own back-off no longer holds.
    """

    at: datetime
    rule: Rule
    emergency_at: datetime


def plan(issuance: Issuance, configured: float | None) -> Plan:
    """Return when an issuance is renewed.

    At two thirds of the lifetime (TR 33.876), at half of a life of at most 10 days, or
    at the configured fraction; minus a stored jitter of up to 5 % of the lifetime. The
    lifetime ends at the earliest end in the chain.
    """
    life = max(issuance.not_after - issuance.not_before, timedelta(0))
    if configured is not None:
        fraction, rule = configured, Rule.CONFIGURED
    elif life <= SHORT_LIFE:
        fraction, rule = HALF, Rule.HALF
    else:
        fraction, rule = TWO_THIRDS, Rule.TWO_THIRDS
    at = issuance.not_before + life * (fraction - JITTER * issuance.draw)
    return Plan(at, rule, issuance.not_after - emergency_margin(life))


def emergency_margin(life: timedelta) -> timedelta:
    """Return how much life must remain for it to be no emergency."""
    return min(max(life / 20, timedelta(hours=1)), life / 4)
