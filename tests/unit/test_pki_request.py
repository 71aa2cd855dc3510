"""The certification request says the names, all of them, and nothing else."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent.acme.identifiers import identifiers
from agent.pki.request import CsrContent, request

NAMES = ["amf1.example", "xn--bcher-kva.example"]
KEYS: list[tuple[CertificateIssuerPrivateKeyTypes, type[hashes.HashAlgorithm] | None]]
KEYS = [
    (ec.derive_private_key(7, ec.SECP256R1()), hashes.SHA256),
    (ec.derive_private_key(7, ec.SECP384R1()), hashes.SHA384),
    (rsa.generate_private_key(65537, 2048), hashes.SHA256),
    (ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), None),
]


@pytest.mark.parametrize(
    ("key", "algorithm"), KEYS, ids=["p256", "p384", "rsa", "ed25519"]
)
def test_a_request_names_what_was_ordered(
    key: CertificateIssuerPrivateKeyTypes, algorithm: type | None
) -> None:
    """Subject empty, names critical (RFC 5280 section 4.2.1.6), signature valid."""
    made = x509.load_der_x509_csr(
        request(CsrContent(identifiers=identifiers(NAMES)))(key)
    )
    assert made.is_signature_valid
    assert not list(made.subject)
    (extension,) = made.extensions
    assert extension.critical
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    assert extension.value.get_values_for_type(x509.DNSName) == NAMES
    used = made.signature_hash_algorithm
    assert (None if used is None else type(used)) == algorithm
