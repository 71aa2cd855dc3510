"""Devices as identifiers: permanent-identifier and hardware-module.

draft-ietf-acme-device-attest sections 3 and 4: their values, and the otherName that
stands for them in a certificate (RFC 4043, RFC 4108).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from agent.acme import der
from agent.acme.identifiers import HARDWARE_MODULE, PERMANENT_IDENTIFIER, Identifier

OIDS: Final[Mapping[str, str]] = {
    PERMANENT_IDENTIFIER: "1.3.6.1.5.5.7.8.3",
    HARDWARE_MODULE: "1.3.6.1.5.5.7.8.4",
}
"""id-on-permanentIdentifier and id-on-hardwareModuleName."""
TYPES: Final = frozenset(OIDS)
_ARC: Final = r"(0|[1-9][0-9]{0,38})"
"""A number; those below 2.25 have up to 39 digits, they are UUIDs (X.667)."""
_OID: Final = rf"([01]\.[1-3]?[0-9]|2\.{_ARC})(\.{_ARC}){{0,20}}"
_VALUES: Final = {
    PERMANENT_IDENTIFIER: re.compile(rf"[^/\x00-\x1f]{{1,256}}(/{_OID})?"),
    HARDWARE_MODULE: re.compile(rf"[^/\x00-\x1f]{{1,256}}/{_OID}"),
}


def is_device(identifier: Identifier) -> bool:
    """Tell whether an identifier is of a device."""
    return identifier.type in TYPES


def is_value(kind: str, text: str) -> bool:
    """Tell whether a text is a value of a type: an id, and an oid behind a slash.

    The oid, of the assigner or of the hardware, may be missing for the former only.
    """
    return _VALUES[kind].fullmatch(text) is not None


def other_name(identifier: Identifier) -> bytes:
    """Return the value of the otherName, DER.

    >>> other_name(Identifier(type=HARDWARE_MODULE, value="ABCD/1.2.3.4")).hex()
    '300b06032a0304040441424344'
    """
    text, _, oid = identifier.value.partition("/")
    if identifier.type == HARDWARE_MODULE:
        serial = der.element(der.OCTET_STRING, text.encode())
        return der.element(der.SEQUENCE, der.oid(oid) + serial)
    assigner = der.oid(oid) if oid else b""
    name = der.element(der.UTF8_STRING, text.encode())
    return der.element(der.SEQUENCE, name + assigner)


def identifier_of(oid: str, value: bytes) -> Identifier | None:
    """Return the identifier that an otherName stands for; None for no such name."""
    kind = next((k for k, known in OIDS.items() if known == oid), None)
    if kind is None:
        return None
    try:
        tag, body, rest = der.first(value)
        text = _READERS[kind](body)
    except ValueError:
        return None
    return None if rest or tag != der.SEQUENCE else Identifier(type=kind, value=text)


def _permanent(body: bytes) -> str:
    tag, text, rest = der.first(body)
    if tag != der.UTF8_STRING:
        raise ValueError("it has no identifier")
    return text.decode() + (f"/{_only_oid(rest)}" if rest else "")


def _hardware(body: bytes) -> str:
    tag, kind, rest = der.first(body)
    other, serial, more = der.first(rest)
    if (tag, other, more) != (der.OBJECT_IDENTIFIER, der.OCTET_STRING, b""):
        raise ValueError("it has no serial number")
    return f"{serial.decode()}/{der.dotted(kind)}"


def _only_oid(data: bytes) -> str:
    tag, body, rest = der.first(data)
    if tag != der.OBJECT_IDENTIFIER or rest:
        raise ValueError("it has no assigner")
    return der.dotted(body)


_READERS: Final[Mapping[str, Callable[[bytes], str]]] = {
    PERMANENT_IDENTIFIER: _permanent,
    HARDWARE_MODULE: _hardware,
}
