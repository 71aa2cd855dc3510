"""A TLS server that shows the octets of requests, and a transport to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from agent.acme.http import Request, Response
from agent.transport import (
    HttpsTransport,
    Peer,
)
from tests.ca.transport import Transport

HOST = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Serve = Callable[[bytes], bytes]


class Wire:
    """A TLS server that keeps the octets of every request.

    Attributes:
        answers: Gives the octets of an answer for those of a request.
        seen: Requests, head and body.
        connections: How many were accepted.
        open: How many are open.
        port: Where it listens.
        roots: PEM of the root above its certificate.
    """

    def __init__(self, tls: Transport, answers: Serve) -> None:
        """Answer as told."""
        self.answers = answers
        self.seen: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self.roots = tls.root_pem.decode()

    @property
    def url(self) -> str:
        """Return the URL of the server, without a path."""
        return f"https://{HOST}:{self.port}"

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        self.open += 1
        try:
            while head := await _head(reader):
                self.seen.append(head)
                answer = self.answers(head)
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def serving(tls: Transport, answers: Serve = lambda _: OK) -> AsyncIterator[Wire]:
    """Run a server."""
    wire = Wire(tls, answers)
    server = await asyncio.start_server(wire.serve, HOST, 0, ssl=tls.context)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()


@asynccontextmanager
async def transport_to(
    url: str, roots: str | None, seconds: float = 5
) -> AsyncIterator[HttpsTransport]:
    """Give a transport to the host of a URL."""
    peer = Peer(
        hosts=frozenset({urlsplit(url).netloc}),
        roots=roots,
        timeout=timedelta(seconds=seconds),
    )
    transport = HttpsTransport(peer)
    try:
        yield transport
    finally:
        await transport.aclose()


async def get(transport: HttpsTransport, url: str) -> Response:
    """Send a GET."""
    return await transport.send(Request(method="GET", url=url))


async def until(check: Callable[[], bool]) -> None:
    """Wait, for five seconds at most, until something is so."""
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.005)
