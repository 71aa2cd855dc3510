"""An OCSP request and its response (RFC 6960, RFC 9654) for one certificate."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.pki.status import (
    WEAK,
    Said,
    StatusError,
    carefully,
    check_times,
    may,
    reason_name,
)

NONCE_OCTETS: Final = 32
"""Octets of a nonce: what every responder has to take (RFC 9654 section 2.1)."""
OLDEST: Final = timedelta(days=1)
"""How old an answer may be that does not say until when it holds."""
_WHAT: Final = "ocsp response"
_NOT_DELEGATED: Final = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
)


def ocsp_request(
    leaf: x509.Certificate, issuer: x509.Certificate, nonce: bytes
) -> bytes:
    """Return a request about a certificate, DER.

    SHA-1 names the issuer, and protects nothing: it is what every responder knows.
    """
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1())  # noqa: S303 -- names the issuer
    return (
        builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        .build()
        .public_bytes(Encoding.DER)
    )


def read_ocsp(
    der: bytes,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    *,
    request: bytes,
    now: datetime,
) -> Said:
    """Return what a responder says of a certificate.

    Args:
        der: The response.
        leaf: The certificate.
        issuer: Who issued it.
        request: What was asked, DER; its nonce must come back if one does.
        now: When the response is read.

    Raises:
        StatusError: It cannot be read, relied on, is out of date, or does not know.
    """
    return carefully(lambda: _read(der, leaf, issuer, request, now), _WHAT)


def _read(
    der: bytes,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    request: bytes,
    now: datetime,
) -> Said:
    response = ocsp.load_der_ocsp_response(der)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        word = response.response_status.name.lower().replace("_", " ")
        raise StatusError(f"the ocsp responder says: {word}")
    asked = ocsp.load_der_ocsp_request(request)
    _check_nonce(response, asked)
    _check_signature(response, _responder(response, issuer, now))
    single = _about(response, asked)
    check_times(single.this_update_utc, single.next_update_utc, now, _WHAT)
    if single.next_update_utc is None and single.this_update_utc < now - OLDEST:
        raise StatusError(
            "the ocsp response is old and does not say until when it holds"
        )
    match single.certificate_status:
        case ocsp.OCSPCertStatus.GOOD:
            return Said("", single.next_update_utc)
        case ocsp.OCSPCertStatus.REVOKED:
            reason = reason_name(single.revocation_reason)
            return Said(reason, single.next_update_utc)
        case ocsp.OCSPCertStatus.UNKNOWN:
            serial = f"{leaf.serial_number:x}"
            raise StatusError(f"the ocsp responder does not know certificate {serial}")


def _about(
    response: ocsp.OCSPResponse, asked: ocsp.OCSPRequest
) -> ocsp.OCSPSingleResponse:
    """Return the part of a response that is about what was asked."""
    wanted = (asked.serial_number, asked.issuer_name_hash, asked.issuer_key_hash)
    for single in response.responses:
        if wanted == (
            single.serial_number,
            single.issuer_name_hash,
            single.issuer_key_hash,
        ):
            return single
    raise StatusError("the ocsp response is about another certificate")


def _check_nonce(response: ocsp.OCSPResponse, asked: ocsp.OCSPRequest) -> None:
    """Compare the nonces; a responder that signs in advance sends none."""
    ours = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    for extension in response.extensions:
        match extension.value:
            case x509.OCSPNonce(nonce=theirs):
                if theirs != ours:
                    raise StatusError("the ocsp response answers another request")
            case _ if extension.critical:
                oid = extension.oid.dotted_string
                raise StatusError(f"the ocsp response has an unknown extension {oid}")
            case _:
                pass


def _responder(
    response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime
) -> x509.Certificate:
    """Return who may have signed: the issuer, or whom it delegated (4.2.2.2)."""
    for candidate in (issuer, *_delegated(response, issuer, now)):
        by_name = response.responder_name
        by_key = response.responder_key_hash
        if by_name is not None and candidate.subject == by_name:
            return candidate
        if by_key is not None and _key_hash(candidate) == by_key:
            return candidate
    raise StatusError("the ocsp response is by nobody who may speak for the issuer")


def _key_hash(certificate: x509.Certificate) -> bytes:
    """Return the SHA-1 of the key, as the ResponderID has it (section 4.2.1)."""
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


def _delegated(
    response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime
) -> Iterator[x509.Certificate]:
    for certificate in response.certificates:
        try:
            certificate.verify_directly_issued_by(issuer)
            usage = certificate.extensions.get_extension_for_class(
                x509.ExtendedKeyUsage
            ).value
        except _NOT_DELEGATED:
            continue
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        signs = ExtendedKeyUsageOID.OCSP_SIGNING in usage
        if signs and begins <= now <= ends and may(certificate, "digital_signature"):
            yield certificate


def _check_signature(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    algorithm = response.signature_hash_algorithm
    if isinstance(algorithm, WEAK):
        raise StatusError("the ocsp response is signed with a hash that is not safe")
    signature, data = response.signature, response.tbs_response_bytes
    match signer.public_key():
        case ec.EllipticCurvePublicKey() as key if algorithm is not None:
            key.verify(signature, data, ec.ECDSA(algorithm))
        case rsa.RSAPublicKey() as key if algorithm is not None:
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        case ed25519.Ed25519PublicKey() as key:
            key.verify(signature, data)
        case _:
            raise StatusError("the ocsp response is signed in a way not known here")
