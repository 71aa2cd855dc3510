"""How long to wait after a failure: front-loaded, then exponential, then capped.

Pure: the draw that spreads retries is made once by the caller and stored.
"""

from datetime import datetime, timedelta
from typing import Final

from agent.records.job import Disposition, Failure

FIRST: Final = timedelta(minutes=1)
SECOND: Final = timedelta(minutes=10)
LONGEST: Final = timedelta(hours=6)
DAILY: Final = timedelta(days=1)
HOURLY: Final = timedelta(hours=1)
SPREAD: Final = 0.1
AWAITED: Final = timedelta(seconds=10)
"""How often a token or an endpoint, which come back by themselves, is looked for."""

POLL_LONGEST: Final = timedelta(seconds=30)
MIN_POLL: Final = timedelta(seconds=1)
MAX_POLL: Final = timedelta(days=1)


def delay(failures: int, remaining: timedelta | None, draw: float) -> timedelta:
    """Return the wait after the n-th failure in a row.

    1 min, 10 min, then doubling, never more than 6 h nor an eighth of what remains of
    the certificate that is being replaced, never less than 1 min; +-10 % by `draw`.

    Args:
        failures: Failures in a row, from 1.
        remaining: What is left of the certificate in service; None if there is none.
        draw: In [0, 1).
    """
    base = FIRST if failures <= 1 else SECOND * (1 << min(failures - 2, 10))
    cap = LONGEST if remaining is None else max(min(LONGEST, remaining / 8), FIRST)
    return spread(min(base, cap), draw)


def spread(span: timedelta, draw: float) -> timedelta:
    """Return a span, 10 % more or less by a draw in [0, 1)."""
    return span * (1 + SPREAD * (2 * draw - 1))


def next_attempt(
    failure: Failure, failures: int, end: datetime | None, draw: float
) -> datetime:
    """Return the instant before which a failed job is not tried again.

    A peer's Retry-After is never undercut. What needs an operator is tried once a day,
    or at a quarter of what remains where that is sooner.

    Args:
        failure: What happened; its `at` is now.
        failures: Failures in a row, this one included.
        end: When the certificate in service ends; None if there is none.
        draw: In [0, 1).
    """
    remaining = None if end is None else max(end - failure.at, timedelta(0))
    match failure.disposition:
        case Disposition.RETRY_NOW:
            wait = timedelta(0) if failures <= 1 else delay(failures, remaining, draw)
        case Disposition.BACK_OFF:
            wait = delay(failures, remaining, draw)
        case Disposition.NEEDS_OPERATOR:
            cap = DAILY if remaining is None else max(remaining / 4, HOURLY)
            wait = spread(min(DAILY, cap), draw)
        case Disposition.WAIT_UNTIL if failure.retry_at is not None:
            # Spread only to the late side: the peer's instant is a minimum.
            late = SPREAD * draw * (failure.retry_at - failure.at)
            return failure.retry_at + min(late, FIRST)
        case _:
            wait = AWAITED
    at = failure.at + wait
    return at if failure.retry_at is None else max(at, failure.retry_at)


def poll_delay(polls: int, asked: timedelta | None) -> timedelta:
    """Return the wait before the next poll: 1, 2, 4 ... 30 s, or what the CA asked.

    Args:
        polls: Polls so far in this phase.
        asked: The server's Retry-After as a span; clamped to 1 s .. 1 d.
    """
    if asked is not None:
        return min(max(asked, MIN_POLL), MAX_POLL)
    return min(MIN_POLL * (1 << min(polls, 5)), POLL_LONGEST)
