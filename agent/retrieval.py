"""Fetches CRLs and OCSP responses by plain http: bounded, and from nowhere inside.

What is fetched is signed, so that http is enough (RFC 5280 section 8). A certificate
says where: its address is resolved here and checked before anything connects to it, so
that nobody can make this host talk to itself. It does not know what the octets mean.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from urllib.parse import SplitResult, urlsplit

from agent import __version__
from agent.errors import AgentError

MAX_BODY: Final = 10 << 20
"""Octets of a body that are read before it is given up."""
MAX_HEAD: Final = 1 << 15
"""Octets of a status line with its header fields."""
MAX_AT_ONCE: Final = 4
"""Requests under way; the others wait for their turn."""
WITHIN: Final = timedelta(seconds=30)
"""Longest time of one request, from the look-up to the last octet."""
_OK: Final = "200"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RetrievalError(AgentError):
    """No whole answer came."""

    kind = "retrieval"


class ForbiddenAddressError(AgentError):
    """A certificate names a place that this host does not talk to."""

    kind = "retrieval.forbidden"


class Retriever:
    """Fetches by HTTP/1.0, whose bodies end where the connection does."""

    def __init__(self) -> None:
        """Connect to nothing."""
        self._places = asyncio.Semaphore(MAX_AT_ONCE)

    async def fetch(
        self, url: str, body: bytes | None, allow: Sequence[str] = ()
    ) -> bytes:
        """Return the body of an answer.

        Args:
            url: An http URL.
            body: An OCSP request to post; None gets.
            allow: Networks whose addresses are talked to whatever they are.

        Raises:
            RetrievalError: No whole answer, or another status than 200.
            ForbiddenAddressError: The URL leads to a place that is not allowed.
        """
        parts = _split(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ForbiddenAddressError("the status of a certificate is had by http")
        async with self._places:
            try:
                async with asyncio.timeout(WITHIN.total_seconds()):
                    return await self._fetch(parts, body, allow)
            except TimeoutError as error:
                raise RetrievalError(
                    f"no answer from {_host(parts)} in time"
                ) from error
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
                reason = getattr(error, "strerror", None) or str(error)[:100]
                raise RetrievalError(
                    f"no answer from {_host(parts)}: {reason}"
                ) from error

    async def _fetch(
        self, parts: SplitResult, body: bytes | None, allow: Sequence[str]
    ) -> bytes:
        address = await _resolve(parts, allow)
        async with _connected(address, parts.port or 80) as (reader, writer):
            writer.write(_request(parts, body))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status = head.split(b" ", 2)[1:2]
            if status != [_OK.encode()]:
                shown = b"".join(status)[:3].decode("ascii", "replace")
                raise RetrievalError(f"{_host(parts)} answered with status {shown}")
            return await _read(reader, _length(head))


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ForbiddenAddressError("the certificate names a url that is none") from (
            error
        )


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2][:100]


def _request(parts: SplitResult, body: bytes | None) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{'GET' if body is None else 'POST'} {target} HTTP/1.0",
        f"Host: {_host(parts)}",
        f"User-Agent: nfcertd/{__version__}",
        "Connection: close",
    ]
    if body is not None:
        lines += [
            "Content-Type: application/ocsp-request",
            f"Content-Length: {len(body)}",
        ]
    head = "\r\n".join([*lines, "", ""])
    return head.encode("ascii") + (body or b"")


def _length(head: bytes) -> int | None:
    """Return the announced length of the body; raises ValueError for nonsense."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value.strip()[:20])
    return None


async def _read(reader: asyncio.StreamReader, length: int | None) -> bytes:
    if length is not None and not 0 <= length <= MAX_BODY:
        raise ValueError(f"a body of {length} octets")
    chunks: list[bytes] = []
    size = 0
    while chunk := await reader.read(1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise ValueError(f"a body of more than {MAX_BODY} octets")
        if length is not None and size >= length:
            break
    if length is not None and size != length:
        raise ValueError("its answer was cut short")
    return b"".join(chunks)


async def _resolve(parts: SplitResult, allow: Sequence[str]) -> str:
    """Return an address of the host that may be talked to; it is what is connected to.

    So a name cannot lead elsewhere between the check and the connection.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        parts.hostname, parts.port or 80, type=socket.SOCK_STREAM
    )
    networks = [ipaddress.ip_network(network) for network in allow]
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if _is_outside(address) or any(_within(address, n) for n in networks):
            return str(address)
    raise ForbiddenAddressError(
        f"{_host(parts)} is an address of this host or of its link",
        hint="if that is right, add its network to status.allow of the certificate",
    )


def _is_outside(address: Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return _is_outside(mapped)
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


def _within(
    address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return address.version == network.version and address in network


@asynccontextmanager
async def _connected(
    address: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(address, port, limit=MAX_HEAD)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
