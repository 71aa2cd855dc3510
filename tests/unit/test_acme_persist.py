"""The standing record of dns-persist-01: what is written, and what is good enough."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.acme.persist import (
    Permission,
    are_issuers,
    permits,
    permitted,
    record_name,
    record_value,
)

ACCOUNT = "https://ca.example/acme/acct/123"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = int(NOW.timestamp()) + 60
PLAIN = Permission(("ca.example", "ca2.example"), ACCOUNT, wildcard=False)
WILD = PLAIN._replace(wildcard=True)
GOOD = f"ca.example; accounturi={ACCOUNT}"


def test_the_record_is_where_and_what_the_draft_says() -> None:
    """For the first issuer, with the policy and the end where they are wanted."""
    until = datetime.fromtimestamp(LATER, UTC)
    assert record_name("web.example") == "_validation-persist.web.example"
    assert record_value(PLAIN) == GOOD
    assert record_value(WILD, until) == (
        f"{GOOD}; policy=wildcard; persistUntil={LATER}"
    )


@pytest.mark.parametrize(
    ("value", "plain", "wild"),
    [
        (GOOD, True, False),
        (f"{GOOD}; policy=wildcard", True, True),
        (f"{GOOD};POLICY=Wildcard", True, True),
        (f"{GOOD}; policy=other", True, False),
        (f"CA2.Example;accounturi={ACCOUNT}", True, False),
        (f"  ca.example ;  accounturi = {ACCOUNT} ; ", True, False),
        (f"{GOOD}; persistUntil={LATER}; policy=wildcard", True, True),
        (f"{GOOD}; persistuntil={LATER - 60}", False, False),
        (f"{GOOD}; persistUntil={'9' * 400}", True, False),
        (f"{GOOD}; persistUntil=soon", False, False),
        (f"{GOOD}; persistUntil=", False, False),
        (f"{GOOD}; new=thing", True, False),
        (f"{GOOD}; accounturi={ACCOUNT}", False, False),
        (f"{GOOD}; policy=wildcard; policy=x", False, False),
        (f"{GOOD}/4", False, False),
        (f"{GOOD.upper()}", False, False),
        (f"other.example; accounturi={ACCOUNT}", False, False),
        ("ca.example", False, False),
        (f"accounturi={ACCOUNT}", False, False),
        (f"ca.example accounturi={ACCOUNT}", False, False),
        (f"{GOOD}; policy wildcard", False, False),
        (f"{GOOD}; po-licy=wildcard", False, False),
        ("", False, False),
    ],
)
def test_a_value_permits_or_not(value: str, plain: bool, wild: bool) -> None:
    """The account octet for octet, the rest as RFC 8659 section 4.2 has it."""
    assert permits(value, PLAIN, NOW) is plain
    assert permits(value, WILD, NOW) is wild


def test_one_good_value_among_others_is_enough() -> None:
    """Other CAs and other accounts have values at the same name."""
    assert permitted(["v=spf1 -all", "", GOOD], PLAIN, NOW)
    assert not permitted([], PLAIN, NOW)


@pytest.mark.parametrize(
    ("names", "good"),
    [
        (("ca.example",), True),
        (("xn--bcher-kva.example", "b.example"), True),
        (tuple(f"ca{n}.example" for n in range(10)), True),
        (tuple(f"ca{n}.example" for n in range(11)), False),
        ((), False),
        (("",), False),
        (("CA.example",), False),
        (("ca.example.",), False),
        (("ca.example", "b\u00fccher.example"), False),
        (('ca.example"; accounturi=x',), False),
        (("ca.example\n",), False),
        (("a" * 64,), False),
        ((".".join(["a" * 60] * 5),), False),
    ],
)
def test_issuers_are_lower_case_names(names: tuple[str, ...], good: bool) -> None:
    """Anything else would be text of somebody's choosing in our zone."""
    assert are_issuers(names) is good


@given(st.booleans(), st.none() | st.integers(1, 10**9))
def test_what_we_write_is_good_enough(wildcard: bool, life: int | None) -> None:
    """A record of ours permits what it was written for."""
    wanted = PLAIN._replace(wildcard=wildcard)
    until = None if life is None else datetime.fromtimestamp(LATER + life, UTC)
    assert permits(record_value(wanted, until), wanted, NOW)


@given(st.text(max_size=80))
def test_any_text_is_judged(text: str) -> None:
    """Whatever stands in a zone."""
    assert permits(text, PLAIN, NOW) is False
    permits(f"{GOOD};{text}", WILD, NOW)
