"""Response headers: Retry-After, Replay-Nonce, media types."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,4096}")
_SECONDS: Final = re.compile(r"\d{1,12}")
MAX_RETRY: Final = timedelta(days=400)
"""A later instant is a mistake of the server; it also keeps arithmetic in range."""


def retry_after(value: str | None, now: datetime) -> datetime | None:
    """Return the instant that a Retry-After header names (RFC 9110 section 10.2.3).

    Both forms are read; an instant in the past is `now`; rubbish is None. The result is
    UTC, whatever zone the header names.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return now + min(timedelta(seconds=int(text)), MAX_RETRY)
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return min(max(instant, now), now + MAX_RETRY).astimezone(UTC)


def replay_nonce(value: str | None) -> str | None:
    """Return a nonce; an invalid one is ignored (RFC 8555 section 6.5.1)."""
    return value if value and _NONCE.fullmatch(value) else None


def media_type(value: str | None) -> str:
    """Return a media type without its parameters, lower case; empty if absent."""
    return (value or "").partition(";")[0].strip().lower()
