"""Whether a certificate is revoked, as its CA's CRL or OCSP responder says.

Nothing here fetches: octets in, a verdict out. What cannot be trusted says nothing at
all; it never says "good", and it never says "revoked".
"""

import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import ReasonFlags
from cryptography.x509.oid import AuthorityInformationAccessOID

from agent.errors import AgentError
from agent.pki.reasons import UNSPECIFIED

SKEW: Final = timedelta(minutes=5)
"""How far the clock of a responder may be off ours."""
WEAK: Final = (hashes.MD5, hashes.SHA1)
_MAX_URLS: Final = 4
_MAX_URL: Final = 2048
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_REASONS: Final = {
    ReasonFlags.unspecified: UNSPECIFIED,
    ReasonFlags.key_compromise: "keyCompromise",
    ReasonFlags.ca_compromise: "cACompromise",
    ReasonFlags.affiliation_changed: "affiliationChanged",
    ReasonFlags.superseded: "superseded",
    ReasonFlags.cessation_of_operation: "cessationOfOperation",
    ReasonFlags.certificate_hold: "certificateHold",
    ReasonFlags.privilege_withdrawn: "privilegeWithdrawn",
    ReasonFlags.aa_compromise: "aACompromise",
    ReasonFlags.remove_from_crl: "removeFromCRL",
}


class StatusError(AgentError):
    """What a CRL or an OCSP responder said cannot be relied on, or is out of date."""

    kind = "pki.status"


class Sources(NamedTuple):
    """Where a certificate says that its status can be had; http only.

    Attributes:
        ocsp: URLs of OCSP responders (authorityInfoAccess).
        crl: URLs of CRLs (cRLDistributionPoints).
    """

    ocsp: tuple[str, ...] = ()
    crl: tuple[str, ...] = ()


class Said(NamedTuple):
    """What a CA says of one certificate.

    Attributes:
        revoked: Name of the reason code where it is revoked, else empty.
        until: When the CA will have said something newer, if it told.
    """

    revoked: str
    until: datetime | None


def reason_name(flag: ReasonFlags | None) -> str:
    """Return the name of a reason code; a missing one is unspecified."""
    return UNSPECIFIED if flag is None else _REASONS.get(flag, UNSPECIFIED)


def sources_of(leaf: x509.Certificate) -> Sources:
    """Return where the status of a certificate can be had."""
    ocsp: list[str] = []
    crl: list[str] = []
    for extension in leaf.extensions:
        match extension.value:
            case x509.AuthorityInformationAccess() as access:
                ocsp += [
                    name.value
                    for d in access
                    if d.access_method == AuthorityInformationAccessOID.OCSP
                    and isinstance(
                        name := d.access_location, x509.UniformResourceIdentifier
                    )
                ]
            case x509.CRLDistributionPoints() as points:
                # One for some reasons only, or by another issuer, covers not all.
                whole = [p for p in points if not p.reasons and not p.crl_issuer]
                crl += [
                    name.value
                    for p in whole
                    for name in p.full_name or ()
                    if isinstance(name, x509.UniformResourceIdentifier)
                ]
            case _:
                pass
    return Sources(_usable(ocsp), _usable(crl))


def _usable(urls: list[str]) -> tuple[str, ...]:
    good = [
        url
        for url in dict.fromkeys(urls)
        if url.lower().startswith("http://")
        and len(url) <= _MAX_URL
        and url.isascii()
        and url.isprintable()
        and " " not in url
    ]
    return tuple(good[:_MAX_URLS])


def issuer_of(
    leaf: x509.Certificate, candidates: tuple[x509.Certificate, ...]
) -> x509.Certificate:
    """Return the certificate that issued another one.

    Raises:
        StatusError: None of the candidates did.
    """
    for candidate in candidates:
        try:
            leaf.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return candidate
    raise StatusError("the issuer of the certificate is not known any more")


def carefully(check: Callable[[], Said], what: str) -> Said:
    """Run a check; what the library cannot read becomes an error of ours.

    Raises:
        StatusError: The check failed, or what it was given cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            return check()
    except InvalidSignature as error:
        raise StatusError(f"the signature of the {what} is wrong") from error
    except (*_UNREADABLE, CryptographyDeprecationWarning) as error:
        raise StatusError(f"the {what} cannot be read") from error


def check_times(
    begins: datetime | None, ends: datetime | None, now: datetime, what: str
) -> None:
    """Refuse what is not yet, or no longer, the newest that the CA says.

    Raises:
        StatusError: It is from the future or out of date.
    """
    if begins is None or begins > now + SKEW:
        raise StatusError(f"the {what} begins in the future; is the clock right?")
    if ends is not None and ends + SKEW < now:
        raise StatusError(f"the {what} is out of date since {ends:%Y-%m-%d %H:%M:%SZ}")


def may(issuer: x509.Certificate, use: str) -> bool:
    """Tell whether a certificate's key may be used so; without key usage it may."""
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool(getattr(usage, use))
