"""CBOR as an attestation object has it: definite lengths, no floats (RFC 8949).

Strict where it matters: nothing behind the value, text in UTF-8, no key twice.
"""

from typing import Final

_MAX_DEPTH: Final = 8
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def decode(data: bytes) -> object:
    """Return the one value in `data`; ValueError for anything else."""
    value, rest = _value(data, _MAX_DEPTH)
    if rest:
        raise ValueError("there is more than one value")
    return value


def _value(data: bytes, depth: int) -> tuple[object, bytes]:
    if not depth:
        raise ValueError("too deep")
    major, argument, rest = _head(data)
    if major == 0:
        return argument, rest
    if major == 1:
        return -1 - argument, rest
    if major in {2, 3}:
        return _string(major, argument, rest)
    if major == 4:
        items = []
        for _ in range(argument):
            item, rest = _value(rest, depth - 1)
            items.append(item)
        return items, rest
    if major == 5:
        return _map(argument, rest, depth)
    raise ValueError(f"major type {major} is not expected")


def _head(data: bytes) -> tuple[int, int, bytes]:
    if not data:
        raise ValueError("it ends too soon")
    major, low = data[0] >> 5, data[0] & 0x1F
    if low < 24:
        return major, low, data[1:]
    if low not in _SIZES:
        raise ValueError("an indefinite length")
    end = 1 + _SIZES[low]
    if len(data) < end:
        raise ValueError("it ends too soon")
    return major, int.from_bytes(data[1:end], "big"), data[end:]


def _string(major: int, size: int, rest: bytes) -> tuple[object, bytes]:
    if len(rest) < size:
        raise ValueError("it ends too soon")
    octets = rest[:size]
    return (octets.decode() if major == 3 else octets), rest[size:]


def _map(pairs: int, rest: bytes, depth: int) -> tuple[object, bytes]:
    found: dict[object, object] = {}
    for _ in range(pairs):
        key, rest = _value(rest, depth - 1)
        if not isinstance(key, str | int) or key in found:
            raise ValueError("a key that is none, or twice")
        found[key], rest = _value(rest, depth - 1)
    return found, rest
