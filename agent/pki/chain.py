"""The chain that a CA sent, held against what was asked for and who is trusted.

These checks cannot be configured away: a chain that fails one is never published.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from agent.errors import AgentError
from agent.pki.constraints import permits

MAX_CHAIN: Final = 10
MIN_RSA_BITS: Final = 2048
_BLOCK: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 #]+)-----.*?-----END \1-----[ \t]*\r?\n?", re.DOTALL
)
_KNOWN_CRITICAL: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
    }
)
_WEAK_HASHES: Final = (hashes.MD5, hashes.SHA1)


class ChainError(AgentError):
    """The chain is not what was ordered, or does not end in a trusted anchor."""

    kind = "pki.chain"


class CheckedChain(NamedTuple):
    """A chain that has passed every check.

    Attributes:
        pem: Leaf first, then intermediates, without the anchor; PEM text.
        fingerprint: SHA-256 of the leaf's DER, lower-case hexadecimal.
        serial: The leaf's serial number, lower-case hexadecimal.
        not_before: When the leaf begins.
        not_after: The earliest end in the chain, anchor included: what counts.
    """

    pem: str
    fingerprint: str
    serial: str
    not_before: datetime
    not_after: datetime


def parse_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file of nothing but certificates.

    "clients MUST ... reject any chain that contains anything but certificates" is how
    RFC 8555 section 11.4 is obeyed: a PRIVATE KEY block here is an attack.

    Raises:
        ChainError: Another block, text between blocks, no block, or too many.
    """
    labels = [match.group(1) for match in _BLOCK.finditer(pem)]
    if any(label != b"CERTIFICATE" for label in labels):
        raise ChainError("the pem file holds something other than certificates")
    if _BLOCK.sub(b"", pem).strip() or pem.count(b"-----BEGIN") != len(labels):
        raise ChainError("the pem file holds text beside its certificates")
    if not 1 <= len(labels) <= MAX_CHAIN:
        raise ChainError(f"the pem file holds {len(labels)} certificates")
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise ChainError("the pem file holds a certificate that cannot be read") from (
            error
        )


def parse_anchors(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the trust anchors of a PEM file; comments between blocks are allowed.

    Raises:
        ChainError: No certificate, or one that cannot be read.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise ChainError("the file of trust anchors holds no certificates") from error


def check_chain(
    pem: bytes,
    *,
    public: bytes,
    names: Sequence[str],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> CheckedChain:
    """Hold a downloaded chain against the order and return what is published.

    Args:
        pem: The body of the certificate resource.
        public: The key that the request was signed with, SPKI, DER.
        names: The DNS names that were ordered.
        anchors: The configured trust anchors.
        now: When the check is made.

    Raises:
        ChainError: The first check that failed, in words.
    """
    try:
        return _check(parse_chain(pem), public, names, anchors, now)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise ChainError("the chain holds a certificate that cannot be read") from error


def _check(
    certificates: Sequence[x509.Certificate],
    public: bytes,
    names: Sequence[str],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> CheckedChain:
    leaf = certificates[0]
    _check_leaf(leaf, public, names)
    path, anchor = _build_path(certificates, anchors)
    for depth, issuer in enumerate((*path[1:], anchor)):
        _check_issuer(issuer, depth, names, is_anchor=issuer == anchor)
    for certificate in (*path, anchor):
        _check_common(certificate, now, is_anchor=certificate == anchor)
    return CheckedChain(
        pem="".join(c.public_bytes(Encoding.PEM).decode("ascii") for c in path),
        fingerprint=fingerprint(leaf),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc,
        not_after=min(c.not_valid_after_utc for c in (*path, anchor)),
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return SHA-256 of a certificate's DER, lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _check_leaf(leaf: x509.Certificate, public: bytes, names: Sequence[str]) -> None:
    spki = leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    if spki != public:
        raise ChainError("the certificate is for another key than the request's")
    try:
        sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        served = set(sans.value.get_values_for_type(x509.DNSName))
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        served = set()
    if {n.lower() for n in served} != {n.lower() for n in names}:
        raise ChainError(
            f"the certificate names {', '.join(sorted(served)) or 'nothing'} "
            f"instead of {', '.join(sorted(names))}"
        )


def _build_path(
    certificates: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[list[x509.Certificate], x509.Certificate]:
    """Return leaf and intermediates in order, and the anchor that they end in.

    The order of the chain is only a SHOULD (RFC 8555 section 7.4.2), so issuers are
    looked for anywhere in it; what does not belong is left out.
    """
    path = [certificates[0]]
    rest = list(certificates[1:])
    while (anchor := _issuer_of(path[-1], anchors)) is None:
        issuer = _issuer_of(path[-1], rest)
        if issuer is None:
            raise ChainError(
                "the chain does not end in a configured trust anchor: nobody issued "
                f"{path[-1].issuer.rfc4514_string() or 'a certificate'}"
            )
        rest.remove(issuer)
        path.append(issuer)
    return path, anchor


def _issuer_of(
    certificate: x509.Certificate, candidates: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    for candidate in candidates:
        try:
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return candidate
    return None


def _check_issuer(
    issuer: x509.Certificate, depth: int, names: Sequence[str], *, is_anchor: bool
) -> None:
    """Check one issuer; `depth` counts the intermediates below it (RFC 5280 6.1.4)."""
    name = issuer.subject.rfc4514_string()
    extensions = issuer.extensions
    try:
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
        if not basic.ca:
            raise ChainError(f"the issuer {name} is no ca")
        if basic.path_length is not None and basic.path_length < depth:
            raise ChainError(f"the chain is longer than its issuer {name} allows")
    except x509.ExtensionNotFound as error:
        # An anchor is trusted by configuration; version 1 roots have no extensions.
        if not is_anchor:
            raise ChainError(f"the issuer {name} is no ca") from error
    for extension in extensions:
        match extension.value:
            case x509.KeyUsage(key_cert_sign=False):
                raise ChainError(f"the issuer {name} may not sign certificates")
            case x509.NameConstraints() as limits if not permits(limits, names):
                raise ChainError(f"the issuer {name} may not issue for these names")
            case _:
                pass


def _check_common(
    certificate: x509.Certificate, now: datetime, *, is_anchor: bool
) -> None:
    name = certificate.subject.rfc4514_string() or "the certificate"
    if now > certificate.not_valid_after_utc:
        raise ChainError(f"{name} has ended at {certificate.not_valid_after_utc}")
    if is_anchor:
        return
    if now < certificate.not_valid_before_utc:
        raise ChainError(
            f"{name} begins at {certificate.not_valid_before_utc}; is the clock right?"
        )
    if isinstance(certificate.signature_hash_algorithm, _WEAK_HASHES):
        raise ChainError(f"{name} is signed with a hash that is no longer safe")
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            oid = extension.oid.dotted_string
            raise ChainError(f"{name} has an unknown critical extension {oid}")
    _check_strength(certificate, name)


def _check_strength(certificate: x509.Certificate, name: str) -> None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise ChainError(f"{name} has an rsa key of {key.key_size} bits")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256:  # noqa: PLR2004 -- RFC 9325 section 4.5
        raise ChainError(f"{name} has a key on a curve of {key.key_size} bits")
