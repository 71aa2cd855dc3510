"""HTTPS toward a CA, by aiohttp: bounded, without redirects, proxies or cookies.

It knows TLS and octets. It does not know ACME.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from agent import __version__
from agent.acme.http import Request, Response
from agent.errors import AgentError

if TYPE_CHECKING:
    import aiohttp
    from multidict import CIMultiDictProxy
    from yarl import URL

MAX_BODY: Final = 10 << 20
"""Octets of a response that are read before it is given up."""

MAX_LINKS: Final = 64
"""Link headers of one response that are kept."""

USER_AGENT: Final = f"nfcertd/{__version__} aiohttp"
_WORDS: Final = {
    "ServerDisconnectedError": "it closed the connection",
    "ClientPayloadError": "its answer was cut short",
    "ServerTimeoutError": "it was silent for too long",
}
_PRIVATE_TRUST: Final = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nonexistent"}


class TransportError(AgentError):
    """The request may or may not have arrived: DNS, TCP, TLS, timeout, cut short."""

    kind = "transport"


class ClientIdentityError(AgentError):
    """What we prove ourselves with toward a CA cannot be used."""

    kind = "transport.client-identity"


class RefusedUrlError(AgentError):
    """The CA named a URL that the configuration does not let us follow."""

    kind = "transport.refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How one CA is reached.

    Attributes:
        hosts: Hosts (with port where the URL has one) that a URL may name.
        roots: PEM of the anchors for its TLS; None for the system's store.
        timeout: Longest time of one request, from connect to the last octet.
        identity: Reads our certificate with its key, PEM, for mutual TLS; blocks.
        proxy: URL of an HTTP proxy; None goes straight, whatever the environment says.
    """

    hosts: frozenset[str]
    roots: str | None
    timeout: timedelta
    identity: Callable[[], bytes] | None = None
    proxy: str | None = None


def import_aiohttp() -> ModuleType:
    """Import aiohttp without its parsing the system's CA bundle (1.6 MiB).

    It builds a default TLS context when it is imported, which we never use.
    """
    saved = {name: os.environ.get(name) for name in _PRIVATE_TRUST}
    os.environ.update(_PRIVATE_TRUST)
    try:
        import aiohttp  # noqa: PLC0415 -- late, inside the changed environment
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return aiohttp


class HttpsTransport:
    """Sends requests to one CA; satisfies the port of `agent.client`."""

    def __init__(self, peer: Peer) -> None:
        """Load the anchors; no connection is made.

        Raises:
            RefusedUrlError: The anchors cannot be loaded.
        """
        self._peer = peer
        self._aiohttp = import_aiohttp()
        self._context = _tls(peer.roots)
        self._session: aiohttp.ClientSession | None = None
        self._busy = 0

    async def send(self, request: Request) -> Response:
        """Send one request and return the whole answer.

        Raises:
            TransportError: No complete answer; the request may have arrived.
            RefusedUrlError: The URL is not https, or its host is not allowed.
            ClientIdentityError: Our certificate or its key cannot be used.
            FileError: They cannot be read.
        """
        self._check(request.url)
        http = self._aiohttp
        try:
            async with (
                asyncio.timeout(self._peer.timeout.total_seconds()),
                self._shared_session() as session,
                session.request(
                    request.method,
                    _opaque(request.url),
                    data=request.body,
                    headers={**request.headers, "User-Agent": USER_AGENT},
                    allow_redirects=False,
                    proxy=self._peer.proxy,
                ) as answer,
            ):
                body = await _read(answer)
                return Response(
                    status=answer.status, headers=_lower(answer.headers), body=body
                )
        except TimeoutError as error:
            host = urlsplit(request.url).netloc
            raise TransportError(f"no answer from {host} in time") from error
        except (http.ClientError, OSError, ValueError) as error:
            host = urlsplit(request.url).netloc
            raise TransportError(f"no answer from {host}: {_word(error)}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _shared_session(self) -> AsyncIterator["aiohttp.ClientSession"]:
        """Share one session among requests under way, and close it after the last.

        An open session wakes the idle daemon every 15 s.
        """
        http = self._aiohttp
        await self._identify()
        if self._session is None:
            self._session = http.ClientSession(
                connector=http.TCPConnector(ssl=self._context, limit=8),
                cookie_jar=http.DummyCookieJar(),
                trust_env=False,
                auto_decompress=True,
                raise_for_status=False,
            )
        self._busy += 1
        try:
            yield self._session
        finally:
            self._busy -= 1

    async def _identify(self) -> None:
        """Read our certificate and key again before new connections are made.

        So a renewed one is used without a reload; the key is never kept in memory but
        by OpenSSL.
        """
        read = self._peer.identity
        if read is None or self._session is not None:
            return
        pem = await asyncio.to_thread(read)
        context = _tls(self._peer.roots)
        _load_identity(context, pem)
        self._context = context

    async def rest(self) -> None:
        """Close idle connections; the next request opens new ones."""
        if self._busy == 0:
            await self.aclose()

    def _check(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise RefusedUrlError("the ca named a url that is none") from error
        if parts.scheme != "https":
            raise RefusedUrlError("the ca named a url that is not https")
        if parts.netloc.lower() not in self._peer.hosts:
            raise RefusedUrlError(
                f"the ca named the host {parts.netloc[:100]!r}, which is not allowed",
                hint="if that is right, add it to allowed_hosts of this ca",
            )


def _tls(roots: str | None) -> ssl.SSLContext:
    """Return a context that trusts the configured anchors and nothing else.

    TLS 1.2 is the minimum (RFC 9325 section 3.1); the name is always verified.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        if roots is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cadata=roots)
    except (ssl.SSLError, ValueError) as error:
        raise RefusedUrlError("the ca's roots hold no usable certificate") from error
    return context


def _load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context our certificate and key; they touch no disk on their way.

    Raises:
        ClientIdentityError: They are not PEM, not a pair, or want a passphrase.
    """
    descriptor = os.memfd_create("nfcertd", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        path = f"/proc/self/fd/{descriptor}"
        # Without a word for it, OpenSSL would ask the terminal for a passphrase.
        context.load_cert_chain(path, password=b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ClientIdentityError(
            "our certificate for mutual tls and its key are no usable pair of pem",
            hint="see client of this ca; the key has no passphrase",
        ) from error
    finally:
        os.close(descriptor)


def _opaque(url: str) -> "URL":
    """Return the URL so that it goes out byte for byte (RFC 8555 section 6.4)."""
    from yarl import URL  # noqa: PLC0415 -- with aiohttp, late

    return URL(url, encoded=True)


async def _read(answer: "aiohttp.ClientResponse") -> bytes:
    body = await answer.content.read(MAX_BODY + 1)
    while len(body) <= MAX_BODY and (more := await answer.content.read(MAX_BODY)):
        body += more
    if len(body) > MAX_BODY:
        answer.close()
        raise ValueError(f"body larger than {MAX_BODY} octets")
    return body


def _lower(headers: "CIMultiDictProxy[str]") -> dict[str, str]:
    """Return headers by lower-case name; links repeat, and are joined (RFC 9110 5.2).

    Of all others a second one is a mistake, and the last one counts.
    """
    found = {name.lower(): value for name, value in headers.items()}
    if "link" in found:
        found["link"] = ", ".join(headers.getall("link")[:MAX_LINKS])
    return found


def _word(error: Exception) -> str:
    """Return one short clause for what aiohttp met on the way."""
    cause = getattr(error, "certificate_error", getattr(error, "os_error", error))
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its tls certificate is refused: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return _WORDS.get(type(error).__name__, str(error)[:200] or type(error).__name__)
