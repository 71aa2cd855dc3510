"""The format `tpm`, judged as WebAuthn section 8.3.1 and step-ca do.

The structures are read here octet by octet (TPM 2.0 Part 2), by no library of a TPM.
"""

from collections.abc import Mapping
from hashlib import sha256, sha384
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.ca.devices import other_name
from tests.ca.identifiers import Identifier
from tests.ca.problems import refusal

AIK: Final = x509.ObjectIdentifier("2.23.133.8.3")
"""tcg-kp-AIKCertificate."""
ABOUT: Final = {"2.23.133.2.1", "2.23.133.2.2", "2.23.133.2.3"}
"""Manufacturer, model and version of a TPM."""
MAGIC: Final = bytes.fromhex("ff544347")
CERTIFY: Final = bytes.fromhex("8017")
RSA, ECC, NULL = 0x0001, 0x0023, 0x0010
FIXED: Final = 1 << 1 | 1 << 4 | 1 << 5
"""fixedTPM, fixedParent, sensitiveDataOrigin."""
RESTRICTED: Final = 1 << 16
CURVES: Final[Mapping[int, type[ec.EllipticCurve]]] = {
    3: ec.SECP256R1,
    4: ec.SECP384R1,
}
DIGESTS: Final = {0x000B: sha256, 0x000C: sha384}
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class Reader:
    """Takes one thing after another."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first octet."""
        self._rest = data

    def take(self, size: int) -> bytes:
        """Return so many octets."""
        found, self._rest = self._rest[:size], self._rest[size:]
        if len(found) != size:
            raise refusal("malformed", "a structure of the tpm ends too soon")
        return found

    def number(self, size: int) -> int:
        """Return an unsigned integer."""
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        """Return a TPM2B."""
        return self.take(self.number(2))

    def end(self) -> None:
        """Refuse what is left."""
        if self._rest:
            raise refusal("malformed", "there is more than a structure of the tpm")


class Public(NamedTuple):
    """What a TPMT_PUBLIC says.

    Attributes:
        key: The key itself.
        attributes: TPMA_OBJECT.
        name: How a TPM calls it.
    """

    key: PublicKey
    attributes: int
    name: bytes


def certified_key(
    statement: Mapping[object, object], leaf: x509.Certificate, data: bytes
) -> PublicKey:
    """Return the key that the TPM has certified by the key of the leaf.

    Args:
        statement: `attStmt`.
        leaf: The attestation key's certificate.
        data: What is to be attested.
    """
    if statement.get("ver") != "2.0":
        raise refusal("malformed", "ver is not 2.0")
    parts = [statement.get(name) for name in ("certInfo", "sig", "pubArea")]
    info, signature, area = (part for part in parts if isinstance(part, bytes))
    _signed(leaf, statement.get("alg"), signature, info)
    public = _public(area)
    if public.attributes & FIXED != FIXED or public.attributes & RESTRICTED:
        raise refusal("malformed", "the key was not made in a tpm to stay there")
    if _named(info, sha256(data).digest()) != public.name:
        raise refusal("malformed", "the tpm has certified another key than pubArea")
    return public.key


def require_attestation_key(leaf: x509.Certificate, identifier: Identifier) -> None:
    """Refuse a certificate that is of no attestation key, or of another device."""
    found = leaf.extensions
    try:
        basic = found.get_extension_for_class(x509.BasicConstraints).value
        usage = found.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise refusal("malformed", "an extension of the ak is missing") from error
    if leaf.version is not x509.Version.v3 or leaf.subject.rdns or basic.ca:
        raise refusal("malformed", "the certificate is of no attestation key")
    if AIK not in usage:
        raise refusal("malformed", "the usage is not that of an attestation key")
    said = {
        attribute.oid.dotted_string
        for name in names.get_values_for_type(x509.DirectoryName)
        for attribute in name
    }
    if not said >= ABOUT:
        raise refusal("malformed", "manufacturer, model or version is missing")
    if other_name(identifier.type, identifier.value) not in list(names):
        raise refusal("malformed", "another device is attested")


def _signed(
    leaf: x509.Certificate, algorithm: object, signature: bytes, info: bytes
) -> None:
    reader, key = Reader(signature), leaf.public_key()
    scheme, digest, first = reader.number(2), reader.number(2), reader.sized()
    try:
        if (algorithm, scheme, digest) == (-257, 0x0014, 0x000B):
            assert isinstance(key, rsa.RSAPublicKey)
            key.verify(first, info, padding.PKCS1v15(), hashes.SHA256())
        elif (algorithm, scheme, digest) == (-7, 0x0018, 0x000B):
            assert isinstance(key, ec.EllipticCurvePublicKey)
            r, s = (int.from_bytes(p, "big") for p in (first, reader.sized()))
            key.verify(encode_dss_signature(r, s), info, ec.ECDSA(hashes.SHA256()))
        else:
            raise refusal("malformed", "alg is not that of sig")
    except (AssertionError, InvalidSignature) as error:
        raise refusal("malformed", "certInfo is not signed by the ak") from error
    reader.end()


def _named(info: bytes, data: bytes) -> bytes:
    """Return the name of the key that a TPMS_ATTEST certifies."""
    reader = Reader(info)
    if reader.take(4) != MAGIC or reader.take(2) != CERTIFY:
        raise refusal("malformed", "certInfo is no certification by a tpm")
    reader.sized()
    if reader.sized() != data:
        raise refusal("malformed", "certInfo is not about the key authorization")
    reader.take(17 + 8)
    name = reader.sized()
    reader.sized()
    reader.end()
    return name


def _public(area: bytes) -> Public:
    reader = Reader(area)
    kind, digest, attributes = (reader.number(size) for size in (2, 2, 4))
    if digest not in DIGESTS:
        raise refusal("malformed", "the name of the key is of no known digest")
    reader.sized()
    if reader.number(2) != NULL:
        raise refusal("malformed", "the key is for encryption below it")
    _scheme(reader)
    key = _rsa(reader) if kind == RSA else _ecc(reader, kind)
    reader.end()
    name = digest.to_bytes(2, "big") + DIGESTS[digest](area).digest()
    return Public(key, attributes, name)


def _scheme(reader: Reader) -> None:
    if reader.number(2) != NULL:
        reader.take(2)


def _rsa(reader: Reader) -> PublicKey:
    reader.take(2)
    exponent = reader.number(4) or 65537
    modulus = int.from_bytes(reader.sized(), "big")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _ecc(reader: Reader, kind: int) -> PublicKey:
    curve = reader.number(2)
    if kind != ECC or curve not in CURVES:
        raise refusal("malformed", "the key is of no known kind")
    _scheme(reader)
    x, y = (int.from_bytes(reader.sized(), "big") for _ in range(2))
    return ec.EllipticCurvePublicNumbers(x, y, CURVES[curve]()).public_key()
