"""Roots, peers and signed lists, made with `cryptography` and nothing of ours."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey


class Ca(NamedTuple):
    """A root and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        """Return the certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """Return the certificate as DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """Return SHA-256 of the certificate."""
        return hashlib.sha256(self.der).hexdigest()


@cache
def key(number: int) -> Key:
    """Return the n-th key; always the same one."""
    return ec.derive_private_key(number + 1, ec.SECP256R1())


def public(number: int) -> bytes:
    """Return the SubjectPublicKeyInfo of the n-th key."""
    return (
        key(number)
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


@cache
def root(
    number: int,
    *,
    begins: datetime = NOW - 100 * DAY,
    life: timedelta = 3650 * DAY,
    name: x509.Name | None = None,
    of: int | None = None,
    ca: bool = True,
    cert_sign: bool = True,
) -> Ca:
    """Return a self-signed root; `of` is the number of its key if that is another."""
    private = key(number if of is None else of)
    subject = name or named(f"Root {number}")
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(number + 1)
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_usage(cert_sign=cert_sign), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()),
            critical=False,
        )
    )
    return Ca(built.sign(private, hashes.SHA256()), private)


def named(text: str) -> x509.Name:
    """Return a name with one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def issued(
    ca: Ca,
    name: str,
    begins: datetime,
    life: timedelta,
    number: int = 900,
    *,
    is_ca: bool = False,
) -> Ca:
    """Return a certificate that a root issued: a peer's, or an intermediate."""
    private = key(number)
    usage = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(ca.certificate.subject)
        .public_key(private.public_key())
        .serial_number(number)
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()),
            critical=False,
        )
    )
    if is_ca:
        built = built.add_extension(_usage(cert_sign=True), critical=True)
    else:
        sans = x509.SubjectAlternativeName([x509.DNSName(name)])
        built = built.add_extension(sans, critical=False)
        built = built.add_extension(usage, critical=False)
    return Ca(built.sign(ca.key, hashes.SHA256()), private)


def _usage(*, cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


# -- signed lists, as docs/trust-lists.md defines them


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jws(payload: bytes, signer: int, typ: str, **header: object) -> str:
    """Return a compact JWS by the n-th key with ES256."""
    kid = hashlib.sha256(public(signer)).hexdigest()
    members = {"alg": "ES256", "typ": typ, "kid": kid, **header}
    signed = f"{b64(json.dumps(members).encode())}.{b64(payload)}"
    r, s = decode_dss_signature(
        key(signer).sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    )
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def entry(ca: Ca) -> dict[str, object]:
    """Return the entry of a root."""
    return {"certificate": base64.b64encode(ca.der).decode()}


def payload(
    entries: Sequence[Mapping[str, object]],
    *,
    sequence: int = 1,
    name: str = "operator-roots",
    issued_at: datetime = NOW,
    expires: datetime = NOW + 30 * DAY,
    version: int = 1,
) -> bytes:
    """Return what a list says."""
    members = {
        "version": version,
        "name": name,
        "sequence": sequence,
        "issued": issued_at.isoformat(),
        "expires": expires.isoformat(),
        "entries": list(entries),
    }
    return json.dumps(members).encode()


def succession(by: int, to: int, name: str = "operator-roots") -> str:
    """Return the statement by which one key names its successor."""
    successor = base64.b64encode(public(to)).decode()
    said = json.dumps({"name": name, "successor": successor}).encode()
    return jws(said, by, "nfcertd-trust-succession")


def signed(said: bytes, signer: int = 500, *successions: str) -> bytes:
    """Return a whole signed list."""
    compact = jws(said, signer, "nfcertd-trust-list")
    return json.dumps({"successions": successions, "list": compact}).encode()
