"""The chain that a CA sent, held against what was asked for and who is trusted.

These checks cannot be configured away: a chain that fails one is never published.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID

from agent.acme import device
from agent.acme.identifiers import NF_INSTANCE_ID, Identifier, canonical
from agent.errors import AgentError
from agent.pki.certid import certid
from agent.pki.constraints import permits
from agent.pki.names import NOTHING, Beside, stands_for
from agent.pki.status import Sources, sources_of

MAX_CHAIN: Final = 10
_OWN_AFFAIR: Final = frozenset({NF_INSTANCE_ID, *device.TYPES})
MIN_RSA_BITS: Final = 2048
MAX_SHOWN: Final = 300
"""Characters of names out of a certificate that an error repeats."""
SKEW: Final = timedelta(seconds=60)
"""How far in the future a certificate may begin: CAs whose clock is a little ahead of
ours, and which do not backdate, hand out certificates that begin in a moment."""
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
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for a certificate that it cannot read, early or late."""


class ChainError(AgentError):
    """The chain is not what was ordered, or does not end in a trusted anchor."""

    kind = "pki.chain"


class CheckedChain(NamedTuple):
    """A chain that has passed every check.

    Attributes:
        names: The names that were ordered, and that the leaf has.
        pem: Leaf first, then intermediates, without the anchor; PEM text.
        fingerprint: SHA-256 of the leaf's DER, lower-case hexadecimal.
        serial: The leaf's serial number, lower-case hexadecimal.
        not_before: When the leaf begins.
        not_after: The earliest end in the chain, anchor included: what counts.
        anchor: SHA-256 of the anchor's DER, lower-case hexadecimal.
        certid: The leaf's name in renewal information (RFC 9773); empty without one.
        anchor_subject: Subject of that anchor (RFC 4514), for people.
        sources: Where the status of the leaf can be had.
    """

    names: tuple[str, ...]
    pem: str
    fingerprint: str
    serial: str
    not_before: datetime
    not_after: datetime
    anchor: str = ""
    certid: str = ""
    anchor_subject: str = ""
    sources: Sources = Sources()


def parse_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file of nothing but certificates.

    "clients MUST ... reject any chain that contains anything but certificates" is how
    RFC 8555 section 11.4 is obeyed: a PRIVATE KEY block here is an attack.

    Raises:
        ChainError: Another block, text between blocks, no block, or too many.
    """
    if (begun := pem.count(b"-----BEGIN")) > MAX_CHAIN:
        # Counted first: the pattern below would take forever over many openings.
        raise ChainError(f"the pem file holds {begun} blocks")
    labels = [match.group(1) for match in _BLOCK.finditer(pem)]
    if any(label != b"CERTIFICATE" for label in labels):
        raise ChainError("the pem file holds something other than certificates")
    if _BLOCK.sub(b"", pem).strip() or begun != len(labels):
        raise ChainError("the pem file holds text beside its certificates")
    if not labels:
        raise ChainError("the pem file holds no certificate")
    try:
        with warnings.catch_warnings():
            # The library warns of what RFC 5280 forbids, such as a serial number of 0.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            return tuple(x509.load_pem_x509_certificates(pem))
    except (*_UNREADABLE, CryptographyDeprecationWarning) as error:
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
    except _UNREADABLE as error:
        raise ChainError("the file of trust anchors holds no certificates") from error


def check_chain(
    pem: bytes,
    *,
    public: bytes,
    identifiers: Sequence[Identifier],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    beside: Beside = NOTHING,
) -> CheckedChain:
    """Hold a downloaded chain against the order and return what is published.

    Args:
        pem: The body of the certificate resource.
        public: The key that the request was signed with, SPKI, DER.
        identifiers: What was ordered.
        anchors: The configured trust anchors.
        now: When the check is made.
        beside: What else the leaf was asked to say, and may say.

    Raises:
        ChainError: The first check that failed, in words.
    """
    try:
        certificates = parse_chain(pem)
        _check_leaf(certificates[0], public, identifiers, beside)
        _check_staple(certificates[0], must_staple=beside.must_staple)
        return _check(certificates, identifiers, anchors, now)
    except _UNREADABLE as error:
        raise ChainError("the chain holds a certificate that cannot be read") from error


def _check(
    certificates: Sequence[x509.Certificate],
    identifiers: Sequence[Identifier],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> CheckedChain:
    leaf = certificates[0]
    path, anchor = _build_path(certificates, anchors, now)
    for below, issuer in enumerate((*path[1:], anchor), start=1):
        # "non-self-issued intermediate certificates" count (RFC 5280 4.2.1.9)
        depth = sum(c.subject != c.issuer for c in path[1:below])
        _check_issuer(issuer, depth, identifiers, is_anchor=issuer == anchor)
    for certificate in (*path, anchor):
        _check_common(certificate, now, is_anchor=certificate == anchor)
    return CheckedChain(
        names=tuple(i.name for i in identifiers),
        pem="".join(c.public_bytes(Encoding.PEM).decode("ascii") for c in path),
        fingerprint=fingerprint(leaf),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc,
        not_after=min(c.not_valid_after_utc for c in (*path, anchor)),
        anchor=fingerprint(anchor),
        certid=certid(leaf),
        anchor_subject=_shown(anchor.subject.rfc4514_string()),
        sources=sources_of(leaf),
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """Return SHA-256 of a certificate's DER, lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _check_leaf(
    leaf: x509.Certificate,
    public: bytes,
    identifiers: Sequence[Identifier],
    beside: Beside,
) -> None:
    spki = leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    if spki != public:
        raise ChainError("the certificate is for another key than the request's")
    served = stands_for(leaf)
    wanted = {canonical(i) for i in identifiers}
    free = wanted | {canonical(i) for i in beside.allowed}
    # Where no NF or device is meant, such names are the CA's own affair.
    foreign = _OWN_AFFAIR - {i.type for i in free}
    served = tuple(i for i in served if i.type not in foreign)
    if not wanted - set(beside.optional) <= set(served) <= free:
        raise ChainError(
            f"the certificate names {_listed(served) or 'nothing'} "
            f"instead of {_listed(identifiers)}"
        )


def _check_staple(leaf: x509.Certificate, *, must_staple: bool) -> None:
    """Hold the TLS feature of a leaf against the request (RFC 7633 section 4).

    Clients refuse a certificate that demands stapling from whoever does not staple: one
    that was not asked for would be an outage.
    """
    try:
        features = leaf.extensions.get_extension_for_class(x509.TLSFeature).value
        demands = x509.TLSFeatureType.status_request in features
    except x509.ExtensionNotFound:
        demands = False
    if must_staple and not demands:
        raise ChainError("the certificate does not demand stapling, as was asked")
    if demands and not must_staple:
        raise ChainError(
            "the certificate demands stapling, which was not asked for",
            hint="say must_staple = true if every endpoint staples",
        )


def _listed(identifiers: Sequence[Identifier]) -> str:
    return _shown(", ".join(sorted(i.name for i in identifiers)))


Path = tuple[list[x509.Certificate], x509.Certificate]
"""Leaf and intermediates in order, and the anchor that they end in."""


def _build_path(
    certificates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> Path:
    """Return a path to an anchor, of what is in force where that is possible.

    The order of the chain is only a SHOULD (RFC 8555 section 7.4.2), so issuers are
    looked for anywhere in it; what does not belong is left out. A root or a
    cross-signed issuer that was renewed with its key stands beside its outdated twin.
    """
    leaf, *rest = certificates
    in_force = [c for c in rest if _in_force(c, now)]
    path = _search(leaf, in_force, [a for a in anchors if _in_force(a, now)])
    path = path or _search(leaf, rest, anchors)
    if path is None:
        top = _top(leaf, rest)
        _check_hash(top)
        raise ChainError(
            "the chain does not end in a configured trust anchor: nobody issued "
            f"{_shown(top.issuer.rfc4514_string()) or 'a certificate'}"
        )
    return path


def _search(
    leaf: x509.Certificate,
    rest: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
) -> Path | None:
    """Return the shortest path; each certificate is visited once, so loops end."""
    left = list(rest)
    paths = [[leaf]]
    for path in paths:
        for anchor in _issuers_of(path[-1], anchors):
            return path, anchor
        for issuer in _issuers_of(path[-1], tuple(left)):
            left.remove(issuer)
            paths.append([*path, issuer])
    return None


def _issuers_of(
    certificate: x509.Certificate, candidates: Iterable[x509.Certificate]
) -> Iterator[x509.Certificate]:
    for candidate in candidates:
        try:
            certificate.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        yield candidate


def _top(leaf: x509.Certificate, rest: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the first certificate, going up, whose issuer is not in the chain."""
    at, left = leaf, list(rest)
    while (issuer := next(_issuers_of(at, left), None)) is not None:
        left.remove(issuer)
        at = issuer
    return at


def _in_force(certificate: x509.Certificate, now: datetime) -> bool:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins - SKEW <= now <= ends


def _shown(text: str) -> str:
    """Return names out of a certificate without control characters, bounded."""
    clean = "".join(c if c.isprintable() else " " for c in text[:MAX_SHOWN])
    return clean if len(text) <= MAX_SHOWN else f"{clean}..."


def _check_issuer(
    issuer: x509.Certificate,
    depth: int,
    identifiers: Sequence[Identifier],
    *,
    is_anchor: bool,
) -> None:
    """Check one issuer; `depth` counts the intermediates below it (RFC 5280 6.1.4)."""
    name = _shown(issuer.subject.rfc4514_string())
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
            case x509.NameConstraints() as limits if not permits(limits, identifiers):
                raise ChainError(f"the issuer {name} may not issue for these names")
            case _:
                pass


def _check_common(
    certificate: x509.Certificate, now: datetime, *, is_anchor: bool
) -> None:
    name = _named(certificate)
    if now > certificate.not_valid_after_utc:
        raise ChainError(f"{name} has ended at {certificate.not_valid_after_utc}")
    if is_anchor:
        return
    if now < certificate.not_valid_before_utc - SKEW:
        raise ChainError(
            f"{name} begins at {certificate.not_valid_before_utc}; is the clock right?"
        )
    _check_hash(certificate)
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            oid = extension.oid.dotted_string
            raise ChainError(f"{name} has an unknown critical extension {oid}")
    _check_strength(certificate, name)


def _check_hash(certificate: x509.Certificate) -> None:
    if isinstance(certificate.signature_hash_algorithm, _WEAK_HASHES):
        name = _named(certificate)
        raise ChainError(f"{name} is signed with a hash that is no longer safe")


def _named(certificate: x509.Certificate) -> str:
    return _shown(certificate.subject.rfc4514_string()) or "the certificate"


def _check_strength(certificate: x509.Certificate, name: str) -> None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise ChainError(f"{name} has an rsa key of {key.key_size} bits")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256:  # noqa: PLR2004 -- RFC 9325 section 4.5
        raise ChainError(f"{name} has a key on a curve of {key.key_size} bits")
