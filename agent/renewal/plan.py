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
PAUSE: Final = 1 / 20
"""Share of what was left at the issue that passes before the next one, whatever the
dates say: a CA that backdates, or hands an old certificate out again, is not asked in a
loop."""
LEAST_PAUSE: Final = timedelta(minutes=1)
"""The same in time, unless that is more than half of what was left."""


class Rule(StrEnum):
    """Which rule set the time of a renewal."""

    TWO_THIRDS = "two-thirds"
    HALF = "half-of-a-short-life"
    CONFIGURED = "configured-fraction"
    EMERGENCY = "emergency-margin"
    """The rule above would have begun later than that."""
    JUST_ISSUED = "pause-after-issue"
    """The rule above would have begun as soon as it was issued."""


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
    lifetime ends at the earliest end in the chain. Never later than the emergency
    margin, never sooner than a pause after the issue.
    """
    life = max(issuance.not_after - issuance.not_before, timedelta(0))
    if configured is not None:
        fraction, rule = configured, Rule.CONFIGURED
    elif life <= SHORT_LIFE:
        fraction, rule = HALF, Rule.HALF
    else:
        fraction, rule = TWO_THIRDS, Rule.TWO_THIRDS
    at = issuance.not_before + life * (fraction - JITTER * issuance.draw)
    emergency_at = issuance.not_after - emergency_margin(life)
    if emergency_at < at:
        at, rule = emergency_at, Rule.EMERGENCY
    left = max(issuance.not_after - issuance.issued_at, timedelta(0))
    soonest = issuance.issued_at + max(left * PAUSE, min(LEAST_PAUSE, left / 2))
    if at < soonest:
        at, rule = soonest, Rule.JUST_ISSUED
    return Plan(at, rule, emergency_at)


def emergency_margin(life: timedelta) -> timedelta:
    """Return how much life must remain for it to be no emergency."""
    return min(max(life / 20, timedelta(hours=1)), life / 4)
