"""The rules of the profile: TS 33.310 clauses 6.1.1 and 6.1.3c, RFC 9310, RFC 9509.

A rule returns what is wrong, one clause, or nothing. It sees a certificate whose chain
has passed the hard checks, so that everything in it can be read.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from agent.sba import domains, nf, purposes
from agent.sba.profile import Profile
from agent.sba.purposes import KeyUsage

LONGEST: Final = timedelta(days=3 * 365 + 1)
"""Three years, one of them a leap year."""
SERIAL_BITS: Final = 159
"""A positive INTEGER of at most 20 octets has no more."""
MAX_SHOWN: Final = 200
_MIN_RSA_BITS: Final = 2048
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_SIGNERS: Final = ("1.2.840.10045.4.", "1.2.840.113549.1.1.")
"""Where the OIDs of signatures by ECDSA and by RSA begin."""
_COUNTRY: Final = 2
E = TypeVar("E", bound=x509.ExtensionType)


class Held(NamedTuple):
    """A certificate, and who signed it.

    Attributes:
        leaf: The certificate.
        issuer: Who signed it; None where nobody known did.
        issuers: Who must have signed it; empty where that is not configured.
    """

    leaf: x509.Certificate
    issuer: x509.Certificate | None
    issuers: tuple[x509.Certificate, ...] = ()


Rule = Callable[[Held, Profile], str]


def issuer_of(
    leaf: x509.Certificate, candidates: Iterable[x509.Certificate]
) -> x509.Certificate | None:
    """Return the first certificate that signed another one; None where none did."""
    for candidate in candidates:
        try:
            leaf.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return candidate
    return None


def _version(held: Held, _: Profile) -> str:
    version = held.leaf.version
    return "" if version is x509.Version.v3 else f"it has version {version.name}"


def _serial(held: Held, _: Profile) -> str:
    number = held.leaf.serial_number
    if number <= 0:
        return "it is not positive"
    return "" if number.bit_length() <= SERIAL_BITS else "it has more than 20 octets"


def _validity(held: Held, _: Profile) -> str:
    life = held.leaf.not_valid_after_utc - held.leaf.not_valid_before_utc
    return f"it is {life.days} days, more than 3 years" if life > LONGEST else ""


def _signature(held: Held, _: Profile) -> str:
    oid = held.leaf.signature_algorithm_oid.dotted_string
    if not oid.startswith(_SIGNERS):
        return f"{oid} is neither rsa nor ecdsa"
    digest = held.leaf.signature_hash_algorithm
    if isinstance(digest, _HASHES):
        return ""
    return f"its hash {digest.name if digest else 'is none,'} is weaker than sha256"


def _key(held: Held, _: Profile) -> str:
    key = held.leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        short = key.key_size < _MIN_RSA_BITS
        return f"rsa of {key.key_size} bits is too short" if short else ""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return "it is neither rsa nor elliptic"
    named = isinstance(key.curve, _CURVES)
    return "" if named else f"the curve {key.curve.name} is none of the profile"


def _issuer(held: Held, _: Profile) -> str:
    if not held.issuers or issuer_of(held.leaf, held.issuers) is not None:
        return ""
    name = held.leaf.issuer.rfc4514_string()
    return f"{_shown([name])} is not the configured issuer"


def _organization(held: Held, profile: Profile) -> str:
    found = _subject(held, NameOID.ORGANIZATION_NAME)
    if profile.organization:
        same = [o.lower() for o in found] == [profile.organization.lower()]
        return "" if same else _instead(found, [profile.organization])
    if not profile.of_nf:
        return ""
    read = domains.read(found[0]) if len(found) == 1 else None
    whole = read is not None and str(read.home) == found[0].lower()
    return "" if whole else f"{_shown(found)} is no home network domain"


def _country(held: Held, profile: Profile) -> str:
    found = _subject(held, NameOID.COUNTRY_NAME)
    if profile.country:
        same = [c.upper() for c in found] == [profile.country]
        return "" if same else _instead(found, [profile.country])
    if not profile.of_nf:
        return ""
    good = len(found) == 1 and len(found[0]) == _COUNTRY and found[0].isalpha()
    return "" if good else f"{_shown(found)} is no country"


def _subject(held: Held, oid: ObjectIdentifier) -> list[str]:
    return [str(a.value) for a in held.leaf.subject.get_attributes_for_oid(oid)]


def _san_uri(held: Held, profile: Profile) -> str:
    found = _sans(held, x509.UniformResourceIdentifier)
    return _compared(found, profile.uris)


def _san_dns(held: Held, profile: Profile) -> str:
    return _compared(_sans(held, x509.DNSName), profile.dns)


def _san_other(held: Held, profile: Profile) -> str:
    san = _extension(held.leaf, x509.SubjectAlternativeName)
    addresses = set(profile.addresses)
    surplus = [
        type(name).__name__
        for name in (san.value if san else ())
        if not isinstance(name, x509.DNSName | x509.UniformResourceIdentifier)
        if str(name.value) not in addresses
    ]
    return f"it has {_shown(surplus)} beside its names" if surplus else ""


def _san_critical(held: Held, _: Profile) -> str:
    san = _extension(held.leaf, x509.SubjectAlternativeName)
    return "" if san is not None and san.critical else "it is not critical"


def _sans(
    held: Held, kind: type[x509.DNSName] | type[x509.UniformResourceIdentifier]
) -> list[str]:
    san = _extension(held.leaf, x509.SubjectAlternativeName)
    return [] if san is None else list(san.value.get_values_for_type(kind))


def _key_usage(held: Held, profile: Profile) -> str:
    extension = _extension(held.leaf, x509.KeyUsage)
    if extension is None:
        return "there is none"
    if not extension.critical:
        return "it is not critical"
    bits = {
        KeyUsage.DIGITAL_SIGNATURE: extension.value.digital_signature,
        KeyUsage.KEY_ENCIPHERMENT: extension.value.key_encipherment,
        KeyUsage.KEY_AGREEMENT: extension.value.key_agreement,
    }
    missing = [u for u in profile.key_usage if not bits[u]]
    if missing:
        return f"it lacks {_shown(missing)}"
    signs = extension.value.key_cert_sign or extension.value.crl_sign
    return "it allows to sign certificates or crls" if signs else ""


def _usages(held: Held, profile: Profile) -> str:
    extension = _extension(held.leaf, x509.ExtendedKeyUsage)
    if not profile.usages:
        return ""
    if extension is None:
        return "there is none"
    if extension.critical:
        return "it is critical"
    found = {usage.dotted_string for usage in extension.value} - {purposes.ANY}
    wanted = set(profile.usages)
    return "" if found == wanted else _instead(sorted(found), sorted(wanted))


def _any_usage(held: Held, _: Profile) -> str:
    extension = _extension(held.leaf, x509.ExtendedKeyUsage)
    found = [usage.dotted_string for usage in extension.value] if extension else []
    return "it has anyExtendedKeyUsage" if purposes.ANY in found else ""


def _authority(held: Held, _: Profile) -> str:
    extension = _extension(held.leaf, x509.AuthorityKeyIdentifier)
    if extension is None or extension.value.key_identifier is None:
        return "there is none"
    if extension.critical:
        return "it is critical"
    issuer = held.issuer and _extension(held.issuer, x509.SubjectKeyIdentifier)
    if issuer and issuer.value.digest == extension.value.key_identifier:
        return ""
    return "it is not the subject key identifier of the issuer"


def _crl(held: Held, _: Profile) -> str:
    extension = _extension(held.leaf, x509.CRLDistributionPoints)
    if extension is None:
        return "there is none"
    if extension.critical:
        return "it is critical"
    names = [name for point in extension.value for name in point.full_name or ()]
    uris = [n.value for n in names if isinstance(n, x509.UniformResourceIdentifier)]
    usable = any(u.lower().startswith(("http://", "ldap://")) for u in uris)
    return "" if usable else f"{_shown(uris)} is no http or ldap uri"


def _nf_types(held: Held, profile: Profile) -> str:
    extension = _nf_extension(held.leaf)
    if extension is None:
        return "there is none" if profile.of_nf or profile.nf_types else ""
    try:
        found = nf.decode(extension.value.public_bytes())
    except ValueError as error:
        return str(error)
    if not profile.nf_types:
        return ""
    return _compared(found, profile.nf_types, fold=False)


def _nf_form(held: Held, _: Profile) -> str:
    extension = _nf_extension(held.leaf)
    if extension is None:
        return ""
    if extension.critical:
        return "it is critical"
    try:
        found = nf.decode(extension.value.public_bytes())
    except ValueError as error:
        return str(error)
    return "" if found == nf.in_order(found) else "they are not sorted and unique"


def _nf_extension(leaf: x509.Certificate) -> x509.Extension[x509.ExtensionType] | None:
    found = (e for e in leaf.extensions if e.oid.dotted_string == nf.OID)
    return next(found, None)


def _basic(held: Held, _: Profile) -> str:
    extension = _extension(held.leaf, x509.BasicConstraints)
    return "it is a ca" if extension is not None and extension.value.ca else ""


def _extension(
    certificate: x509.Certificate, kind: type[E]
) -> x509.Extension[E] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _compared(found: Iterable[str], wanted: Iterable[str], *, fold: bool = True) -> str:
    """Return what differs between two sets of texts; without case unless told so."""
    left, right = (
        {t.lower() if fold else t for t in texts} for texts in (found, wanted)
    )
    return "" if left == right else _instead(sorted(left), sorted(right))


def _instead(found: Iterable[str], wanted: Iterable[str]) -> str:
    return f"{_shown(found)} instead of {_shown(wanted)}"


def _shown(texts: Iterable[str]) -> str:
    """Return texts out of a certificate without control characters, bounded."""
    text = ", ".join(texts) or "nothing"
    clean = "".join(c if c.isprintable() else " " for c in text[:MAX_SHOWN])
    return clean if len(text) <= MAX_SHOWN else f"{clean}..."


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "version": _version,
        "serial-number": _serial,
        "validity": _validity,
        "signature-algorithm": _signature,
        "key-algorithm": _key,
        "issuer": _issuer,
        "subject-country": _country,
        "subject-organization": _organization,
        "san-uri": _san_uri,
        "san-dns": _san_dns,
        "san-other": _san_other,
        "san-critical": _san_critical,
        "key-usage": _key_usage,
        "extended-key-usage": _usages,
        "any-extended-key-usage": _any_usage,
        "authority-key-identifier": _authority,
        "crl-distribution-points": _crl,
        "nf-types": _nf_types,
        "nf-types-form": _nf_form,
        "basic-constraints": _basic,
    }
)
"""Every rule by its id, in the order of the profile's table."""
