"""Response headers: Retry-After, Replay-Nonce, media types."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urljoin

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{1,4096}")
_SECONDS: Final = re.compile(r"\d{1,12}")
MAX_LINKS_TEXT: Final = 16384
"""Characters of Link headers that are looked at."""
MAX_LINKS: Final = 16
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf';[ \t]*({_WORD})[ \t]*(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD})))?[ \t]*'
)
_LINK: Final = re.compile(rf"<([^<>]*)>[ \t]*((?:{_PARAMETER.pattern})*)")
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


def links(value: str | None, relation: str, base: str) -> tuple[str, ...]:
    """Return the targets of the links of one relation (RFC 8288 section 3).

    Args:
        value: The Link header; of several, joined by commas (RFC 9110 section 5.2).
        relation: The relation type, lower case.
        base: The URL of the resource, which relative targets are resolved against.
    """
    found: list[str] = []
    for match in _LINK.finditer((value or "")[:MAX_LINKS_TEXT]):
        target, parameters = match.group(1).strip(), match.group(2)
        relations = [r for n, r in _parameters(parameters) if n == "rel"][:1]
        # "occurrences after the first MUST be ignored by parsers" (section 3.3)
        if any(relation in r.lower().split() for r in relations):
            resolved = _resolved(base, target)
            if resolved and resolved not in found:
                found.append(resolved)
    return tuple(found[:MAX_LINKS])


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for match in _PARAMETER.finditer(text):
        quoted = match.group(2)
        plain = match.group(3) or ""
        yield (
            match.group(1).lower(),
            plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted),
        )


def _resolved(base: str, target: str) -> str:
    """Return an absolute https URL; empty for what is none."""
    try:
        url = urljoin(base, target)
    except ValueError:
        return ""
    return url if re.fullmatch(r"https://[!-~]{1,4088}", url) else ""


def replay_nonce(value: str | None) -> str | None:
    """Return a nonce; an invalid one is ignored (RFC 8555 section 6.5.1)."""
    return value if value and _NONCE.fullmatch(value) else None


def media_type(value: str | None) -> str:
    """Return a media type without its parameters, lower case; empty if absent."""
    return (value or "").partition(";")[0].strip().lower()
