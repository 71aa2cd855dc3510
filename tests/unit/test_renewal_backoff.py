"""How long a failed job waits, and how polls are spaced."""

from datetime import datetime, timedelta

import pytest

from agent.records.job import Disposition
from agent.renewal.backoff import AWAITED, DAILY, delay, next_attempt, poll_delay
from tests.vectors.records import DAY, NOW, failure

SECOND = timedelta(seconds=1)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MIDDLE = 0.5
RETRY_NOW, BACK_OFF = Disposition.RETRY_NOW, Disposition.BACK_OFF
WAIT_UNTIL, OPERATOR = Disposition.WAIT_UNTIL, Disposition.NEEDS_OPERATOR


@pytest.mark.parametrize(
    ("failures", "remaining", "wait"),
    [
        (0, None, MINUTE),
        (1, None, MINUTE),
        (2, None, 10 * MINUTE),
        (3, None, 20 * MINUTE),
        (4, None, 40 * MINUTE),
        (7, None, 320 * MINUTE),
        (8, None, 6 * HOUR),
        (10_000, None, 6 * HOUR),
        (8, 90 * DAY, 6 * HOUR),
        (8, 8 * HOUR, HOUR),
        (8, 4 * MINUTE, MINUTE),
        (1, 4 * MINUTE, MINUTE),
        (8, timedelta(0), MINUTE),
    ],
)
def test_back_off_is_front_loaded_and_capped(
    failures: int, remaining: timedelta | None, wait: timedelta
) -> None:
    """Its middle is in the table; the draw moves it by a tenth either way."""
    assert delay(failures, remaining, MIDDLE) == wait
    assert delay(failures, remaining, 0.0) == wait * 0.9


@pytest.mark.parametrize(
    ("disposition", "failures", "retry_after", "end", "wait"),
    [
        (RETRY_NOW, 1, None, None, timedelta(0)),
        (RETRY_NOW, 2, None, None, 10 * MINUTE),
        (RETRY_NOW, 1, HOUR, None, HOUR),
        (BACK_OFF, 1, None, None, MINUTE),
        (BACK_OFF, 8, None, NOW + 8 * HOUR, HOUR),
        (BACK_OFF, 8, None, NOW - DAY, MINUTE),
        (BACK_OFF, 1, HOUR, None, HOUR),
        (OPERATOR, 1, None, None, DAILY),
        (OPERATOR, 9, None, NOW + 8 * HOUR, 2 * HOUR),
        (OPERATOR, 1, None, NOW + HOUR, HOUR),
        (OPERATOR, 1, 3 * DAY, None, 3 * DAY),
        (WAIT_UNTIL, 1, None, None, AWAITED),
        (WAIT_UNTIL, 1, HOUR, None, HOUR + MINUTE),
        (WAIT_UNTIL, 1, 100 * SECOND, None, 105 * SECOND),
    ],
)
def test_the_next_attempt(
    disposition: Disposition,
    failures: int,
    retry_after: timedelta | None,
    end: datetime | None,
    wait: timedelta,
) -> None:
    """Each disposition has its wait; a Retry-After is a minimum of all of them."""
    retry_at = None if retry_after is None else NOW + retry_after
    failed = failure(disposition=disposition, retry_at=retry_at)
    assert next_attempt(failed, failures, end, MIDDLE) == NOW + wait


@pytest.mark.parametrize(
    ("polls", "asked", "wait"),
    [
        (0, None, 1),
        (1, None, 2),
        (4, None, 16),
        (5, None, 30),
        (3000, None, 30),
        (0, timedelta(seconds=7), 7),
        (0, timedelta(0), 1),
        (0, timedelta(days=-1), 1),
        (9, timedelta(days=3), 86400),
    ],
)
def test_polls_are_spaced(polls: int, asked: timedelta | None, wait: int) -> None:
    """1, 2, 4 to 30 seconds, or as the CA asked within a second and a day."""
    assert poll_delay(polls, asked) == wait * SECOND
