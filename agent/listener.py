"""A bounded HTTP/1.1 listener: what http-01 and the health pages have in common.

It knows sockets and the limits under which strangers may talk to us. It does not know
what is answered. Importing it loads aiohttp's server half, so importers do it late; the
package `aiohttp.web` as a whole would cost 1.5 MiB more and is not loaded.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from agent.errors import AgentError
from agent.files import describe

_log: Final = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 64
"""Open connections; one more closes the oldest, so that idle ones lock nobody out."""

MAX_CONNECTION_AGE: Final = timedelta(seconds=10)
"""After this a connection is aborted, whatever it does."""

MAX_LINE: Final = 2048
"""Octets of a request line or of one header field."""

MAX_HEADERS: Final = 48
"""Header fields of one request."""

_BACKLOG: Final = 128
"""As systemd's socket units: listening again with less would shrink theirs."""


class ListenError(AgentError):
    """An address cannot be listened on; the importer maps it to its own kind."""

    kind = "listener.bind"


class Address(NamedTuple):
    """Where to listen: a literal IP address and a port (0 lets the kernel choose)."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    def __str__(self) -> str:
        """Return `192.0.2.1:80` or `[2001:db8::1]:80`."""
        host = f"[{self.host}]" if self.host.version == 6 else str(self.host)  # noqa: PLR2004 -- the name of a protocol
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that `192.0.2.1:80` or `[2001:db8::1]:80` names.

    Raises:
        ListenError: The text is not a literal address with a port.
    """
    host, _, port = text.rpartition(":")
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = Address(ipaddress.ip_address(literal), int(port))
    except ValueError as error:
        raise _not_an_address(text) from error
    if not 0 <= address.port <= 65535 or (literal != host) != (":" in literal):  # noqa: PLR2004 -- 16 bits
        raise _not_an_address(text)
    return address


def _not_an_address(text: str) -> ListenError:
    return ListenError(
        f"cannot listen on {text}: not a literal address with a port",
        hint="write 192.0.2.1:80 or [2001:db8::1]:80",
    )


def bind(address: Address) -> socket.socket:
    """Return a listening TCP socket; an IPv6 wildcard leaves IPv4 alone.

    Raises:
        ListenError: It names the address and what to do about it.
    """
    family = socket.AF_INET if address.host.version == 4 else socket.AF_INET6  # noqa: PLR2004 -- the name of a protocol
    with ExitStack() as undo:
        try:
            sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((str(address.host), address.port))
            sock.listen(_BACKLOG)
            sock.setblocking(False)  # noqa: FBT003 -- its signature
        except OSError as error:
            raise ListenError(
                f"cannot listen on {address}: {describe(error)}",
                hint=_ADVICE.get(error.errno or 0, ""),
            ) from error
        undo.pop_all()
    return sock


_ADVICE: Final = {
    errno.EACCES: "let systemd open the port (a socket unit), or give the unit "
    "CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: "another process has the port: stop it, or choose another",
    errno.EADDRNOTAVAIL: "no interface has this address: correct it, or add it",
    errno.EAFNOSUPPORT: "the host lacks this address family: remove the address",
}


Answer = Callable[[BaseRequest], Awaitable[StreamResponse]]
"""What an importer does with a request; every response closes its connection."""


@asynccontextmanager
async def serving(
    sockets: Sequence[socket.socket], answer: Answer
) -> AsyncIterator[None]:
    """Answer on listening sockets, which are taken over, until left.

    Leaving takes no time and closes the sockets and every connection; no suspension in
    it can be cancelled half-way.
    """
    site = _Site(answer)
    loop = asyncio.get_running_loop()
    with ExitStack() as undo:
        for sock in sockets:
            undo.callback(sock.close)
        undo.callback(site.abort)
        for sock in sockets:
            # start_serving=False does not suspend: nothing is lost to a cancellation.
            server = await loop.create_server(
                site, sock=sock, backlog=_BACKLOG, start_serving=False
            )
            undo.callback(server.close)
            await server.start_serving()
        yield


def respond(
    status: int, body: bytes = b"", content_type: str = "text/plain"
) -> Response:
    """Return a response that closes its connection and says nothing about us."""
    response = Response(
        status=status,
        body=body,
        headers={
            "Content-Type": content_type,
            "Server": "nfcertd",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
    response.force_close()
    return response


class _Site(Server):
    """aiohttp's low-level server with a bound on connections and on their age."""

    def __init__(self, answer: Answer) -> None:
        """Answer every well-formed request by `answer`."""
        super().__init__(answer)
        self._open: dict[RequestHandler, asyncio.Transport] = {}
        self._ends: dict[RequestHandler, asyncio.TimerHandle] = {}
        self._closed = False

    def __call__(self) -> RequestHandler:
        """Return the protocol of one connection, with our limits."""
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp itself tests it for None
            logger=_log,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=0,
            tcp_keepalive=False,
            keepalive_timeout=MAX_CONNECTION_AGE.total_seconds(),
        )

    def connection_made(
        self, handler: RequestHandler, transport: asyncio.Transport
    ) -> None:
        """Count a connection; the oldest makes room when there are too many."""
        super().connection_made(handler, transport)
        self._open[handler] = transport
        self._ends[handler] = asyncio.get_running_loop().call_later(
            MAX_CONNECTION_AGE.total_seconds(), transport.abort
        )
        if len(self._open) > MAX_CONNECTIONS:
            next(iter(self._open.values())).abort()
        if self._closed:
            # It was accepted by the kernel before, and by the loop after, we closed.
            transport.abort()

    def connection_lost(
        self, handler: RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)
        if (end := self._ends.pop(handler, None)) is not None:
            end.cancel()

    def abort(self) -> None:
        """Close every connection at once, and those that are still being accepted."""
        self._closed = True
        for transport in list(self._open.values()):
            transport.abort()


class _Connection(RequestHandler):
    """aiohttp's protocol, terse where it would be talkative to strangers."""

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer a malformed request with its status only; log what is our fault."""
        del message
        if status >= 500:  # noqa: PLR2004 -- RFC 9110 section 15.6, server errors
            self.log_exception("cannot answer %s", request.path, exc_info=exc)
        return respond(status)


def bound_addresses(sockets: Iterable[socket.socket]) -> tuple[Address, ...]:
    """Return where TCP sockets listen, with the ports that the kernel chose."""
    return tuple(
        Address(ipaddress.ip_address(name[0]), name[1])
        for name in (sock.getsockname() for sock in sockets)
    )
