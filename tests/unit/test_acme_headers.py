"""Headers of a CA: what is usable, and what is rubbish."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.acme.headers import (
    MAX_RETRY,
    http_date,
    media_type,
    replay_nonce,
    retry_after,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (None, None),
        ("", None),
        ("120", NOW + timedelta(minutes=2)),
        (" 120 ", NOW + timedelta(minutes=2)),
        ("0", NOW),
        ("999999999999", NOW + MAX_RETRY),
        ("9999999999999", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 01 Mar 2026 12:30:00 GMT", NOW + timedelta(minutes=30)),
        ("Sun, 01 Mar 2026 14:30:00 +0200", NOW + timedelta(minutes=30)),
        ("Sunday, 01-Mar-26 12:30:00 GMT", NOW + timedelta(minutes=30)),
        ("Sun Mar  1 12:30:00 2026", NOW + timedelta(minutes=30)),
        ("Sun, 01 Mar 2020 12:30:00 GMT", NOW),
        ("Fri, 31 Dec 9999 23:59:59 GMT", NOW + MAX_RETRY),
        ("Fri, 31 Dec 9999 23:59:59 -2359", NOW + MAX_RETRY),
        ("Sun, 32 Mar 2026 12:30:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, instant: datetime | None) -> None:
    """Seconds or a date (RFC 9110 section 10.2.3), bounded, never past, always UTC."""
    found = retry_after(value, NOW)
    assert found == instant
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "nonce"),
    [
        (None, None),
        ("", None),
        ("oFvnlFP1wIhRlYS2jTaXbA", "oFvnlFP1wIhRlYS2jTaXbA"),
        ("with_-both", "with_-both"),
        ("padded=", None),
        ("a b", None),
        ("a\n", None),
        ("x" * 4096, "x" * 4096),
        ("x" * 4097, None),
    ],
)
def test_replay_nonce(value: str | None, nonce: str | None) -> None:
    """Only base64url (RFC 8555 section 6.5.1); what is not is ignored."""
    assert replay_nonce(value) == nonce


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, ""),
        ("application/JSON; charset=utf-8", "application/json"),
        (" text/html ", "text/html"),
    ],
)
def test_media_type(value: str | None, kind: str) -> None:
    """Parameters and case do not matter."""
    assert media_type(value) == kind


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("Sun, 01 Mar 2026 12:00:00 GMT", NOW),
        ("Sun, 01 Mar 2026 13:00:00 +0100", NOW),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
    ],
)
def test_a_date_is_an_instant_or_nothing(
    value: str | None, instant: datetime | None
) -> None:
    """What cannot be an instant of ours says nothing of the CA's clock."""
    assert http_date(value) == instant
