"""The probe against real TLS servers: Python's ssl, nginx, and peers that misbehave."""

import asyncio
import hashlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.endpoints.probe import MAX_OCTETS, Probe, parse_address
from agent.errors import AgentError
from agent.records.deployment import Sight, Sighting
from tests.fakes.clock import START, FakeClock

pytestmark = pytest.mark.integration

NAME = "amf1.example"
SOON = timedelta(seconds=0.3)
AMPLE = timedelta(seconds=10)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A self-signed certificate with its key, in one PEM file."""

    pem: Path
    der: bytes

    @property
    def fingerprint(self) -> str:
        """Return what a sighting of this certificate holds."""
        return hashlib.sha256(self.der).hexdigest()


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """Make a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("identity") / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Identity(pem=pem, der=certificate.public_bytes(serialization.Encoding.DER))


def server_context(
    identity: Identity, version: ssl.TLSVersion, *, demand: bool = False
) -> ssl.SSLContext:
    """Return a server's context that speaks exactly one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(identity.pem)
    if demand:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(identity.pem)
    return context


async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve nobody anything, until the peer leaves."""
    try:
        await reader.read()
    except OSError:
        return
    finally:
        writer.transport.abort()


@asynccontextmanager
async def serving(
    handler: Handler, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """Serve on a free port and yield the address."""
    server = await asyncio.start_server(handler, host, 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def look(address: str, name: str = NAME, within: timedelta = AMPLE) -> Sighting:
    """Look once."""
    return await Probe(FakeClock()).look(address, name, within)


@pytest.mark.parametrize("demand", [False, True], ids=["anybody", "client-certificate"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_leaf_is_seen(
    identity: Identity, version: ssl.TLSVersion, demand: bool
) -> None:
    """TLS 1.2 and 1.3 show the leaf, also to a client without a certificate."""
    context = server_context(identity, version, demand=demand)
    async with serving(read_all, context) as address:
        sighting = await look(address)
    assert sighting == Sighting(
        address=address,
        sight=Sight.SERVED,
        fingerprint=identity.fingerprint,
        at=START,
    )


async def test_the_leaf_is_seen_over_ipv6(identity: Identity) -> None:
    """An address in brackets is IPv6."""
    context = server_context(identity, ssl.TLSVersion.TLSv1_3)
    async with serving(read_all, context, "::1") as address:
        sighting = await look(address)
    assert (sighting.sight, sighting.address) == (Sight.SERVED, address)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("amf1.example", "amf1.example"),
        ("amf1.example.", "amf1.example"),
        ("127.0.0.1", None),
        ("::1", None),
        ("[2001:db8::1]", None),
        ("", None),
    ],
)
async def test_the_server_name_is_sent_unless_it_is_an_address(
    identity: Identity, name: str, sent: str | None
) -> None:
    """RFC 6066 section 3: a host name without final dot, never a literal address."""
    heard: list[str | None] = []
    context = server_context(identity, ssl.TLSVersion.TLSv1_3)
    context.sni_callback = lambda _tls, sni, _context: heard.append(sni)
    async with serving(read_all, context) as address:
        sighting = await look(address, name)
    assert (sighting.sight, heard) == (Sight.SERVED, [sent])


async def test_no_application_data_is_sent(identity: Identity) -> None:
    """The server reads nothing but the goodbye."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Keep what the client says."""
        heard.put_nowait(await reader.read())
        writer.transport.abort()

    context = server_context(identity, ssl.TLSVersion.TLSv1_3)
    async with serving(listen, context) as address:
        await look(address)
        assert await asyncio.wait_for(heard.get(), 5) == b""


async def rubbish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say something that is not TLS."""
    writer.write(b"220 mail.example ESMTP\r\n")
    writer.close()


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up in an orderly way, as soon as anything is asked."""
    await reader.read(1 << 14)
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up with RST."""
    await reader.read(1)
    held = writer.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin a record and never end it."""
    writer.write(b"\x16\x03\x03\x40\x00\x02")
    await read_all(reader, writer)


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send records of one handshake message that is longer than any handshake."""
    body = b"\x02\xff\xff\xff" + bytes(16380)
    try:
        while True:
            writer.write(b"\x16\x03\x03\x40\x00" + body)
            await writer.drain()
            body = bytes(16384)
    except ConnectionError:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("handler", "within", "sight", "detail"),
    [
        (rubbish, AMPLE, Sight.BROKEN, "tls: wrong version number"),
        (close, AMPLE, Sight.BROKEN, "the peer closed the connection"),
        (reset, AMPLE, Sight.BROKEN, "connection reset by peer"),
        (trickle, SOON, Sight.BROKEN, "no complete handshake within 0.3 s"),
        (flood, AMPLE, Sight.BROKEN, ""),
        (read_all, SOON, Sight.UNREACHABLE, "no answer within 0.3 s"),
    ],
    ids=["rubbish", "close", "reset", "trickle", "flood", "silence"],
)
async def test_a_peer_that_misbehaves_is_worded_and_not_raised(
    handler: Handler, within: timedelta, sight: Sight, detail: str
) -> None:
    """Whatever the peer does becomes a sighting with one lower-case clause."""
    async with serving(handler) as address:
        sighting = await look(address, within=within)
    assert (sighting.sight, sighting.fingerprint) == (sight, "")
    assert sighting.detail.startswith(detail)
    assert sighting.detail


async def test_a_refused_port_is_unreachable() -> None:
    """Nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sighting = await look(f"127.0.0.1:{unused.getsockname()[1]}")
    assert sighting.sight is Sight.UNREACHABLE
    assert sighting.detail == "connection refused"


async def test_a_server_of_old_tls_is_broken(identity: Identity) -> None:
    """TLS 1.1 is not spoken."""
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context = server_context(identity, ssl.TLSVersion.TLSv1_1)
    async with serving(read_all, context) as address:
        sighting = await look(address)
    assert sighting.sight is Sight.BROKEN


async def test_a_leaf_without_its_key_is_broken(identity: Identity) -> None:
    """A server that shows a leaf and cannot sign with its key serves nothing.

    That is what nginx does whose key was destroyed in the token.
    """
    alert = b"\x15\x03\x03\x00\x02\x02\x50"

    async def keyless(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer with ServerHello and Certificate, then fail."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = server_context(identity, ssl.TLSVersion.TLSv1_2)
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(await reader.read(1 << 14))
        with pytest.raises(ssl.SSLWantReadError):
            server.do_handshake()
        writer.write(until_certificate(outgoing.read()) + alert)
        await read_all(reader, writer)

    async with serving(keyless) as address:
        sighting = await look(address)
    assert (sighting.sight, sighting.fingerprint) == (Sight.BROKEN, "")
    assert "internal error" in sighting.detail


def until_certificate(flight: bytes) -> bytes:
    """Cut a TLS 1.2 server's flight after its Certificate message."""
    messages = b""
    while flight:
        size = int.from_bytes(flight[3:5])
        messages, flight = messages + flight[5 : 5 + size], flight[5 + size :]
    end, kind = 0, 0
    while kind != 11:
        kind = messages[end]
        end += 4 + int.from_bytes(messages[end + 1 : end + 4])
    return b"\x16\x03\x03" + end.to_bytes(2) + messages[:end]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1", NAME),
        ("::1:443", NAME),
        ("host:0", NAME),
        ("host:65536", NAME),
        ("host:https", NAME),
        (":443", NAME),
        ("127.0.0.1:443", ".example"),
        ("127.0.0.1:443", "a" * 64 + ".example"),
        ("a" * 64 + ".example:443", NAME),
    ],
)
async def test_what_cannot_be_asked_is_unreachable(address: str, name: str) -> None:
    """A wrong address or name is a sighting too, because a job depends on it."""
    sighting = await look(address, name)
    assert (sighting.sight, bool(sighting.detail)) == (Sight.UNREACHABLE, True)


@pytest.mark.parametrize(
    "text", ["host", "::1:1", "[::1]", "h:+1", "h:\N{FULLWIDTH DIGIT ONE}", "h:99999"]
)
def test_only_host_and_port_is_an_address(text: str) -> None:
    """Anything else is refused by name."""
    with pytest.raises(AgentError, match=r"is neither|has no such port"):
        parse_address(text)


async def test_cancelling_closes_the_connection() -> None:
    """A look that is cancelled leaves no connection behind."""
    left = asyncio.Event()
    here = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Notice when the client comes and leaves."""
        await reader.read(1)
        here.set()
        await read_all(reader, writer)
        left.set()

    async with serving(wait) as address:
        looking = asyncio.create_task(look(address, within=timedelta(hours=1)))
        await asyncio.wait_for(here.wait(), 5)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        await asyncio.wait_for(left.wait(), 5)


def test_the_bound_leaves_room_for_large_chains() -> None:
    """Twenty certificates of 8 KiB fit; a chain of post-quantum signatures does too."""
    assert MAX_OCTETS >= 20 * 8192


@pytest.fixture
def nginx(identity: Identity, tmp_path: Path) -> Iterator[str]:
    """Run nginx that wants a client certificate, TLS 1.2 only."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"""daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;
        events {{ worker_connections 16; }}
        http {{ access_log off; server {{ listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.2; ssl_verify_client on;
        ssl_client_certificate {identity.pem};
        ssl_certificate {identity.pem}; ssl_certificate_key {identity.pem}; }} }}"""
    )
    process = subprocess.Popen(
        [program, "-p", str(tmp_path), "-c", str(configuration)],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def test_nginx_shows_its_leaf(nginx: str, identity: Identity) -> None:
    """A real endpoint shows its leaf to a client without a certificate."""
    async with asyncio.timeout(10):
        while (sighting := await look(nginx)).sight is Sight.UNREACHABLE:
            await asyncio.sleep(0.02)
    assert sighting.fingerprint == identity.fingerprint
