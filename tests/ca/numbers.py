"""Telephone numbers of an order: TNAuthList as RFC 8226 9 and RFC 9448 3 define it.

Reads the DER of an identifier, and says what is wrong with it. Shares nothing with the
side that wrote it.
"""

import re
from typing import Final

from cryptography import x509

from tests.ca.jose import b64decode
from tests.ca.problems import refusal

OID: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
_NUMBER: Final = re.compile(rb"[0-9#*]{1,15}")


def check_list(value: str) -> None:
    """Refuse an identifier whose value is no TNAuthorizationList in DER."""
    try:
        _check(b64decode(value, "the value"))
    except (ValueError, IndexError) as error:
        raise refusal("malformed", f"{value!r} is no TNAuthList: {error}") from error


def _check(der: bytes) -> None:
    entries, rest = _take(der, 0x30)
    if not entries or rest:
        raise ValueError("not one list with entries")
    while entries:
        kind = entries[0]
        entry, entries = _take(entries, kind)
        _entry(kind, entry)


def _entry(kind: int, entry: bytes) -> None:
    if kind == 0xA0:
        code, rest = _take(entry, 0x16)
        good = bool(code) and code.isascii() and not rest
    elif kind == 0xA1:
        body, rest = _take(entry, 0x30)
        start, body = _take(body, 0x16)
        count, more = _take(body, 0x02)
        number = int.from_bytes(count, "big", signed=True)
        good = bool(_NUMBER.fullmatch(start)) and number >= 2 and not rest + more
    elif kind == 0xA2:
        one, rest = _take(entry, 0x16)
        good = bool(_NUMBER.fullmatch(one)) and not rest
    else:
        good = False
    if not good:
        raise ValueError(f"an entry {kind:#x} that cannot be")


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the body of an element with this tag, and what follows."""
    if data[0] != tag:
        raise ValueError(f"tag {data[0]:#x} instead of {tag:#x}")
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
        if size < 0x80 or data[2] == 0:
            raise ValueError("a length in more octets than it needs")
    if len(data) < start + size:
        raise ValueError("it ends too soon")
    return data[start : start + size], data[start + size :]


def of_request(csr: x509.CertificateSigningRequest) -> bytes | None:
    """Return the list that a request asks for, DER."""
    try:
        extension = csr.extensions.get_extension_for_oid(OID)
    except x509.ExtensionNotFound:
        return None
    return extension.value.public_bytes()
