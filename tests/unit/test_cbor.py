"""CBOR of attestation objects: the octets of RFC 8949, and what the CA reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.acme import cbor
from tests.ca import cbor as reader


@pytest.mark.parametrize(
    ("value", "hexadecimal"),
    [
        # RFC 8949 appendix A
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (100, "1864"),
        (1000, "1903e8"),
        (1000000, "1a000f4240"),
        (18446744073709551615, "1bffffffffffffffff"),
        (-1, "20"),
        (-100, "3863"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("IETF", "6449455446"),
        ("ü", "62c3bc"),
        ([], "80"),
        ([1, [2, 3]], "8201820203"),
        ({}, "a0"),
        # algorithms of COSE
        (-7, "26"),
        (-257, "390100"),
        (-65535, "39fffe"),
        # WebAuthn: shorter keys first
        ({"attStmt": {}, "fmt": "step"}, "a263666d7464737465706761747453746d74a0"),
        (b"x" * 256, "590100" + "78" * 256),
    ],
)
def test_values_have_the_octets_of_the_standard(
    value: cbor.Value, hexadecimal: str
) -> None:
    """The shortest form of each."""
    assert cbor.encode(value).hex() == hexadecimal


VALUES = st.recursive(
    st.integers(-(1 << 64), (1 << 64) - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(VALUES)
def test_whatever_is_written_is_read_by_the_ca(value: cbor.Value) -> None:
    """By a reader that shares no code with the writer."""
    try:
        assert reader.decode(cbor.encode(value)) == value
    except ValueError as error:
        assert "too deep" in str(error)  # noqa: PT017 -- its only limit


def test_an_integer_beyond_64_bits_is_refused() -> None:
    """It would need a tag, which nobody expects here."""
    with pytest.raises(ValueError, match="64 bits"):
        cbor.encode(1 << 64)


@pytest.mark.parametrize(
    "data", ["", "18", "4401", "9f01ff", "0000", "a10102a1", "c000", "a201010101", "f4"]
)
def test_the_ca_reads_nothing_else(data: str) -> None:
    """Cut off, indefinite, more than one value, tags, a key twice, simple values."""
    with pytest.raises(ValueError, match=r"."):
        reader.decode(bytes.fromhex(data))
