"""The certification request (PKCS#10, RFC 2986) of an order."""

from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding

from agent.acme.identifiers import Identifier
from agent.pki.names import general_names

P384_BITS = 384


def request(
    identifiers: Sequence[Identifier], *, must_staple: bool = False
) -> Callable[[CertificateIssuerPrivateKeyTypes], bytes]:
    """Return what signs a request for these identifiers and gives it as DER.

    "The CSR MUST indicate the exact same set of requested identifiers as the initial
    newOrder request" (RFC 8555 section 7.4): all as subjectAltName. The subject is
    empty, because the CA decides it; the extension is then critical (RFC 5280 section
    4.2.1.6). `must_staple` adds the TLS feature status_request (RFC 7633).
    """
    alternatives = x509.SubjectAlternativeName(general_names(identifiers))
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(alternatives, critical=True)
    )

    if must_staple:
        staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
        builder = builder.add_extension(staple, critical=False)

    def sign(key: CertificateIssuerPrivateKeyTypes) -> bytes:
        return builder.sign(key, _hash_for(key)).public_bytes(Encoding.DER)

    return sign


def _hash_for(
    key: CertificateIssuerPrivateKeyTypes,
) -> hashes.SHA256 | hashes.SHA384 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == P384_BITS:
        return hashes.SHA384()
    return hashes.SHA256()
