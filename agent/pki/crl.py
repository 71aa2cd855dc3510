"""A CRL, held against RFC 5280 section 6.3.3 for one certificate.

Complete CRLs by the certificate's own issuer are understood. Delta and indirect CRLs
are refused, as is every critical extension that is not known here.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from agent.pki.status import (
    WEAK,
    Said,
    StatusError,
    carefully,
    check_times,
    may,
    reason_name,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPublicKeyTypes,
    )

_WHAT: Final = "crl"
_KNOWN: Final = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT})
_KNOWN_IN_ENTRY: Final = frozenset({CRLEntryExtensionOID.CRL_REASON})


def read_crl(
    der: bytes,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    *,
    url: str,
    now: datetime,
) -> Said:
    """Return what a CRL says of a certificate.

    Args:
        der: The CRL.
        leaf: The certificate.
        issuer: Who issued it, and must have signed the CRL.
        url: Where the CRL came from.
        now: When it is read.

    Raises:
        StatusError: The CRL cannot be read, relied on, or is out of date.
    """
    return carefully(lambda: _read(der, leaf, issuer, url, now), _WHAT)


def _read(
    der: bytes,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    url: str,
    now: datetime,
) -> Said:
    crl = x509.load_der_x509_crl(der)
    _check_origin(crl, issuer)
    check_times(crl.last_update_utc, crl.next_update_utc, now, _WHAT)
    if crl.next_update_utc is None:
        raise StatusError("the crl does not say when there will be another one")
    _check_critical(crl.extensions, _KNOWN)
    partial = _check_scope(crl, url)
    entry = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
    if entry is not None:
        _check_critical(entry.extensions, _KNOWN_IN_ENTRY)
        return Said(_reason(entry), crl.next_update_utc)
    if partial:
        raise StatusError("the crl is for some reasons only")
    return Said("", crl.next_update_utc)


def _check_origin(
    crl: x509.CertificateRevocationList, issuer: x509.Certificate
) -> None:
    if crl.issuer != issuer.subject:
        raise StatusError("the crl is by another issuer than the certificate")
    if not may(issuer, "crl_sign"):
        raise StatusError("the issuer of the crl may not sign crls")
    if isinstance(crl.signature_hash_algorithm, WEAK):
        raise StatusError("the crl is signed with a hash that is no longer safe")
    # Another type of key than those that sign raises, as one that cannot be read.
    public = cast("CertificateIssuerPublicKeyTypes", issuer.public_key())
    if not crl.is_signature_valid(public):
        raise StatusError("the signature of the crl is wrong")


def _check_critical(
    extensions: Iterable[x509.Extension[x509.ExtensionType]],
    known: frozenset[x509.ObjectIdentifier],
) -> None:
    """Refuse what "MUST NOT" be used (section 5.2), delta CRLs among it."""
    for extension in extensions:
        if extension.critical and extension.oid not in known:
            oid = extension.oid.dotted_string
            raise StatusError(f"the crl has an unknown critical extension {oid}")


def _check_scope(crl: x509.CertificateRevocationList, url: str) -> bool:
    """Refuse a CRL that is not about us; tell whether it is for some reasons only."""
    try:
        point = crl.extensions.get_extension_for_class(
            x509.IssuingDistributionPoint
        ).value
    except x509.ExtensionNotFound:
        return False
    if point.only_contains_ca_certs or point.only_contains_attribute_certs:
        raise StatusError("the crl is about other kinds of certificates")
    if point.indirect_crl:
        raise StatusError("the crl is an indirect one")
    names = {
        name.value
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    }
    if point.relative_name is not None or (point.full_name and url not in names):
        raise StatusError("the crl belongs to another distribution point")
    return bool(point.only_some_reasons)


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason)
    except x509.ExtensionNotFound:
        return reason_name(None)
    return reason_name(found.value.reason)
