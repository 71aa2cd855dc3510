"""Durations carry their unit; there is nothing that they cannot be added up to."""

from datetime import timedelta

import pytest

from agent.config.units import LONGEST, duration


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0s", timedelta(0)),
        ("250ms", timedelta(milliseconds=250)),
        ("30s", timedelta(seconds=30)),
        ("1m", timedelta(minutes=1)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(days=7)),
        ("1m1m", timedelta(minutes=2)),
        ("36525d", LONGEST),
        ("36526d", LONGEST),
        ("9" * 99 + "w", LONGEST),
        ("9" * 5000 + "w", LONGEST),
        ("0s" * 60, LONGEST),
    ],
)
def test_a_duration_is_a_span(text: str, span: timedelta) -> None:
    """Units add up; what is too long is as long as can be."""
    assert duration(text) == span
