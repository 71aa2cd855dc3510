"""DER as far as small structures need it that no library knows (X.690 section 8)."""

from typing import Final

SEQUENCE: Final = 0x30
IA5_STRING: Final = 0x16
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
UTF8_STRING: Final = 0x0C
_CONTEXT: Final = 0xA0
_LONG: Final = 0x80


def element(tag: int, body: bytes) -> bytes:
    """Return an element of tag, length and body.

    >>> element(IA5_STRING, b"AMF").hex()
    '1603414d46'
    """
    return bytes([tag]) + length(len(body)) + body


def explicit(number: int, inner: bytes) -> bytes:
    """Return an element with a context-specific tag around it (EXPLICIT)."""
    return element(_CONTEXT | number, inner)


def integer(number: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return element(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def length(number: int) -> bytes:
    """Return the octets of a length, the shortest there are."""
    if number < _LONG:
        return bytes([number])
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([_LONG | len(octets)]) + octets


def first(der: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and body of the first element, and what follows it.

    Raises:
        ValueError: There is none, or its length is not DER's.
    """
    if len(der) < 2:  # noqa: PLR2004 -- a tag and a length
        raise ValueError("it ends too soon")
    count = der[1] & ~_LONG if der[1] & _LONG else 0
    start = 2 + count
    size = int.from_bytes(der[2:start], "big") if count else der[1]
    if length(size) != der[1:start] or len(der) < start + size:
        raise ValueError("a length is wrong")
    return der[0], der[start : start + size], der[start + size :]


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER.

    >>> oid("1.2.3.4").hex()
    '06032a0304'
    """
    one, two, *rest = (int(arc) for arc in dotted.split("."))
    return element(OBJECT_IDENTIFIER, b"".join(map(_arc, (one * 40 + two, *rest))))


def _arc(number: int) -> bytes:
    """Return a number in groups of seven bits, the highest first."""
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes(reversed(octets))


def dotted(body: bytes) -> str:
    """Return the text of an OBJECT IDENTIFIER's body.

    Raises:
        ValueError: It is none.
    """
    arcs, number = [], 0
    for octet in body:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(number)
            number = 0
    if not arcs or body[-1] & 0x80:
        raise ValueError("it is no object identifier")
    one = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (one, arcs[0] - one * 40, *arcs[1:]))
