"""Certificates of every shape, made with `cryptography`, for tests of the check."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = "amf1.example"
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


@cache
def private(number: int) -> ec.EllipticCurvePrivateKey:
    """Return the n-th key; always the same one."""
    return ec.derive_private_key(number, ec.SECP256R1())


@cache
def weak_rsa() -> rsa.RSAPrivateKey:
    """Return an RSA key of 1024 bits."""
    return rsa.generate_private_key(65537, 1024)


def spki(key: Private) -> bytes:
    """Return the SubjectPublicKeyInfo of a key, DER."""
    return key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def ca_extensions(
    *, path_length: int | None = None, cert_sign: bool = True
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions of a CA."""
    usage = x509.KeyUsage(
        digital_signature=not cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    basic = x509.BasicConstraints(ca=True, path_length=path_length)
    return [(basic, True), (usage, True)]


def names(*dns: str) -> tuple[x509.ExtensionType, bool]:
    """Return a subjectAltName of DNS names."""
    return x509.SubjectAlternativeName([x509.DNSName(n) for n in dns]), False


def limits(
    *, permitted: Sequence[str] = (), excluded: Sequence[str] = ()
) -> tuple[x509.ExtensionType, bool]:
    """Return name constraints on DNS names."""
    trees = x509.NameConstraints(
        [x509.DNSName(n) for n in permitted] or None,
        [x509.DNSName(n) for n in excluded] or None,
    )
    return trees, True


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a certificate says; the issuer's name and key are those of another spec."""

    subject: str
    key: Private
    begins: datetime = NOW - 30 * DAY
    ends: datetime = NOW + 60 * DAY
    serial: int = 7
    extensions: Extensions = field(default_factory=ca_extensions)


ROOT = Spec(subject="Root", key=private(1), ends=NOW + 900 * DAY)
MIDDLE = Spec(subject="Middle", key=private(2), ends=NOW + 300 * DAY)
LEAF = Spec(subject="", key=private(3), extensions=[names(NAME)])


def named(text: str) -> x509.Name:
    """Return a name with one common name, or none."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else []
    return x509.Name(parts)


def issue(spec: Spec, by: Spec) -> x509.Certificate:
    """Return a certificate of one spec, signed by another."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(spec.subject))
        .issuer_name(named(by.subject))
        .public_key(spec.key.public_key())
        .serial_number(spec.serial)
        .not_valid_before(spec.begins)
        .not_valid_after(spec.ends)
    )
    for extension, critical in spec.extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(by.key, hashes.SHA256())


_SHA256_RSA = bytes.fromhex("06092a864886f70d01010b")
_SHA1_RSA = bytes.fromhex("06092a864886f70d010105")


@cache
def strong_rsa() -> rsa.RSAPrivateKey:
    """Return an RSA key of 2048 bits."""
    return rsa.generate_private_key(65537, 2048)


def with_sha1(certificate: x509.Certificate) -> x509.Certificate:
    """Return a certificate that `strong_rsa` signed, signed again over SHA-1.

    `cryptography` does not make such certificates, and still reads them.
    """
    der = certificate.public_bytes(Encoding.DER)
    body = certificate.tbs_certificate_bytes.replace(_SHA256_RSA, _SHA1_RSA)
    signature = strong_rsa().sign(body, padding.PKCS1v15(), hashes.SHA1())
    weak = der.replace(_SHA256_RSA, _SHA1_RSA)
    return x509.load_der_x509_certificate(
        weak.replace(certificate.signature, signature)
    )


def pem(*certificates: x509.Certificate) -> bytes:
    """Return certificates as one PEM file."""
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def chain(
    leaf: Spec = LEAF, middle: Spec = MIDDLE, root: Spec = ROOT
) -> list[x509.Certificate]:
    """Return leaf, intermediate and root."""
    return [issue(leaf, middle), issue(middle, root), issue(root, root)]


def but(spec: Spec, **changes: object) -> Spec:
    """Return a spec with some of it changed."""
    return replace(spec, **changes)  # type: ignore[arg-type]  # a table of tests
