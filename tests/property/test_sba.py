"""Names and types of NFs: what is made can be read, what cannot be is refused."""

from hypothesis import given
from hypothesis import strategies as st

from agent.sba import nf
from agent.sba.domains import home, read

DIGITS = "0123456789"


@given(
    mcc=st.text(DIGITS, min_size=3, max_size=3),
    mnc=st.text(DIGITS, min_size=2, max_size=3),
    nid=st.one_of(st.just(""), st.text("0123456789abcdef", min_size=11, max_size=11)),
)
def test_every_domain_is_read_as_it_was_made(mcc: str, mnc: str, nid: str) -> None:
    """Reading is the inverse of making."""
    made = home(mcc, mnc, nid)
    assert read(f"amf1.{made}") == ("", made)


@given(st.sets(st.from_regex(r"[!-~]{1,32}", fullmatch=True), min_size=1, max_size=50))
def test_types_survive_their_encoding(types: set[str]) -> None:
    """Also more than a short length can say."""
    assert nf.decode(nf.encode(types)) == tuple(sorted(types))


@given(st.binary(max_size=60))
def test_octets_that_are_no_types_are_refused(der: bytes) -> None:
    """Whatever comes is decoded to its one encoding, or refused."""
    try:
        found = nf.decode(der)
    except ValueError:
        return
    body = b"".join(bytes([0x16, len(t)]) + t.encode() for t in found)
    assert der == bytes([0x30, len(body)]) + body
