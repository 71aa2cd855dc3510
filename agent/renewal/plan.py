"""When a certificate is renewed, and which rule decided.

Everything is relative to the lifetime; nothing here counts in days. The result depends
on the issuance alone (its draw is stored), so asking again never moves it.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from agent.records.certificate import CertificateRecord, Issuance
from agent.records.series import Series

SHORT_LIFE: Final = timedelta(days=10)
JITTER: Final = 0.05
"""Share of the lifetime over which renewals are spread, to the early side."""
TWO_THIRDS: Final = 2 / 3
HALF: Final = 1 / 2
PAUSE: Final = 1 / 20
"""Share of what was left at the issue that passes before the next one, whatever the
dates say: a CA that backdates, or hands an old certificate out again, is not asked in a
loop."""
HASTE: Final = timedelta(hours=1)
"""The longest first pause where the CA itself wants a renewal at once. It doubles with
every renewal that it hurried before, up to the usual pause."""
MAX_DOUBLINGS: Final = 16
LEAST_PAUSE: Final = timedelta(minutes=1)
"""The same in time, unless that is more than half of what was left."""


class Rule(StrEnum):
    """Which rule set the time of a renewal."""

    TWO_THIRDS = "two-thirds"
    HALF = "half-of-a-short-life"
    CONFIGURED = "configured-fraction"
    SUGGESTED = "renewal-information"
    """The CA suggested a window (RFC 9773), and this instant was drawn in it."""
    EMERGENCY = "emergency-margin"
    """The rule above would have begun later than that."""
    SERIES = "before-the-series-ends"
    """The CA renews it by itself (RFC 8739), until then."""
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


def due(record: CertificateRecord, configured: float | None) -> Plan | None:
    """Return when the newest certificate is renewed; None where there is none."""
    if record.current is None:
        return None
    series = record.open_series
    if series is not None:
        return _of_series(record.current, series)
    known = record.suggestion
    return plan(record.current, configured, None if known is None else known.pick)


def _of_series(issuance: Issuance, series: Series) -> Plan:
    """Return when a series is ordered again: two lives, or half of it, before its end.

    An emergency is that it brings no certificate in time.
    """
    terms = series.terms
    early = min(2 * terms.life, max(terms.end - series.since, timedelta(0)) / 2)
    life = max(issuance.not_after - issuance.not_before, timedelta(0))
    emergency_at = issuance.not_after - emergency_margin(life)
    return Plan(terms.end - early, Rule.SERIES, emergency_at)


def plan(
    issuance: Issuance, configured: float | None, suggested: datetime | None = None
) -> Plan:
    """Return when an issuance is renewed.

    At the instant that was drawn in the CA's suggested window; without one at two
    thirds of the lifetime (TR 33.876), at half of a life of at most 10 days, or at the
    configured fraction; minus a stored jitter of up to 5 % of the lifetime. The
    lifetime ends at the earliest end in the chain. Never later than the emergency
    margin, never sooner than a pause after the issue.
    """
    life = max(issuance.not_after - issuance.not_before, timedelta(0))
    at, rule = _by_life(issuance, configured, life)
    if suggested is not None:
        at, rule = suggested, Rule.SUGGESTED
    emergency_at = issuance.not_after - emergency_margin(life)
    if emergency_at < at:
        at, rule = emergency_at, Rule.EMERGENCY
    hurried = rule is Rule.SUGGESTED
    soonest = issuance.issued_at + (hasty_pause if hurried else usual_pause)(issuance)
    if at < soonest:
        at = soonest
        rule = rule if hurried else Rule.JUST_ISSUED
    return Plan(at, rule, emergency_at)


def _by_life(
    issuance: Issuance, configured: float | None, life: timedelta
) -> tuple[datetime, Rule]:
    if configured is not None:
        fraction, rule = configured, Rule.CONFIGURED
    elif life <= SHORT_LIFE:
        fraction, rule = HALF, Rule.HALF
    else:
        fraction, rule = TWO_THIRDS, Rule.TWO_THIRDS
    return issuance.not_before + life * (fraction - JITTER * issuance.draw), rule


def usual_pause(issuance: Issuance) -> timedelta:
    """Return how long an issuance is kept whatever its dates say."""
    left = max(issuance.not_after - issuance.issued_at, timedelta(0))
    return max(left * PAUSE, min(LEAST_PAUSE, left / 2))


def hasty_pause(issuance: Issuance) -> timedelta:
    """Return how long an issuance is kept where the CA wants it renewed.

    A CA that revokes what it issued by mistake says so by a window in the past, and is
    obeyed soon; one that says so of every certificate is not asked in a loop.
    """
    usual = usual_pause(issuance)
    return min(usual, HASTE * (1 << min(issuance.hasty, MAX_DOUBLINGS)))


def emergency_margin(life: timedelta) -> timedelta:
    """Return how much life must remain for it to be no emergency."""
    return min(max(life / 20, timedelta(hours=1)), life / 4)
