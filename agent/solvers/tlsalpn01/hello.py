"""What a client says first: TLS's ClientHello (RFC 8446 section 4.1.2), as a value.

Python's `ssl` shows a server the name that a client asks for and never the protocols
that it offers. Both decide whether we answer at all, so both are read before OpenSSL
sees an octet. Nothing else of the message is understood, and nothing is believed.
"""

from typing import Final, NamedTuple

MAX_HELLO: Final = 1 << 14
"""Octets of a ClientHello; one with post-quantum key shares has about 2 KiB."""

MAX_RECORDS: Final = 16
"""Records that it may be cut into; one or two are usual."""

MAX_OCTETS: Final = MAX_HELLO + 1024
"""Octets of its records."""

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_ALPN: Final = 16
_RECORD_HEADER: Final = 5
_MESSAGE_HEADER: Final = 4
_MAX_RECORD: Final = 1 << 14
_TLS_MAJOR: Final = 3
_VERSION_AND_RANDOM: Final = 34


class HelloError(ValueError):
    """The octets are no ClientHello; never leaves the listener."""


class ClientHello(NamedTuple):
    """What a client asks for.

    Attributes:
        server_name: The name (RFC 6066 section 3) in lower case, without a final dot;
            empty where it names none.
        protocols: The protocols that it offers (RFC 7301), in its order.
    """

    server_name: str
    protocols: tuple[bytes, ...]


def client_hello(octets: bytes) -> ClientHello | None:
    """Return the ClientHello that a connection begins with; None while it is not whole.

    Raises:
        HelloError: The octets begin something else, or too much.
    """
    message = _message(octets)
    if message is None:
        return None
    fields = _Fields(message)
    fields.take(_VERSION_AND_RANDOM)
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        fields.vector(width)
    extensions = _extensions(fields.vector(2)) if fields.left else {}
    return ClientHello(
        server_name=_server_name(extensions.get(_SERVER_NAME)),
        protocols=_protocols(extensions.get(_ALPN)),
    )


def _message(octets: bytes) -> bytes | None:
    """Return the body of the handshake message that the first records hold."""
    gathered, at = b"", 0
    for _ in range(MAX_RECORDS):
        if len(octets) - at < _RECORD_HEADER:
            break
        length = int.from_bytes(octets[at + 3 : at + _RECORD_HEADER], "big")
        wrong_type = octets[at] != _HANDSHAKE or octets[at + 1] != _TLS_MAJOR
        if wrong_type or not 0 < length <= _MAX_RECORD:
            raise HelloError("not a handshake record")
        gathered += octets[at + _RECORD_HEADER : at + _RECORD_HEADER + length]
        at += _RECORD_HEADER + length
        if len(gathered) >= _MESSAGE_HEADER:
            size = int.from_bytes(gathered[1:_MESSAGE_HEADER], "big")
            if gathered[0] != _CLIENT_HELLO or size > MAX_HELLO:
                raise HelloError("not a ClientHello")
            if len(gathered) >= _MESSAGE_HEADER + size:
                return gathered[_MESSAGE_HEADER : _MESSAGE_HEADER + size]
    else:
        raise HelloError("too many records")
    if len(octets) > MAX_OCTETS:
        raise HelloError("too many octets")
    return None


class _Fields:
    """Takes fields from the front of octets; what is too short is refused."""

    def __init__(self, octets: bytes) -> None:
        self.left = octets

    def take(self, count: int) -> bytes:
        if len(self.left) < count:
            raise HelloError("cut off")
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        """Return a vector whose length stands in `width` octets before it."""
        return self.take(self.number(width))


def _extensions(octets: bytes) -> dict[int, bytes]:
    fields, found = _Fields(octets), dict[int, bytes]()
    while fields.left:
        kind = fields.number(2)
        if kind in found:
            # Section 4.2 forbids it: readers could differ about which one counts.
            raise HelloError("an extension stands twice")
        found[kind] = fields.vector(2)
    return found


def _server_name(extension: bytes | None) -> str:
    if extension is None:
        return ""
    names = _Fields(_Fields(extension).vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            return name.decode("ascii", "replace").lower().removesuffix(".")
    return ""


def _protocols(extension: bytes | None) -> tuple[bytes, ...]:
    if extension is None:
        return ()
    fields, found = _Fields(_Fields(extension).vector(2)), list[bytes]()
    while fields.left:
        found.append(fields.vector(1))
    return tuple(found)
