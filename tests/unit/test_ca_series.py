"""The spans of a series of short-term certificates (RFC 8739 3.5)."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.ca.series import AutoRenewal, Schedule, Terms

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def january(day: int) -> datetime:
    """Return a day of January 2019."""
    return datetime(2019, 1, day, tzinfo=UTC)


def test_the_dates_are_those_of_the_example() -> None:
    """RFC 8739 3.5: four days, back-dated by three, from the 10th to the 20th."""
    terms = Terms(
        start=january(10), end=january(20), lifetime=4 * DAY, adjust=3 * DAY, get=None
    )
    schedule = Schedule(first=january(10), terms=terms)
    spans = [schedule.validity(number) for number in range(schedule.last + 1)]
    assert [(s.start, s.end) for s in spans] == [
        (january(10), january(14)),
        (january(11), january(18)),
        (january(15), january(20)),
    ]


@pytest.mark.parametrize("adjust", [None, 0, 1, 3, 4, 9])
@pytest.mark.parametrize("fraction", [0.5, 0.75, 0.99])
def test_the_next_is_there_and_valid_at_half_the_life(
    adjust: int | None, fraction: float
) -> None:
    """At each change of the URL: the old one is good for half a lifetime more."""
    terms = Terms(
        start=None,
        end=START + 41 * DAY,
        lifetime=4 * DAY,
        adjust=None if adjust is None else adjust * DAY,
        get=None,
    )
    schedule = Schedule(first=START, terms=terms, fraction=fraction)
    seen = 0
    for hour in range(41 * 24):
        now = START + timedelta(hours=hour)
        number = schedule.current(now)
        assert number - seen in {0, 1}
        assert schedule.validity(number).start <= now < schedule.validity(number).end
        if number > seen:
            assert schedule.validity(seen).end - now >= 2 * DAY
        seen = number
    assert seen == schedule.last == 10
    assert schedule.validity(seen).end == terms.end


@pytest.mark.parametrize("fraction", [0.4, 1.0])
def test_a_fraction_keeps_the_promise_of_half_a_life(fraction: float) -> None:
    """RFC 8739 3.5: at least a half, less than one."""
    with pytest.raises(ValueError, match="half"):
        AutoRenewal(fraction=fraction)
