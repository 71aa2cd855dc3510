"""The name under which OpenSSL looks for a root in a hashed directory.

`X509_NAME_hash`: SHA-1 over the canonical encoding of the subject, its first four
octets read as a little-endian number. Canonical means: text becomes UTF-8 in lower case
(ASCII only), with single spaces inside and none around; every other type stays; the
relative names stand one after the other, without the SEQUENCE around them.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from cryptography import x509

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_UTF8: Final = 0x0C
_VERSION: Final = 0xA0
_LONG: Final = 0x80
_SPACES: Final = re.compile(rb"[ \t\n\v\f\r]+")
_TEXT: Final[Mapping[int, str]] = MappingProxyType(
    {
        _UTF8: "utf-8",
        0x13: "latin-1",  # PrintableString
        0x14: "latin-1",  # T61String: OpenSSL reads it so
        0x16: "latin-1",  # IA5String
        0x1A: "latin-1",  # VisibleString
        0x1C: "utf-32-be",  # UniversalString
        0x1E: "utf-16-be",  # BMPString
    }
)
"""ASN1_MASK_CANON: the types that are compared as text, and how they are encoded."""


class Element(NamedTuple):
    """One element of DER: its tag and its content."""

    tag: int
    content: bytes


def subject_hash(certificate: x509.Certificate) -> str:
    """Return eight hexadecimal digits, as `openssl x509 -subject_hash` prints them."""
    names = _elements(_subject(certificate))
    canonical = b"".join(_canonical_rdn(rdn.content) for rdn in names)
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return digest[3::-1].hex()


def hashed_names(
    certificates: Iterable[x509.Certificate],
) -> dict[str, x509.Certificate]:
    """Return each certificate by its file name; equal subjects are counted from 0."""
    named: dict[str, x509.Certificate] = {}
    for certificate in certificates:
        prefix, number = subject_hash(certificate), 0
        while f"{prefix}.{number}" in named:
            number += 1
        named[f"{prefix}.{number}"] = certificate
    return named


def _subject(certificate: x509.Certificate) -> bytes:
    """Return the content of the subject as it stands in the certificate.

    The library decodes names and would encode some types differently.
    """
    (tbs,) = _elements(certificate.tbs_certificate_bytes)
    fields = [f for f in _elements(tbs.content) if f.tag != _VERSION]
    # RFC 5280 section 4.1: serial, signature, issuer, validity, subject
    return fields[4].content


def _canonical_rdn(content: bytes) -> bytes:
    pairs = sorted(_canonical_pair(pair.content) for pair in _elements(content))
    return _encoded(_SET, b"".join(pairs))


def _canonical_pair(content: bytes) -> bytes:
    kind, value = _elements(content)
    charset = _TEXT.get(value.tag)
    if charset is not None:
        text = value.content.decode(charset, "surrogatepass").encode(
            "utf-8", "surrogatepass"
        )
        value = Element(_UTF8, _SPACES.sub(b" ", text).strip(b" ").lower())
    return _encoded(_SEQUENCE, _encoded(*kind) + _encoded(*value))


def _elements(data: bytes) -> Iterator[Element]:
    """Yield the elements of DER that the library has taken already."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length >= _LONG:
            octets = length - _LONG
            length = int.from_bytes(data[at : at + octets])
            at += octets
        yield Element(tag, data[at : at + length])
        at += length


def _encoded(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _LONG:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG + len(length))) + length + content
