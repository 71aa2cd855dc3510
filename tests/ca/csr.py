"""Checks of a certification request before anything is issued (RFC 8555 7.4, 11.1).

Knows PKCS#10 and what this CA wants in it. Does not know orders.
"""

import hashlib
from collections.abc import Collection
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.ca.issuing import ExtraNames, Profile, PublicKey
from tests.ca.problems import refusal

_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_WEAK: Final = (hashes.MD5, hashes.SHA1)


def fingerprint(key: object) -> str:
    """Return the SHA-256 of a public key's SubjectPublicKeyInfo in hexadecimal."""
    if not isinstance(key, PublicKey):
        raise refusal("badPublicKey", "the kind of key is not supported")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def check_csr(
    der: bytes,
    names: Collection[x509.GeneralName],
    profile: Profile,
    account_keys: Collection[str],
    optional: Collection[x509.GeneralName] = (),
) -> x509.CertificateSigningRequest:
    """Return the request when it is right for these names; else badCSR.

    Optional names, which devices have, may be left out of it.
    """
    csr = _parse(der)
    key = _check_key(csr)
    # RFC 8555 11.1: the key MUST NOT be that of an account known to the server.
    if fingerprint(key) in account_keys:
        raise refusal("badCSR", "the key is an account key")
    _check_names(csr, names, optional, profile.extra_names)
    return csr


def _parse(der: bytes) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_der_x509_csr(der)
        valid = csr.is_signature_valid
        digest = csr.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise refusal("badCSR", "csr is not a DER PKCS#10 request") from error
    if not valid:
        raise refusal("badCSR", "the signature of the CSR does not verify")
    if isinstance(digest, _WEAK):
        raise refusal("badCSR", "the CSR is signed with a weak digest")
    return csr


def _check_key(csr: x509.CertificateSigningRequest) -> PublicKey:
    try:
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise refusal("badCSR", "the CSR holds no usable public key") from error
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if (
        isinstance(key, rsa.RSAPublicKey)
        and _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS
    ):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise refusal("badCSR", "the key of the CSR is too weak or of an unknown kind")


def _check_names(
    csr: x509.CertificateSigningRequest,
    names: Collection[x509.GeneralName],
    optional: Collection[x509.GeneralName],
    extra_names: ExtraNames,
) -> None:
    """Compare names with those of the order.

    RFC 8555 7.4: the CSR MUST indicate the exact same set of requested identifiers as
    the initial newOrder request.
    """
    asked = set(requested_names(csr)) | _common_names(csr, names)
    ordered = set(names)
    if missing := ordered - asked:
        raise refusal("badCSR", f"the CSR lacks {_words(missing)}")
    surplus = asked - ordered - set(optional)
    provable = {n for n in surplus if isinstance(n, x509.DNSName | x509.IPAddress)}
    if provable or (surplus and extra_names is ExtraNames.REJECT):
        raise refusal("badCSR", f"the CSR has {_words(surplus)}, not in the order")


def requested_names(csr: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """Return the alternative names that a request asks for."""
    try:
        found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise refusal("badCSR", "an extension of the CSR is malformed") from error
    return list(found.value)


def _common_names(
    csr: x509.CertificateSigningRequest, names: Collection[x509.GeneralName]
) -> set[x509.GeneralName]:
    """Return the common names as names to be compared."""
    texts = [
        str(attribute.value)
        for attribute in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    ]
    # RFC 8738 4: an address stands in the alternative names and never here.
    by_text = {str(name.value): name for name in names}
    try:
        return {by_text.get(text) or x509.DNSName(text) for text in texts}
    except ValueError as error:
        raise refusal("badCSR", "the common name is not a name in ASCII") from error


def _words(names: Collection[x509.GeneralName]) -> str:
    return ", ".join(sorted(str(name.value) for name in names))
