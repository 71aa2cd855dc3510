"""When a certificate is renewed: everything relative to its life, drawn once."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.renewal.plan import Rule, emergency_margin, plan
from tests.vectors.records import DAY, NOW, issuance

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("life", "configured", "draw", "after", "rule", "margin"),
    [
        (90 * DAY, None, 0.0, 60 * DAY, Rule.TWO_THIRDS, 4.5 * DAY),
        (90 * DAY, None, 1.0, 55.5 * DAY, Rule.TWO_THIRDS, 4.5 * DAY),
        (10 * DAY, None, 0.0, 5 * DAY, Rule.HALF, 12 * HOUR),
        (12 * DAY, None, 0.0, 8 * DAY, Rule.TWO_THIRDS, 14.4 * HOUR),
        (DAY, None, 0.0, 12 * HOUR, Rule.HALF, 72 * MINUTE),
        (DAY, None, 0.5, 12 * HOUR - 36 * MINUTE, Rule.HALF, 72 * MINUTE),
        (HOUR, None, 0.0, 30 * MINUTE, Rule.HALF, 15 * MINUTE),
        (90 * DAY, 0.8, 0.0, 72 * DAY, Rule.CONFIGURED, 4.5 * DAY),
        (90 * DAY, 0.1, 1.0, 4.5 * DAY, Rule.CONFIGURED, 4.5 * DAY),
        (90 * DAY, 0.95, 0.0, 85.5 * DAY, Rule.CONFIGURED, 4.5 * DAY),
        (HOUR, 0.95, 0.0, 45 * MINUTE, Rule.EMERGENCY, 15 * MINUTE),
        (
            MINUTE,
            None,
            0.0,
            30 * timedelta(seconds=1),
            Rule.HALF,
            15 * timedelta(seconds=1),
        ),
    ],
)
def test_a_renewal_is_planned_by_the_life(
    life: timedelta,
    configured: float | None,
    draw: float,
    after: timedelta,
    rule: Rule,
    margin: timedelta,
) -> None:
    """Two thirds, half of a short life, or as configured; minus the stored draw."""
    subject = issuance(begins=NOW, life=life, draw=draw)
    found = plan(subject, configured)
    assert abs(found.at - (NOW + after)) < timedelta(seconds=2)
    assert found.rule == rule
    assert abs(subject.not_after - margin - found.emergency_at) < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("issued", "pause"),
    [
        (13 * HOUR, 11 * HOUR / 20),
        (23 * HOUR, 3 * MINUTE),
        (23 * HOUR + 50 * MINUTE, MINUTE),
        (24 * HOUR - MINUTE, MINUTE / 2),
        (24 * HOUR, timedelta(0)),
        (30 * HOUR, timedelta(0)),
    ],
)
def test_a_certificate_that_is_due_at_once_is_given_a_pause(
    issued: timedelta, pause: timedelta
) -> None:
    """A CA that backdates, or hands an old one out again, is not asked in a loop."""
    old = replace(issuance(begins=NOW, life=DAY), issued_at=NOW + issued)
    found = plan(old, None)
    assert found.at == NOW + issued + pause
    assert found.rule == Rule.JUST_ISSUED


@pytest.mark.parametrize(
    ("suggested", "hasty", "after", "rule"),
    [
        (10 * DAY, 0, 10 * DAY, Rule.SUGGESTED),
        (80 * DAY, 0, 80 * DAY, Rule.SUGGESTED),
        (85.5 * DAY, 0, 85.5 * DAY, Rule.SUGGESTED),
        (86 * DAY, 0, 85.5 * DAY, Rule.EMERGENCY),
        (-DAY, 0, HOUR, Rule.SUGGESTED),
        (-DAY, 1, 2 * HOUR, Rule.SUGGESTED),
        (-DAY, 5, 32 * HOUR, Rule.SUGGESTED),
        (-DAY, 7, 4.5 * DAY, Rule.SUGGESTED),
        (-DAY, 10_000, 4.5 * DAY, Rule.SUGGESTED),
    ],
)
def test_what_the_ca_suggests_comes_before_our_own_rule(
    suggested: timedelta, hasty: int, after: timedelta, rule: Rule
) -> None:
    """Except in the emergency margin; and a CA in a hurry slows down by itself."""
    subject = replace(issuance(begins=NOW, life=90 * DAY), hasty=hasty)
    found = plan(subject, 0.5, NOW + suggested)
    assert (found.at, found.rule) == (NOW + after, rule)


def test_a_life_that_never_was_is_due() -> None:
    """An end before the beginning is planned without failing."""
    odd = issuance(begins=NOW, life=-DAY)
    assert plan(odd, None).at <= NOW
    assert emergency_margin(timedelta(0)) == timedelta(0)
