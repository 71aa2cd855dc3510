"""A throw-away certification authority: for the TLS of test servers and for token keys.

It knows X.509 as far as a strict verifier asks for it (key usage, key identifiers). It
is not the authority that issues the certificates under test: that is Pebble.
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE: Final = timedelta(days=2)
ROOT_NAME: Final = "test transport root"


class ServerFiles(NamedTuple):
    """Where a server's certificate, its key, and the root that vouches for it are."""

    root: Path
    certificate: Path
    key: Path


class Authority:
    """A root that lives in this process only."""

    def __init__(self) -> None:
        """Make the root's key and certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key()
        self.root = (
            _builder(ROOT_NAME, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signing_usage(), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self, names: tuple[str, ...], public: CertificatePublicKeyTypes
    ) -> x509.Certificate:
        """Return a server certificate for DNS names or addresses."""
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        alternatives = x509.SubjectAlternativeName([_alternative(n) for n in names])
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return (
            _builder(names[0], public)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(alternatives, critical=False)
            .add_extension(purpose, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue_client(
        self, name: str, public: CertificatePublicKeyTypes
    ) -> x509.Certificate:
        """Return a client certificate with a common name and nothing more."""
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return (
            _builder(name, public)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(purpose, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def make_server(directory: Path, names: tuple[str, ...]) -> ServerFiles:
    """Make an authority and a server certificate with its key, all PEM."""
    authority = Authority()
    key = ec.generate_private_key(ec.SECP256R1())
    files = ServerFiles(
        directory / "transport-root.pem",
        directory / "server.pem",
        directory / "server.key",
    )
    files.root.write_bytes(pem(authority.root))
    files.certificate.write_bytes(pem(authority.issue(names, key.public_key())))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _signing_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: str, public: CertificatePublicKeyTypes
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(ROOT_NAME))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
