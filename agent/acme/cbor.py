"""CBOR as attestation objects need it: encoding of a few types (RFC 8949).

The shortest form of everything, and maps in the order of WebAuthn's canonical form
(CTAP2): shorter keys first, then by their octets. Nothing is ever decoded.
"""

from collections.abc import Mapping, Sequence
from typing import Final

Value = int | bytes | str | Sequence["Value"] | Mapping[str, "Value"]

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_IMMEDIATE: Final = 24
_SIZES: Final = ((24, 1), (25, 2), (26, 4), (27, 8))


def encode(value: Value) -> bytes:
    """Return a value in CBOR.

    >>> encode({"fmt": "tpm", "alg": -257}).hex()
    'a263616c6739010063666d746374706d'

    Raises:
        ValueError: An integer has more than 64 bits.
    """
    match value:
        case int():
            return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, ~value)
        case bytes():
            return _head(_BYTES, len(value)) + value
        case str():
            octets = value.encode()
            return _head(_TEXT, len(octets)) + octets
        case Mapping():
            pairs = sorted(
                ((encode(key), encode(item)) for key, item in value.items()),
                key=lambda pair: (len(pair[0]), pair[0]),
            )
            return _head(_MAP, len(pairs)) + b"".join(k + v for k, v in pairs)
        case _:
            return _head(_ARRAY, len(value)) + b"".join(encode(v) for v in value)


def _head(major: int, argument: int) -> bytes:
    """Return the initial octet and the argument behind it (section 3)."""
    if argument < _IMMEDIATE:
        return bytes([major << 5 | argument])
    for additional, size in _SIZES:
        if argument < 1 << 8 * size:
            return bytes([major << 5 | additional]) + argument.to_bytes(size, "big")
    raise ValueError("an integer has more than 64 bits")
