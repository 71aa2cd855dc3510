"""Durations with units, secrets by reference: the small values of the configuration."""

import re
from datetime import timedelta
from typing import Annotated, Final

import msgspec

Duration = Annotated[str, msgspec.Meta(pattern=r"^(\d+(ms|s|m|h|d|w))+$")]
"""Text such as `30s`, `1h30m`, `7d`; a number without a unit is refused."""

SecretReference = Annotated[
    str, msgspec.Meta(pattern=r"^(credential:[A-Za-z0-9._-]+|file:/.+)$")
]
"""`credential:NAME` or `file:/PATH`; a literal secret does not match."""

Program = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)]
"""A program and its arguments; no shell reads them."""

NAME_PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,62}$"
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
"""What a table may be called: it becomes a file name, a label and a metric."""

LONGEST: Final = timedelta(days=36525)
"""A century: what is longer is a mistake, and would not fit into a date."""

_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_TICK: Final = timedelta(microseconds=1)
MAX_DIGITS: Final = 100
"""Characters of a duration; a longer one is not worth adding up."""
_PART: Final = re.compile(r"(\d+)(ms|s|m|h|d|w)")


def duration(text: Duration) -> timedelta:
    """Return the span that a checked duration text names; `LONGEST` where it is more.

    >>> duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    if len(text) > MAX_DIGITS:
        return LONGEST
    parts = [(int(number), _UNITS[unit]) for number, unit in _PART.findall(text)]
    microseconds = sum(n * (unit // _TICK) for n, unit in parts)
    return min(microseconds, LONGEST // _TICK) * _TICK
