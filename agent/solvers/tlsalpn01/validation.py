"""The certificate that answers tls-alpn-01, and the context that serves it (RFC 8737).

The key is a throw-away one of this process: it signs one certificate that nobody trusts
and is never written to a file system. A certificate's own key never serves here.
"""

import hashlib
import ipaddress
import os
import ssl
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from agent.acme.identifiers import IP, Identifier
from agent.pki.names import general_names

PROTOCOL: Final = "acme-tls/1"
"""The one protocol (RFC 8737 section 6.2)."""

ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""id-pe-acmeIdentifier (section 6.1)."""

LIFE: Final = timedelta(days=7)
"""To either side of now: a validator need not look, and its clock may differ."""

_OCTET_STRING_32: Final = b"\x04\x20"


class Validation(NamedTuple):
    """What is served for one presentation: a context, and the certificate in DER."""

    context: ssl.SSLContext
    certificate: bytes


def sni(identifier: Identifier) -> str:
    """Return the server name that a CA asks for.

    For an address that is its name in the reverse tree (RFC 8738 section 6); a final
    dot, which some send and RFC 6066 forbids, is taken away from both sides.

    >>> sni(Identifier(type="ip", value="192.0.2.1"))
    '1.2.0.192.in-addr.arpa'
    """
    if identifier.type == IP:
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value.lower().removesuffix(".")


def validation(
    identifier: Identifier, key_authorization: str, now: datetime
) -> Validation:
    """Return what proves an identifier: exactly one name, and the critical digest.

    Takes about a millisecond of computing.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(identifier, key_authorization, key, now)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0
    context.set_alpn_protocols([PROTOCOL])
    _load(context, certificate.public_bytes(Encoding.PEM) + secret)
    return Validation(context, certificate.public_bytes(Encoding.DER))


def _certificate(
    identifier: Identifier,
    key_authorization: str,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    digest = hashlib.sha256(key_authorization.encode("ascii")).digest()
    name = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - LIFE)
        .not_valid_after(now + LIFE)
        .add_extension(
            x509.SubjectAlternativeName(general_names([identifier])), critical=True
        )
        .add_extension(
            x509.UnrecognizedExtension(ACME_IDENTIFIER, _OCTET_STRING_32 + digest),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Load key and certificate from memory; `ssl` itself reads only files."""
    descriptor = os.memfd_create("nfcertd-tls-alpn-01", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
