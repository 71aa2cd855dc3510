"""The issuer: a root, an issuing certificate below it, and what they sign.

Knows X.509. Does not know orders and accounts other than by their identifiers, nor
whether somebody may have a certificate.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_FOREVER: Final = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC))
_MAX_COMMON_NAME: Final = 64


class ExtraNames(Enum):
    """What happens to names in a CSR that no order can prove, such as URIs."""

    REJECT = auto()
    """The CSR is refused."""
    DROP = auto()
    """The certificate is made without them."""
    KEEP = auto()
    """The certificate has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What goes into certificates.

    Attributes:
        lifetime: From the instant of issuing to the end.
        backdate: How far the start lies before the instant of issuing; not zero by
            default, because a coarse clock lags behind a fine one at full seconds.
        extra_names: What happens to names that no order can prove.
        critical_names: Mark the alternative names critical whatever the subject.
        copy_subject: Take the subject of the CSR instead of a common name.
        copied_extensions: Dotted OIDs taken over from the CSR, as they are.
        usages: Extended key usages.
        crl_url: Where the CRL distribution point shows, or None.
        ocsp_url: Where the OCSP responder is, or None.
    """

    lifetime: timedelta = timedelta(days=90)
    backdate: timedelta = timedelta(minutes=1)
    extra_names: ExtraNames = ExtraNames.REJECT
    critical_names: bool = False
    copy_subject: bool = False
    copied_extensions: frozenset[str] = frozenset()
    usages: tuple[x509.ObjectIdentifier, ...] = (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    crl_url: str | None = None
    ocsp_url: str | None = None


SBA: Final = Profile(
    extra_names=ExtraNames.KEEP,
    critical_names=True,
    copy_subject=True,
    copied_extensions=frozenset({"1.3.6.1.5.5.7.1.34"}),
    crl_url="http://ca.example/operator.crl",
)
"""What TS 33.310 clause 6.1.3c wants beside keys and names; the OID: NFTypes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """A span of validity, whole seconds, UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One certificate that was issued.

    Attributes:
        id: Its identifier in URLs.
        order: Identifier of the order.
        account: Identifier of the account.
        leaf: The certificate.
        names: Its names, in the order of the order.
        profile: The profile it was made by.
    """

    id: str
    order: str
    account: str
    leaf: x509.Certificate
    names: tuple[x509.GeneralName, ...] = field(repr=False)
    profile: Profile = field(repr=False)

    @property
    def serial(self) -> int:
        """Return the serial number."""
        return self.leaf.serial_number

    @property
    def der(self) -> bytes:
        """Return the certificate in DER."""
        return self.leaf.public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A certificate that signs, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> bytes:
        """Return the certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)


def make_root(name: str) -> Issuer:
    """Return a new root that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _authority_builder(subject, key.public_key(), path_length=1)
    certificate = builder.issuer_name(subject).sign(key, hashes.SHA256())
    return Issuer(certificate=certificate, key=key)


def make_intermediate(
    name: str, root: Issuer, key: ec.EllipticCurvePrivateKey
) -> Issuer:
    """Return an issuing certificate for `key` below `root`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _authority_builder(subject, key.public_key(), path_length=0)
        .issuer_name(root.certificate.subject)
        .add_extension(_issued_by(root), critical=False)
        .sign(root.key, hashes.SHA256())
    )
    return Issuer(certificate=certificate, key=key)


def _authority_builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, path_length: int
) -> x509.CertificateBuilder:
    start, end = _FOREVER
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.certificate.extensions.get_extension_for_class(
        x509.SubjectKeyIdentifier
    )
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        identifier.value
    )


def make_leaf(
    issuer: Issuer,
    key: PublicKey,
    names: Collection[x509.GeneralName],
    profile: Profile,
    validity: Validity,
    csr: x509.CertificateSigningRequest | None = None,
) -> x509.Certificate:
    """Sign an end-entity certificate."""
    all_names = [*names, *_kept_names(csr, names, profile)]
    subject = _subject(all_names, profile, csr)
    critical = profile.critical_names or not list(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_issued_by(issuer), critical=False)
    )
    if all_names:
        alternative = x509.SubjectAlternativeName(all_names)
        builder = builder.add_extension(alternative, critical=critical)
    builder = _with_profile(builder, profile, csr)
    return builder.sign(issuer.key, hashes.SHA256())


def _with_profile(
    builder: x509.CertificateBuilder,
    profile: Profile,
    csr: x509.CertificateSigningRequest | None,
) -> x509.CertificateBuilder:
    if profile.usages:
        usages = x509.ExtendedKeyUsage(profile.usages)
        builder = builder.add_extension(usages, critical=False)
    if profile.crl_url:
        where = [x509.UniformResourceIdentifier(profile.crl_url)]
        point = x509.DistributionPoint(where, None, None, None)
        points = x509.CRLDistributionPoints([point])
        builder = builder.add_extension(points, critical=False)
    if profile.ocsp_url:
        where_to_ask = x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP,
            x509.UniformResourceIdentifier(profile.ocsp_url),
        )
        access = x509.AuthorityInformationAccess([where_to_ask])
        builder = builder.add_extension(access, critical=False)
    for extension in csr.extensions if csr else ():
        if extension.oid.dotted_string in profile.copied_extensions:
            builder = builder.add_extension(extension.value, extension.critical)
    return builder


def _kept_names(
    csr: x509.CertificateSigningRequest | None,
    names: Collection[x509.GeneralName],
    profile: Profile,
) -> list[x509.GeneralName]:
    if csr is None or profile.extra_names is not ExtraNames.KEEP:
        return []
    found = [
        name
        for extension in csr.extensions
        if isinstance(extension.value, x509.SubjectAlternativeName)
        for name in extension.value
    ]
    return [name for name in found if name not in names]


def _subject(
    names: Collection[x509.GeneralName],
    profile: Profile,
    csr: x509.CertificateSigningRequest | None,
) -> x509.Name:
    if profile.copy_subject and csr is not None:
        return csr.subject
    texts = [name.value for name in names if isinstance(name, x509.DNSName)]
    short = [text for text in texts if len(text) <= _MAX_COMMON_NAME]
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, text) for text in short[:1]]
    )


class Authority:
    """The roots, the issuing key, and the chains that they make."""

    def __init__(self, *, alternates: int = 0, include_root: bool = False) -> None:
        """Make fresh keys; every alternate root certifies the same issuing key."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.roots = [make_root(f"Test Root {n}") for n in range(1 + alternates)]
        self.intermediates = [
            make_intermediate("Test Issuing CA", root, key) for root in self.roots
        ]
        self._include_root = include_root
        self.default = 0

    def sign(
        self,
        key: PublicKey,
        names: Collection[x509.GeneralName],
        profile: Profile,
        validity: Validity,
        csr: x509.CertificateSigningRequest | None = None,
    ) -> x509.Certificate:
        """Return a leaf certificate signed by the issuing key."""
        return make_leaf(self.intermediates[0], key, names, profile, validity, csr)

    def chain(self, leaf: x509.Certificate, number: int = 0) -> bytes:
        """Return a leaf and its issuers in PEM; 0 is the default root, 1 the next."""
        number = (self.default + number) % len(self.roots)
        above = [self.intermediates[number].pem]
        if self._include_root:
            above.append(self.roots[number].pem)
        return leaf.public_bytes(Encoding.PEM) + b"".join(above)


def validity_of(profile: Profile, now: datetime) -> Validity:
    """Return the span that a profile gives at an instant."""
    instant = now.replace(microsecond=0)
    return Validity(start=instant - profile.backdate, end=instant + profile.lifetime)
