"""Roots out of PEM files, EST answers and signed lists: read, checked, counted.

A root is a certificate of a CA: BasicConstraints says so, and a key usage, where there
is one, allows signing certificates. Name constraints and policies are left to those who
verify with it.
"""

import base64
import binascii
import hashlib
import re
import warnings
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from agent.acme.problem import printable
from agent.trust.errors import BoundsError, EntryError, FormatError

MAX_ROOTS: Final = 500
"""Roots of one list; the stores of browsers hold some 150."""
MAX_DOCUMENT: Final = 1 << 20
"""Octets of a list as it is fetched."""
MAX_BUNDLE: Final = 512 << 10
"""Characters of all roots of a list as PEM."""
MAX_SUBJECT: Final = 200

_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)
"""What `cryptography` raises for a certificate that it cannot read, or warns of."""
_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----"
)


class Root(NamedTuple):
    """One root as it stands in a document.

    Attributes:
        fingerprint: SHA-256 of the certificate's DER, lower-case hexadecimal.
        key: SHA-256 of its SubjectPublicKeyInfo, lower-case hexadecimal.
        subject: Its subject, printable and bounded.
        not_before: When it begins.
        not_after: When it ends.
        pem: The certificate.
    """

    fingerprint: str
    key: str
    subject: str
    not_before: datetime
    not_after: datetime
    pem: str


class Document(NamedTuple):
    """What a source said, checked by itself and not yet against what is in force.

    Attributes:
        roots: Each of them once, in the order of the document.
        digest: SHA-256 of what it says, lower-case hexadecimal.
        distrusted: SHA-256 of certificates that are taken away at once.
        distrusted_keys: SHA-256 of keys, each with all of its certificates.
        sequence: Number of a signed list; 0 for the others.
        expires: When a signed list ends; None for the others.
        signer: Key that signed it, SubjectPublicKeyInfo, DER; empty for the others.
        pin: Key that the configuration pins; empty for the others.
    """

    roots: tuple[Root, ...]
    digest: str
    distrusted: frozenset[str] = frozenset()
    distrusted_keys: frozenset[str] = frozenset()
    sequence: int = 0
    expires: datetime | None = None
    signer: bytes = b""
    pin: bytes = b""

    @property
    def trusted(self) -> tuple[Root, ...]:
        """Return the roots that the document does not distrust itself."""
        return tuple(
            root
            for root in self.roots
            if not self.distrusts(root.fingerprint, root.key)
        )

    def distrusts(self, fingerprint: str, key: str) -> bool:
        """Tell whether a root is taken away, by its certificate or by its key."""
        return fingerprint in self.distrusted or key in self.distrusted_keys


def read_pem(data: bytes) -> Document:
    """Return the roots of a PEM file; text between its blocks is allowed.

    Raises:
        BoundsError: It is too large.
        FormatError: It holds no certificate, or something else as well.
        EntryError: One of them is no CA, or cannot be read.
    """
    bounded(data)
    blocks = _BLOCK.findall(data)
    if data.count(b"-----BEGIN") != len(blocks):
        raise FormatError("the file holds something other than certificates")
    if not blocks:
        raise FormatError("the file holds no certificate")
    count(len(blocks))
    return of_roots(_root(x509.load_pem_x509_certificate, block) for block in blocks)


def read_cacerts(body: bytes) -> Document:
    """Return the roots of an EST answer to `/cacerts` (RFC 7030 section 4.1.3).

    That is a certs-only CMC Simple PKI Response in base64. Beside "the current root CA
    certificate" it holds intermediates, and while a root rolls over OldWithNew and
    NewWithOld (RFC 4210 section 4.4): only what signed itself is a root.

    Raises:
        BoundsError: It is too large.
        FormatError: It is no such response, or holds no root.
        EntryError: A certificate in it cannot be read.
    """
    # It brings the library's mail parser with it, which few daemons need.
    from cryptography.hazmat.primitives.serialization import pkcs7  # noqa: PLC0415

    bounded(body)
    try:
        # RFC 8951 section 3.1: the content is base64 whatever headers say, and
        # clients are to take line breaks anywhere in it.
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise FormatError("the answer to cacerts is not base64") from error
    try:
        with warnings.catch_warnings():
            # Some servers send BER, which the library reads and warns of.
            warnings.simplefilter("ignore", UserWarning)
            certificates = pkcs7.load_der_pkcs7_certificates(der)
    except _UNREADABLE as error:
        raise FormatError("the answer to cacerts is no pkcs#7 of certificates") from (
            error
        )
    count(len(certificates))
    roots = [c for c in certificates if _signed_itself(c)]
    if not roots:
        raise FormatError("the answer to cacerts holds no root")
    return of_roots(_root(_same, root) for root in roots)


def read_der(text: str) -> Root:
    """Return a root that is given as base64 of its DER.

    Raises:
        EntryError: It is no CA, or cannot be read.
    """
    try:
        der = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise EntryError("an entry is not base64") from error
    return _root(x509.load_der_x509_certificate, der)


def of_roots(roots: Iterable[Root]) -> Document:
    """Return an unsigned document of roots, each of them once."""
    unique = tuple({root.fingerprint: root for root in roots}.values())
    said = "\n".join(sorted(root.fingerprint for root in unique))
    return Document(unique, hashlib.sha256(said.encode("ascii")).hexdigest())


def bounded(data: bytes) -> None:
    """Refuse a document before anything is parsed.

    Raises:
        BoundsError: It is larger than `MAX_DOCUMENT`.
    """
    if len(data) > MAX_DOCUMENT:
        raise BoundsError(f"the list is larger than {MAX_DOCUMENT} octets")


def count(entries: int) -> None:
    """Refuse more entries than a list of roots should have.

    Raises:
        BoundsError: There are more than `MAX_ROOTS`.
    """
    if entries > MAX_ROOTS:
        raise BoundsError(f"the list has {entries} entries, more than {MAX_ROOTS}")


Raw = TypeVar("Raw")


def _same(certificate: x509.Certificate) -> x509.Certificate:
    return certificate


def _root(load: Callable[[Raw], x509.Certificate], raw: Raw) -> Root:
    """Return a certificate as a root.

    Raises:
        EntryError: It is no CA, or cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # The library warns of what RFC 5280 forbids, such as a serial number of 0.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            return _checked(load(raw))
    except _UNREADABLE as error:
        raise EntryError("an entry is a certificate that cannot be read") from error


def _checked(certificate: x509.Certificate) -> Root:
    subject = printable(certificate.subject.rfc4514_string(), MAX_SUBJECT)
    extensions = certificate.extensions
    try:
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = basic.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if not is_ca:
        raise EntryError(f"the entry {subject or 'without a name'} is no ca")
    for extension in extensions:
        usage = extension.value
        if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
            raise EntryError(f"the entry {subject} may not sign certificates")
    public = certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return Root(
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        key=hashlib.sha256(public).hexdigest(),
        subject=subject,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
    )


def _signed_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (*_UNREADABLE, TypeError, InvalidSignature):
        return False
    return True
