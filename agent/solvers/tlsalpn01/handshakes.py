"""TLS handshakes with whoever asks for `acme-tls/1`, and nothing after them.

It knows connections and their limits. Who is served is told by the caller; a client
that is not served gets an alert and never sees a certificate.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

from agent.solvers.tlsalpn01.hello import ClientHello, HelloError, client_hello

MAX_CONNECTIONS: Final = 64
"""Open connections; one more closes the oldest, so that idle ones lock nobody out."""

MAX_CONNECTION_AGE: Final = timedelta(seconds=10)
"""After this a connection is aborted, whatever it does."""

MAX_OCTETS: Final = 1 << 16
"""Octets that a client may send in its whole handshake."""

BACKLOG: Final = 128
"""As systemd's socket units: listening again with less would shrink theirs."""

DECODE_ERROR: Final = 50
UNRECOGNIZED_NAME: Final = 112
NO_APPLICATION_PROTOCOL: Final = 120
"""Alerts of RFC 8446 section 6.2."""

Choose = Callable[[ClientHello], ssl.SSLContext | int]
"""Returns the context that answers a client, or the alert that refuses it."""


@asynccontextmanager
async def handshaking(
    sockets: Sequence[socket.socket], choose: Choose
) -> AsyncIterator[None]:
    """Do handshakes on listening sockets, which are taken over, until left.

    Leaving takes no time and closes the sockets and every connection; no suspension in
    it can be cancelled half-way.
    """
    room = _Room(choose)
    loop = asyncio.get_running_loop()
    with ExitStack() as undo:
        for sock in sockets:
            undo.callback(sock.close)
        undo.callback(room.abort)
        for sock in sockets:
            # start_serving=False does not suspend: nothing is lost to a cancellation.
            server = await loop.create_server(
                lambda: _Connection(room),
                sock=sock,
                backlog=BACKLOG,
                start_serving=False,
            )
            undo.callback(server.close)
            await server.start_serving()
        yield


class _Room:
    """All connections, each with the end of its time."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self._open: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._closed = False

    def enter(self, transport: asyncio.Transport) -> None:
        age = MAX_CONNECTION_AGE.total_seconds()
        end = asyncio.get_running_loop().call_later(age, transport.abort)
        self._open[transport] = end
        if len(self._open) > MAX_CONNECTIONS:
            next(iter(self._open)).abort()
        if self._closed:
            # It was accepted by the kernel before, and by the loop after, we closed.
            transport.abort()

    def leave(self, transport: asyncio.Transport) -> None:
        self._open.pop(transport).cancel()

    def abort(self) -> None:
        self._closed = True
        for transport in list(self._open):
            transport.abort()


class _Connection(asyncio.Protocol):
    """One handshake, in memory, so that the first octets can be read before OpenSSL."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self._seen = b""
        self._octets = 0
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a ClientHello."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport
        self._room.enter(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        del exc
        self._room.leave(self._transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of the handshake."""
        self._octets += len(data)
        if self._transport.is_closing():
            return
        if self._octets > MAX_OCTETS:
            self._transport.abort()
        elif self._tls is not None:
            self._incoming.write(data)
            self._proceed(self._tls)
        else:
            self._seen += data
            self._meet()

    def _meet(self) -> None:
        try:
            hello = client_hello(self._seen)
        except HelloError:
            self._refuse(DECODE_ERROR)
            return
        if hello is None:
            return
        chosen = self._room.choose(hello)
        if isinstance(chosen, int):
            self._refuse(chosen)
            return
        self._tls = chosen.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(self._seen)
        self._seen = b""
        self._proceed(self._tls)

    def _proceed(self, tls: ssl.SSLObject) -> None:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._transport.write(self._outgoing.read())
            return
        except ssl.SSLError:
            # OpenSSL has written the alert that says why.
            pass
        self._transport.write(self._outgoing.read())
        # "the connection MUST be closed" after the handshake (RFC 8737 section 3)
        self._transport.close()

    def _refuse(self, alert: int) -> None:
        """Send a fatal alert in a record of its own (RFC 8446 section 5.1)."""
        self._transport.write(bytes([21, 3, 3, 0, 2, 2, alert]))
        self._transport.close()
