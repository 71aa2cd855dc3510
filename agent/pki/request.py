"""The certification request (PKCS#10, RFC 2986) of an order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.acme.identifiers import Identifier
from agent.pki.names import general_names

P384_BITS = 384
_ATTRIBUTES: Final[Mapping[str, x509.ObjectIdentifier]] = {
    "C": NameOID.COUNTRY_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "CN": NameOID.COMMON_NAME,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsrContent:
    """What a request says beside its key; an empty value leaves a part out.

    Attributes:
        identifiers: Names that can be ordered.
        uris: Further names, URIs.
        critical: Mark the names critical.
        subject: Attributes of the subject, `C`, `O` or `CN`, with their text.
        key_usage: Bits of keyUsage, such as `digital-signature`.
        usages: Extended key usages, dotted.
        extensions: Further extensions, not critical: dotted OID and DER.
    """

    identifiers: tuple[Identifier, ...]
    uris: tuple[str, ...] = ()
    critical: bool = True
    subject: tuple[tuple[str, str], ...] = ()
    key_usage: tuple[str, ...] = ()
    usages: tuple[str, ...] = ()
    extensions: tuple[tuple[str, bytes], ...] = ()


def request(
    content: CsrContent, *, must_staple: bool = False
) -> Callable[[CertificateIssuerPrivateKeyTypes], bytes]:
    """Return what signs a request with this content and gives it as DER.

    "The CSR MUST indicate the exact same set of requested identifiers as the initial
    newOrder request" (RFC 8555 section 7.4): all as subjectAltName. Where the subject
    is empty, because the CA decides it, the extension is critical (RFC 5280 section
    4.2.1.6). `must_staple` adds the TLS feature status_request (RFC 7633).
    """
    subject = [
        x509.NameAttribute(_ATTRIBUTES[kind], text)
        for kind, text in content.subject
        if text
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    for extension, critical in _extensions(content, has_subject=bool(subject)):
        builder = builder.add_extension(extension, critical=critical)

    if must_staple:
        staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
        builder = builder.add_extension(staple, critical=False)

    def sign(key: CertificateIssuerPrivateKeyTypes) -> bytes:
        return builder.sign(key, _hash_for(key)).public_bytes(Encoding.DER)

    return sign


def _extensions(
    content: CsrContent, *, has_subject: bool
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    uris = (x509.UniformResourceIdentifier(uri) for uri in content.uris)
    names = [*general_names(content.identifiers), *uris]
    if names:
        critical = content.critical or not has_subject
        yield x509.SubjectAlternativeName(names), critical
    if content.key_usage:
        yield _key_usage(content.key_usage), True
    if content.usages:
        usages = [x509.ObjectIdentifier(oid) for oid in content.usages]
        yield x509.ExtendedKeyUsage(usages), False
    for oid, der in content.extensions:
        yield x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), der), False


def _key_usage(bits: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital-signature" in bits,
        content_commitment=False,
        key_encipherment="key-encipherment" in bits,
        data_encipherment=False,
        key_agreement="key-agreement" in bits,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def pem_of(der: bytes) -> str:
    """Return a request in PEM (RFC 7468 section 7)."""
    request = x509.load_der_x509_csr(der)
    return request.public_bytes(Encoding.PEM).decode("ascii")


def _hash_for(
    key: CertificateIssuerPrivateKeyTypes,
) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == P384_BITS:
        return hashes.SHA384()
    return hashes.SHA256()
