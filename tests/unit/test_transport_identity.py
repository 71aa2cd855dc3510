"""Mutual TLS toward a CA, and a proxy that the configuration names."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from agent.transport import (
    ClientIdentityError,
    HttpsTransport,
    Peer,
    TransportError,
)
from tests.ca.config import system_now
from tests.ca.issuing import Profile, make_leaf, make_root, validity_of
from tests.ca.transport import Transport, make_transport
from tests.fakes.wire import HOST, Wire, get, serving

Read = Callable[[], bytes]


@pytest.fixture
def tls() -> Transport:
    """Return TLS for loopback."""
    return make_transport(HOST)


def identity(
    protection: KeySerializationEncryption | None = None,
) -> tuple[bytes, bytes, bytes]:
    """Return a client's certificate, its key and its root, PEM."""
    root, key = make_root("Clients"), ec.generate_private_key(ec.SECP256R1())
    profile = Profile()
    leaf = make_leaf(
        root, key.public_key(), [], profile, validity_of(profile, system_now())
    )
    private = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption()
    )
    return leaf.public_bytes(Encoding.PEM), private, root.pem


@asynccontextmanager
async def reaching(
    wire: Wire, *, identity: Read | None = None, proxy: str | None = None
) -> AsyncIterator[HttpsTransport]:
    """Give a transport to a server."""
    peer = Peer(
        hosts=frozenset({urlsplit(wire.url).netloc}),
        roots=wire.roots,
        timeout=timedelta(seconds=5),
        identity=identity,
        proxy=proxy,
    )
    transport = HttpsTransport(peer)
    try:
        yield transport
    finally:
        await transport.aclose()


def demanding(tls: Transport, root: bytes) -> None:
    """Let a server demand a certificate under a root."""
    tls.context.verify_mode = ssl.CERT_REQUIRED
    tls.context.load_verify_locations(cadata=root.decode())


async def test_a_ca_that_wants_mutual_tls_gets_our_certificate(tls: Transport) -> None:
    """Without one it does not talk to us; files are read again after a rest."""
    certificate, key, root = identity()
    demanding(tls, root)
    reads = []

    def read() -> bytes:
        reads.append(1)
        return certificate + key

    async with serving(tls) as wire:
        async with reaching(wire) as transport:
            with pytest.raises(TransportError):
                await get(transport, wire.url)
        async with reaching(wire, identity=read) as transport:
            for _ in range(2):
                assert (await get(transport, wire.url)).status == 200
            assert len(reads) == 1
            await transport.rest()
            assert (await get(transport, wire.url)).status == 200
            assert len(reads) == 2


@pytest.mark.parametrize("what", ["nothing", "no key", "another key", "passphrase"])
async def test_what_is_no_identity_is_refused_without_a_word_of_it(
    tls: Transport, what: str
) -> None:
    """And nobody is asked for a passphrase at a terminal that does not exist."""
    certificate, key, _ = identity(
        BestAvailableEncryption(b"word") if what == "passphrase" else None
    )
    pem = {
        "nothing": b"",
        "no key": certificate,
        "another key": certificate + identity()[1],
        "passphrase": certificate + key,
    }[what]
    async with serving(tls) as wire, reaching(wire, identity=lambda: pem) as transport:
        with pytest.raises(ClientIdentityError) as caught:
            await get(transport, wire.url)
        assert not wire.seen
    assert "PRIVATE" not in repr(caught.value)


class Proxy:
    """A proxy that connects whoever asks, and remembers what was asked.

    Attributes:
        asked: Request lines.
        port: Where it listens.
        refuses: It answers 403 instead.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.asked: list[str] = []
        self.port = 0
        self.refuses = False

    @property
    def url(self) -> str:
        """Return what the configuration names."""
        return f"http://{HOST}:{self.port}"

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Connect one client."""
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n")[0].decode()
        self.asked.append(line)
        if self.refuses:
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, _, port = line.split()[1].rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, back))
            group.create_task(_pump(there, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()


@asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """Run a proxy."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


async def test_a_proxy_connects_us_and_sees_nothing(
    tls: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS goes end to end; the environment's proxy, where nobody listens, is none."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*" if "no" in name.lower() else "http://127.0.0.1:1")
    async with (
        serving(tls) as wire,
        proxying() as proxy,
        reaching(wire, proxy=proxy.url) as transport,
    ):
        assert (await get(transport, wire.url)).status == 200
        assert proxy.asked == [f"CONNECT {HOST}:{wire.port} HTTP/1.1"]


async def test_a_proxy_that_refuses_is_a_transport_error(tls: Transport) -> None:
    """It is no word of the CA: the request did not arrive."""
    async with (
        serving(tls) as wire,
        proxying() as proxy,
        reaching(wire, proxy=proxy.url) as transport,
    ):
        proxy.refuses = True
        with pytest.raises(TransportError, match="403"):
            await get(transport, wire.url)
        assert not wire.seen


def test_the_key_of_an_identity_comes_by_reference(tmp_path: Path) -> None:
    """What reads it is no part of what is printed."""
    peer = Peer(
        hosts=frozenset(),
        roots=None,
        timeout=timedelta(seconds=1),
        identity=(tmp_path / "key.pem").read_bytes,
    )
    assert "PRIVATE" not in repr(peer)
