"""Devices as names of certificates (RFC 4043, RFC 4108), for the test CA."""

import re
from typing import Final

from cryptography import x509

from tests.ca.problems import refusal

DEVICES: Final = {
    "permanent-identifier": x509.ObjectIdentifier("1.3.6.1.5.5.7.8.3"),
    "hardware-module": x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"),
}
_OID: Final = re.compile(r"[0-2](\.\d+)+")


def check_device(kind: str, value: str) -> None:
    """Refuse a value that is not `id` or `id/oid`; hardware always has the latter."""
    text, slash, oid = value.partition("/")
    needed = kind == "hardware-module"
    if not text or (slash and not _OID.fullmatch(oid)) or (needed and not slash):
        raise refusal("malformed", f"{value!r} is no {kind}")


def other_name(kind: str, value: str) -> x509.OtherName:
    """Return the name that stands for a device."""
    text, _, oid = value.partition("/")
    arcs = _oid(oid) if oid else b""
    if kind == "permanent-identifier":
        body = _element(0x0C, text.encode()) + arcs
    else:
        body = arcs + _element(0x04, text.encode())
    return x509.OtherName(DEVICES[kind], _element(0x30, body))


def _element(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size > 0xFFFF:
        raise ValueError("too long")
    if size < 0x80:
        return bytes([tag, size]) + body
    octets = size.to_bytes(1 if size < 0x100 else 2, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + body


def _oid(dotted: str) -> bytes:
    # The library writes an OID as the usage of a key: SEQUENCE { OID }.
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(dotted)])
    return usage.public_bytes()[2:]
