"""tls-alpn-01 serves one certificate to those who ask for it, and nobody else."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.clock import SystemClock
from agent.config.challenges import TlsAlpn
from agent.ports import Solver
from agent.solvers.errors import (
    BindError,
    BusyError,
    SelfCheckError,
    SolverError,
    TokenSyntaxError,
)
from agent.solvers.tlsalpn01 import handshakes
from agent.solvers.tlsalpn01.solver import TlsAlpn01
from agent.solvers.tlsalpn01.validation import ACME_IDENTIFIER
from tests.fakes.presented import presented

NAME = "amf1.example"
SECRET = "token.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
CHALLENGE = presented(NAME, "token", SECRET)
OTHER = presented(NAME, "other", "other.thumbprint")


def anywhere(**settings: bool) -> TlsAlpn01:
    """Return a solver that listens on a port of both loopback addresses."""
    listen = ("127.0.0.1:0", "[::1]:0")
    return TlsAlpn01(TlsAlpn(listen=listen, **settings), SystemClock())


@pytest.fixture
def handed_over() -> Iterator[socket.socket]:
    """Hand over a listening socket, as systemd does."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


async def shake(
    solver: TlsAlpn01,
    name: str | None,
    protocols: tuple[str, ...] = ("acme-tls/1",),
    *,
    index: int = 0,
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> tuple[str | None, x509.Certificate]:
    """Shake hands as a CA does; return the protocol and the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = highest
    if protocols:
        context.set_alpn_protocols(list(protocols))
    host, port = solver.where[index]
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=name or ""
        )
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True)
    writer.transport.abort()
    assert der is not None
    return tls.selected_alpn_protocol(), x509.load_der_x509_certificate(der)


def test_it_is_a_solver() -> None:
    """The type checker and the reader see which port it satisfies."""

    async def made() -> Solver:
        return anywhere()

    assert isinstance(asyncio.run(made()), TlsAlpn01)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_certificate_is_that_of_the_standard(
    index: int, highest: ssl.TLSVersion
) -> None:
    """RFC 8737 section 3: one name, the digest critical, by its own key."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE) as payload:
        assert payload == {}
        protocol, seen = await shake(solver, NAME, index=index, highest=highest)
    assert protocol == "acme-tls/1"
    names = seen.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(NAME)]
    digest = seen.extensions.get_extension_for_oid(ACME_IDENTIFIER)
    assert digest.critical
    assert isinstance(digest.value, x509.UnrecognizedExtension)
    expected = hashlib.sha256(SECRET.encode()).digest()
    assert digest.value.value == b"\x04\x20" + expected
    assert isinstance(seen.public_key(), ec.EllipticCurvePublicKey)
    seen.verify_directly_issued_by(seen)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        ("2001:db8::1", "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"),
    ],
)
async def test_an_address_is_asked_for_by_its_reverse_name(
    address: str, asked: str
) -> None:
    """RFC 8738 section 6: the name in the SNI, the address in the certificate."""
    solver = anywhere()
    async with solver.prepare(presented(address, "token", SECRET)):
        assert solver.presented == {asked}
        _, seen = await shake(solver, asked)
    names = seen.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(n) for n in names.get_values_for_type(x509.IPAddress)] == [address]


async def test_case_and_final_dot_make_no_difference() -> None:
    """Names have no case, and drafts of RFC 8738 showed the dot."""
    solver = anywhere()
    async with solver.prepare(presented("192.0.2.1", "token", SECRET)):
        await shake(solver, "1.2.0.192.IN-ADDR.ARPA")
        raw = await said(solver, hello_to("1.2.0.192.in-addr.arpa."))
    assert raw[0] == 22  # a handshake record: it is answered


@pytest.mark.parametrize(
    ("name", "protocols", "reason"),
    [
        (NAME, (), "NO_APPLICATION_PROTOCOL|no application protocol"),
        (NAME, ("h2", "http/1.1"), "NO_APPLICATION_PROTOCOL|no application protocol"),
        (NAME, ("acme-tls/1", "h2"), "NO_APPLICATION_PROTOCOL|no application protocol"),
        ("other.example", ("acme-tls/1",), "UNRECOGNIZED_NAME|unrecognized name"),
        (None, ("acme-tls/1",), "UNRECOGNIZED_NAME|unrecognized name"),
    ],
)
async def test_everybody_else_gets_an_alert_and_no_certificate(
    name: str | None, protocols: tuple[str, ...], reason: str
) -> None:
    """Without exactly `acme-tls/1` and a name that is presented, nothing is shown."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE):
        with pytest.raises(ssl.SSLError, match=reason):
            await shake(solver, name, protocols)


async def said(solver: TlsAlpn01, octets: bytes) -> bytes:
    """Return what a connection answers to octets; empty where it is only closed."""
    reader, writer = await asyncio.open_connection(*solver.where[0])
    try:
        writer.write(octets)
        async with asyncio.timeout(20):
            return await reader.read(7)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def hello_to(name: str) -> bytes:
    """Return the ClientHello of OpenSSL, with a name that it would not send itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["acme-tls/1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    # One octet more than the name needs: it is replaced by the dot.
    placeholder = "x" * len(name)
    tls = context.wrap_bio(incoming, outgoing, server_hostname=placeholder)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read().replace(placeholder.encode(), name.encode())


async def test_what_is_no_hello_is_refused() -> None:
    """HTTP on this port gets one alert and an end."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE):
        assert await said(solver, b"GET / HTTP/1.1\r\n\r\n") == bytes(
            [21, 3, 3, 0, 2, 2, handshakes.DECODE_ERROR]
        )


async def test_a_hello_may_come_octet_by_octet() -> None:
    """TCP keeps no borders."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE):
        reader, writer = await asyncio.open_connection(*solver.where[0])
        for octet in hello_to(NAME):
            writer.write(bytes([octet]))
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert (await reader.readexactly(1))[0] == 22
        writer.transport.abort()


async def test_more_connections_than_allowed_end_the_oldest() -> None:
    """Who opens connections and says nothing locks nobody out."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE):
        idle = [
            await asyncio.open_connection(*solver.where[0])
            for _ in range(handshakes.MAX_CONNECTIONS + 1)
        ]
        await shake(solver, NAME)
        async with asyncio.timeout(10):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await idle[0][0].readexactly(1)
        for _, writer in idle:
            writer.transport.abort()


async def test_nothing_listens_while_nothing_is_presented() -> None:
    """The port is open between entering and leaving, for the last who leaves."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE):
        host, port = solver.where[0]
        async with solver.prepare(CHALLENGE):
            pass
        await shake(solver, NAME)
    assert solver.presented == frozenset()
    assert not solver.where
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection(host, port)


async def test_a_second_challenge_for_a_name_waits() -> None:
    """A CA says which name it means, never which challenge."""
    solver = anywhere()
    async with solver.prepare(CHALLENGE):
        with pytest.raises(BusyError, match=f"another challenge for {NAME}"):
            async with solver.prepare(OTHER):
                pass
        async with solver.prepare(presented("www.example", "t", "t.thumbprint")):
            assert solver.presented == {NAME, "www.example"}
    async with solver.prepare(OTHER):
        assert solver.presented == {NAME}


async def test_a_token_that_is_no_token_is_refused() -> None:
    """Nothing is presented for it."""
    solver = anywhere()
    for token in ("", "a/b"):
        with pytest.raises(TokenSyntaxError):
            async with solver.prepare(presented(NAME, token, SECRET)):
                pass
    assert not solver.where


async def test_sockets_of_systemd_are_used(handed_over: socket.socket) -> None:
    """They are answered on, and stay the caller's."""
    solver = TlsAlpn01(TlsAlpn(), SystemClock(), [handed_over])
    async with solver.prepare(CHALLENGE):
        assert solver.where == (handed_over.getsockname(),)
        await shake(solver, NAME)
    assert handed_over.fileno() >= 0


async def test_without_a_socket_of_systemd_the_unit_is_named() -> None:
    """The default needs the socket unit."""
    with pytest.raises(BindError, match="no TCP socket named tls-alpn-01") as caught:
        async with TlsAlpn01(TlsAlpn(), SystemClock()).prepare(CHALLENGE):
            pass
    assert caught.value.hint == (
        "enable the socket unit, or set listen in [tls-alpn-01]"
    )


async def test_the_self_check_sees_who_else_answers(
    monkeypatch: pytest.MonkeyPatch, handed_over: socket.socket
) -> None:
    """Another process on the port would cost the authorization."""
    solver = TlsAlpn01(TlsAlpn(), SystemClock(), [handed_over])
    monkeypatch.setattr(
        "agent.solvers.tlsalpn01.solver.TlsAlpn01._choose", lambda *_: 112
    )
    with pytest.raises(SelfCheckError, match=r"our own port .* gives no answer"):
        async with solver.prepare(CHALLENGE):
            pass
    assert solver.presented == frozenset()


async def test_without_a_self_check_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For hosts that may not connect to themselves."""
    solver = anywhere(self_check=False)
    monkeypatch.setattr(
        "agent.solvers.tlsalpn01.solver.TlsAlpn01._choose", lambda *_: 112
    )
    async with solver.prepare(CHALLENGE):
        pass


def test_every_failure_is_a_solver_error() -> None:
    """So the disposition table has them."""
    assert issubclass(BusyError, SolverError)
    assert BusyError.kind == "solver.busy"
