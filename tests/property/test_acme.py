"""Properties of what a CA sends: any octets are understood or refused, in one way."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.acme.errors import ProtocolError
from agent.acme.headers import MAX_RETRY, media_type, replay_nonce, retry_after
from agent.acme.messages import (
    AccountObject,
    Authorization,
    Directory,
    Order,
    OrderList,
    decode,
    is_token,
)
from agent.acme.problem import MAX_PARTS, MAX_TEXT, parse_problem

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MEMBERS = [
    "status",
    "finalize",
    "authorizations",
    "identifiers",
    "identifier",
    "challenges",
    "expires",
    "type",
    "value",
    "url",
    "token",
    "error",
    "detail",
    "subproblems",
    "newNonce",
    "newAccount",
    "newOrder",
    "meta",
    "orders",
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["https://x/y", "http://x", "2026-01-01T00:00:00Z", "pending"]),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=8),
    ),
    max_leaves=20,
).map(msgspec.json.encode)
BODIES = st.one_of(st.binary(max_size=200), JSON)


@pytest.mark.parametrize(
    "kind", [Directory, AccountObject, Order, OrderList, Authorization]
)
@given(body=BODIES)
def test_a_body_is_a_resource_or_a_protocol_error(kind: Any, body: bytes) -> None:
    """Nothing else is raised; instants that come through can be compared with ours."""
    message, resource = "", None
    try:
        resource = decode(body, kind, "thing")
    except ProtocolError as error:
        message = str(error)
    assert message.isprintable()
    expires = getattr(resource, "expires", None)
    assert expires is None or (expires < NOW) in {True, False}


@given(BODIES, st.integers(400, 599))
def test_an_error_body_is_always_a_problem(body: bytes, status: int) -> None:
    """Printable, bounded, and never an exception."""
    text = parse_problem(body, status).describe()
    assert text.isprintable()
    assert len(text) <= (MAX_PARTS + 1) * (MAX_TEXT + 10)


DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "X"]),
    st.integers(0, 40),
    st.sampled_from(["Jan", "Feb", "Foo"]),
    st.integers(0, 12000),
    st.integers(0, 30),
    st.integers(0, 70),
    st.integers(0, 70),
    st.sampled_from(["GMT", "+0200", "-9999", "+2400", "XYZ", ""]),
)


@given(st.one_of(st.none(), st.text(max_size=40), st.integers().map(str), DATES))
def test_retry_after_is_ahead_or_nothing(value: str | None) -> None:
    """Never in the past, never further than the bound, never an exception."""
    instant = retry_after(value, NOW)
    assert instant is None or NOW <= instant <= NOW + MAX_RETRY


@given(st.text(max_size=40))
def test_nonces_and_tokens_have_one_alphabet(text: str) -> None:
    """What passes is ASCII without anything that a header or a path would mind."""
    allowed = bool(text) and all(
        c.isascii() and (c.isalnum() or c in "-_") for c in text
    )
    assert (replay_nonce(text) == text) is allowed
    assert is_token(text) is allowed
    assert media_type(text) == media_type(text).strip()
