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
    instant = _instant(text)
    if instant is None:
        return None
    return min(max(instant, now), now + MAX_RETRY).astimezone(UTC)


def http_date(value: str | None) -> datetime | None:
    """Return the instant of a Date header (RFC 9110 section 6.6.1); rubbish is None."""
    instant = None if value is None else _instant(value.strip())
    try:
        return None if instant is None else instant.astimezone(UTC)
    except OverflowError:
        return None


def _instant(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def replay_nonce(value: str | None) -> str | None:
    """Return a nonce; an invalid one is ignored (RFC 8555 section 6.5.1)."""
    return value if value and _NONCE.fullmatch(value) else None


def media_type(value: str | None) -> str:
    """Return a media type without its parameters, lower case; empty if absent."""
    return (value or "").partition(";")[0].strip().lower()
