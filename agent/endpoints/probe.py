"""What an address serves: one TLS handshake, nothing verified, nothing asked.

It knows how to see the leaf also where the peer wants a client certificate, and when a
leaf counts as served: only once the peer has shown that it holds the leaf's key. It
does not know which leaf was hoped for; fingerprints are compared elsewhere.
"""

import asyncio
import hashlib
import ipaddress
import os
import ssl
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Final

from agent.clock import Clock
from agent.endpoints.errors import EndpointAddressError
from agent.records.deployment import Sight, Sighting

MAX_OCTETS: Final = 1 << 18
"""Octets that a peer may send in a handshake; chains have about 4 KiB."""

MAX_REASON: Final = 120
"""Characters of OpenSSL's reason that are kept."""

_CHUNK: Final = 1 << 14


class Probe:
    """Looks at addresses."""

    def __init__(self, clock: Clock) -> None:
        """Date sightings by `clock`."""
        self._clock = clock

    async def look(self, address: str, server_name: str, within: timedelta) -> Sighting:
        """Do one TLS handshake (>= 1.2) with a fresh context and say what was seen.

        Nothing that the peer does is raised. An address that connects and then sends no
        octet is unreachable: a kernel accepts connections for a program that hangs.

        Args:
            address: `host:port` or `[v6]:port`.
            server_name: SNI (RFC 6066 section 3); an IP address or nothing sends none.
            within: Bound on everything: name resolution, connection, handshake.
        """
        try:
            host, port = parse_address(address)
            handshake = _Handshake(server_name)
        except EndpointAddressError as error:
            return Sighting(
                address=address,
                sight=Sight.UNREACHABLE,
                detail=str(error),
                at=self._clock.now(),
            )
        failure = await _attempt(handshake, host, port, within)
        return Sighting(
            address=address,
            sight=handshake.sight,
            fingerprint=handshake.fingerprint,
            detail="" if handshake.fingerprint else failure,
            at=self._clock.now(),
        )


def parse_address(address: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`.

    Raises:
        EndpointAddressError: It is neither.

    >>> parse_address("[::1]:443")
    ('::1', 443)
    """
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not (colon and host and port.isascii() and port.isdecimal() and len(port) <= 5):  # noqa: PLR2004 -- digits of 65535
        raise EndpointAddressError(f"{address!r} is neither host:port nor [v6]:port")
    if not 0 < int(port) <= 65535:  # noqa: PLR2004 -- the range of TCP ports
        raise EndpointAddressError(f"{address!r} has no such port")
    return host, int(port)


async def _attempt(
    handshake: "_Handshake", host: str, port: int, within: timedelta
) -> str:
    """Run the handshake and return how it failed, empty if it did not."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            await handshake.run(host, port)
    except TimeoutError:
        return f"{handshake.missing} within {within.total_seconds():g} s"
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return "the peer closed the connection during the handshake"
    except ssl.SSLError as error:
        return _reason(error)
    except (OSError, UnicodeError) as error:
        return _words(error)
    return ""


class _Handshake:
    """One client handshake over memory buffers, and how far it came."""

    def __init__(self, server_name: str) -> None:
        """Make a fresh context, so that no session is resumed.

        Raises:
            EndpointAddressError: The server name cannot be sent.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = _wrap(self._incoming, self._outgoing, server_name)
        self._connected = False
        self._answered = False
        self._octets = 0
        self._leaf = b""

    async def run(self, host: str, port: int) -> None:
        """Connect and shake hands as far as it goes.

        Raises:
            OSError: Also ssl.SSLError; what the network or the peer did.
        """
        reader, writer = await asyncio.open_connection(host, port, limit=_CHUNK)
        self._connected = True
        try:
            while not self._step():
                await self._flush(writer)
                self._feed(await reader.read(_CHUNK))
            await self._flush(writer)
        except ConnectionError:
            self._answered = True
            raise
        finally:
            # An alert that says why, or close_notify, should still reach the peer.
            writer.write(self._outgoing.read())
            writer.close()

    def _step(self) -> bool:
        """Go on with the handshake; return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._leaf = _leaf(self._tls)
        # RFC 8446 section 6.1 wants a goodbye; the peer's is not awaited.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        return True

    async def _flush(self, writer: asyncio.StreamWriter) -> None:
        """Send what TLS wants to send."""
        data = self._outgoing.read()
        if _is_client_certificate(data):
            self._leaf = _leaf(self._tls)
        if data:
            writer.write(data)
            await writer.drain()

    def _feed(self, data: bytes) -> None:
        """Take what the peer sent; nothing means that it closed the connection."""
        self._answered = True
        self._octets += len(data)
        if self._octets > MAX_OCTETS:
            raise OSError(0, f"the handshake is larger than {MAX_OCTETS} octets")
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the leaf that was served, in hexadecimal, or nothing.

        A leaf counts once the peer has shown that it holds the key. A completed
        handshake shows it (RFC 8446 section 4.4.3, RFC 5246 section 7.4.3).
        """
        return hashlib.sha256(self._leaf).hexdigest() if self._leaf else ""

    @property
    def sight(self) -> Sight:
        """Return what was seen in the end."""
        if self._leaf:
            return Sight.SERVED
        return Sight.BROKEN if self._answered else Sight.UNREACHABLE

    @property
    def missing(self) -> str:
        """Say what the peer owes."""
        if not self._connected:
            return "no connection"
        return "no complete handshake" if self._octets else "no answer"


def _wrap(
    incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str
) -> ssl.SSLObject:
    """Return a TLS client that trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        return context.wrap_bio(incoming, outgoing, server_hostname=_sni(server_name))
    except ValueError as error:
        raise EndpointAddressError(
            f"server name {server_name!r} cannot be sent"
        ) from error


def _is_client_certificate(flight: bytes) -> bool:
    """Return whether our flight begins with a Certificate message in the clear.

    Only TLS 1.2 does that, and only where the peer demands a client certificate. The
    same flight answers ServerKeyExchange, signed with the leaf's key (RFC 5246 7.4.3)
    and checked by then. The peer may still end the handshake for want of ours.
    """
    handshake_record, certificate_message = 22, 11
    return (
        len(flight) > 5  # noqa: PLR2004 -- the record header (RFC 5246 6.2.1)
        and flight[0] == handshake_record
        and flight[5] == certificate_message
    )


def _sni(server_name: str) -> str | None:
    """Return the name to send: "literal IPv4 and IPv6 addresses are not permitted"."""
    name = server_name.rstrip(".")
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name or None
    return None


def _leaf(tls: ssl.SSLObject) -> bytes:
    """Return the DER of the certificate that the peer sent first, empty if none."""
    if sys.version_info >= (3, 13):
        chain: list[bytes] = tls.get_unverified_chain()
        return chain[0] if chain else b""
    # No public way before 3.13 shows the chain of an unfinished handshake.
    from _ssl import ENCODING_DER  # noqa: PLC0415 -- as above

    certificates = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # noqa: SLF001 -- as above
    return certificates[0].public_bytes(ENCODING_DER) if certificates else b""


def _reason(error: ssl.SSLError) -> str:
    """Word an SSL error without OpenSSL's file names and line numbers."""
    words = (error.reason or str(error.args[-1])).replace("_", " ").lower()
    return f"tls: {words[:MAX_REASON]}"


def _words(error: OSError | UnicodeError) -> str:
    """Word a failure of the network; asyncio puts the address where the reason was."""
    if isinstance(error, UnicodeError):
        return "the host is no host name"
    words = os.strerror(error.errno) if error.errno else error.strerror or str(error)
    return words[:MAX_REASON].lower()
