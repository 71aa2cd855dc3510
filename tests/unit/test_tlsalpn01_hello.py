"""The first octets of a TLS client: OpenSSL's are read, and anything is survived."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.solvers.tlsalpn01.hello import (
    MAX_OCTETS,
    ClientHello,
    HelloError,
    client_hello,
)


def openssl(name: str | None, protocols: list[str]) -> bytes:
    """Return the ClientHello of OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(protocols)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


HELLO = openssl("amf1.example", ["acme-tls/1"])
BODY = HELLO[5:]


def records(body: bytes, size: int) -> bytes:
    """Return a handshake message cut into records of `size` octets."""
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(p).to_bytes(2, "big") + p for p in parts)


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        ("amf1.example", ["acme-tls/1"]),
        ("AMF1.Example", ["h2", "http/1.1"]),
        (None, []),
    ],
)
def test_name_and_protocols_are_those_of_the_client(
    name: str | None, protocols: list[str]
) -> None:
    """Whatever else stands in the message."""
    expected = ClientHello(
        (name or "").lower(), tuple(p.encode("ascii") for p in protocols)
    )
    assert client_hello(openssl(name, protocols)) == expected


def test_more_octets_are_waited_for() -> None:
    """Every part of a hello is not whole, and none is refused."""
    assert all(client_hello(HELLO[:n]) is None for n in range(len(HELLO)))
    whole = client_hello(HELLO)
    assert whole is not None
    assert client_hello(HELLO + b"more") == whole
    assert client_hello(records(BODY, len(BODY) // 9)) == whole


def with_length(length: int) -> bytes:
    """Return the hello with another length of its message."""
    return records(BODY[:1] + length.to_bytes(3, "big") + BODY[4:], 16000)


TWICE = b"\x00\x00\x00\x00\x00\x00\x00\x00"
BARE = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"


def bare(extensions: bytes) -> bytes:
    """Return a small hello with these extensions."""
    body = BARE + extensions
    return records(b"\x01" + len(body).to_bytes(3, "big") + body, 16000)


def test_a_hello_without_extensions_asks_for_nothing() -> None:
    """TLS 1.2 allows it."""
    assert client_hello(bare(b"")) == ClientHello("", ())


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x02" + HELLO[2:],
        b"\x17" + HELLO[1:],
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        records(b"\x02" + BODY[1:], 16000),
        with_length(1 << 20),
        with_length(60),
        records(b"\x01\x00\x40\x00", 1) * 4000,
        bare(b"\x00\x08" + TWICE),
        bare(b"\x00\x06\x00\x10\x00\x02\x00\x09"),
        bare(b"\x00\x06\x00\x00\x00\x02\x00\x09"),
    ],
)
def test_what_is_no_hello_is_refused(octets: bytes) -> None:
    """Another message, another length, extensions twice, vectors cut off."""
    with pytest.raises(HelloError):
        client_hello(octets)


def test_a_hello_that_never_ends_is_refused() -> None:
    """However many small records it is cut into."""
    endless = records(b"\x01\x00\x3f\xff" + bytes(10), 1)
    with pytest.raises(HelloError):
        client_hello(endless + records(bytes(MAX_OCTETS // 6), 1))


@given(st.binary(max_size=400))
def test_any_octets_are_a_hello_or_none_or_refused(octets: bytes) -> None:
    """Nothing else is raised."""
    _survive(octets)
    _survive(records(b"\x01" + len(octets).to_bytes(3, "big") + octets, 50))


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_every_damaged_hello_is_survived(at: int, octet: int) -> None:
    """One octet is another one."""
    _survive(HELLO[:at] + bytes([octet]) + HELLO[at + 1 :])


def _survive(octets: bytes) -> None:
    try:
        found = client_hello(octets)
    except HelloError:
        return
    assert found is None or isinstance(found, ClientHello)
