"""Any octets are a chain or a `ChainError`; so is every damaged certificate."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from agent.acme.identifiers import identifiers
from agent.pki.chain import ChainError, check_chain, parse_anchors
from tests.vectors.chains import LEAF, NAME, NOW, chain, pem, spki

LEAF_CERTIFICATE, MIDDLE, ROOT = chain()
DERS = [c.public_bytes(Encoding.DER) for c in (LEAF_CERTIFICATE, MIDDLE, ROOT)]


def check(body: bytes, anchors: Any = (ROOT,)) -> None:
    """Check a chain; anything but acceptance or `ChainError` fails the test."""
    message, found = "", None
    try:
        found = check_chain(
            body,
            public=spki(LEAF.key),
            identifiers=identifiers([NAME]),
            anchors=anchors,
            now=NOW,
        )
    except ChainError as error:
        message = str(error)
    assert message.isprintable()
    assert found is None or found.not_before <= NOW <= found.not_after


def block(der: bytes) -> bytes:
    """Return DER as a PEM block."""
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


@given(st.binary(max_size=300))
def test_any_octets_are_refused(body: bytes) -> None:
    """Nothing but `ChainError` is raised."""
    check(body)
    check(block(body))
    check(pem(LEAF_CERTIFICATE) + block(body))


@pytest.mark.filterwarnings(
    # A negative serial number, say: it is read, and complained of to developers.
    "ignore::cryptography.utils.CryptographyDeprecationWarning"
)
@given(
    st.integers(0, 2),
    st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3
    ),
    st.integers(0, 40),
)
def test_a_damaged_certificate_is_refused(
    which: int, damage: list[tuple[int, int]], cut: int
) -> None:
    """Wherever it is damaged: leaf, intermediate, or a root that came along."""
    ders = list(DERS)
    octets = bytearray(ders[which])
    for place, value in damage:
        octets[place % len(octets)] = value
    ders[which] = bytes(octets[: len(octets) - cut if cut > 35 else None])
    check(b"".join(block(der) for der in ders))
    try:
        anchors = parse_anchors(block(ders[2]))
    except ChainError:
        return
    check(pem(LEAF_CERTIFICATE, MIDDLE), anchors)
