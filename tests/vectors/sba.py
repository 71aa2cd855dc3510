"""Certificates by the profile of TS 33.310 clause 6.1.3c, and ones that break it.

A good one is made with `cryptography`; what `cryptography` does not make is cut out of
its DER and signed again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.sba import purposes
from agent.sba.profile import Profile
from agent.sba.purposes import KeyUsage
from tests.vectors.chains import NOW, private

UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
URI = f"urn:uuid:{UUID}"
HOME = "5gc.mnc012.mcc345.3gppnetwork.org"
FQDN = f"amf1.{HOME}"
CRL = "http://ca.example/operator.crl"
NF_OID = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.34")
AMF_SMF = bytes.fromhex("300a1603414d461603534d46")
PROFILE = Profile(
    uris=(URI,),
    dns=(FQDN,),
    country="DE",
    organization=HOME,
    usages=(purposes.SERVER_AUTH, purposes.CLIENT_AUTH),
    key_usage=(KeyUsage.DIGITAL_SIGNATURE,),
    nf_types=("AMF", "SMF"),
    of_nf=True,
)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extension = tuple[x509.ExtensionType, bool]


def usage(*bits: str) -> x509.KeyUsage:
    """Return a keyUsage with some of its bits."""
    known = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in known})


def sans(*names: str) -> x509.SubjectAlternativeName:
    """Return a subjectAltName: texts with a colon are URIs."""
    return x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier(n) if ":" in n else x509.DNSName(n)
            for n in names
        ]
    )


def crls(*uris: str) -> x509.CRLDistributionPoints:
    """Return distribution points, one for each URI."""
    return x509.CRLDistributionPoints(
        [
            x509.DistributionPoint(
                [x509.UniformResourceIdentifier(u)], None, None, None
            )
            for u in uris
        ]
    )


def nf_types(der: bytes = AMF_SMF) -> x509.UnrecognizedExtension:
    """Return an NFTypes extension."""
    return x509.UnrecognizedExtension(NF_OID, der)


def usages(*oids: str) -> x509.ExtendedKeyUsage:
    """Return extended key usages."""
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in oids])


def authority(issuer: Key) -> x509.AuthorityKeyIdentifier:
    """Return the identifier of the key that signs."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())


ISSUER, STRANGER = private(2), private(9)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a certificate says; `extensions` by what they are."""

    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.ORGANIZATION_NAME, HOME),
    )
    key: Key = field(default_factory=lambda: private(3))
    signer: Key = field(default_factory=lambda: ISSUER)
    digest: hashes.HashAlgorithm | None = field(default_factory=hashes.SHA256)
    life: timedelta = timedelta(days=90)
    extensions: dict[str, Extension] = field(
        default_factory=lambda: {
            "ku": (usage("digital_signature"), True),
            "eku": (
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                False,
            ),
            "aki": (authority(ISSUER), False),
            "crl": (crls(CRL), False),
            "san": (sans(URI, FQDN), True),
            "nf": (nf_types(), False),
        }
    )


def issue(spec: Spec) -> x509.Certificate:
    """Return the certificate."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(o, t) for o, t in spec.subject]))
        .issuer_name(_ISSUER_NAME)
        .public_key(spec.key.public_key())
        .serial_number((1 << 159) - 1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + spec.life)
    )
    for extension, critical in spec.extensions.values():
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(spec.signer, spec.digest)  # type: ignore[arg-type]  # any digest


_ISSUER_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Issuing")])


@cache
def issuer(key: ec.EllipticCurvePrivateKey = ISSUER) -> x509.Certificate:
    """Return the certificate of who signs, with the identifier of its key."""
    return (
        x509.CertificateBuilder()
        .subject_name(_ISSUER_NAME)
        .issuer_name(_ISSUER_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=900))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )


def with_extension(name: str, value: x509.ExtensionType, *, critical: bool) -> Spec:
    """Return the good spec with one extension replaced or added."""
    spec = Spec()
    return replace(spec, extensions=spec.extensions | {name: (value, critical)})


def without(name: str) -> Spec:
    """Return the good spec without one extension."""
    spec = Spec()
    kept = {n: e for n, e in spec.extensions.items() if n != name}
    return replace(spec, extensions=kept)


def edited(edit: Callable[[list[bytes]], list[bytes]]) -> x509.Certificate:
    """Return the good certificate with the parts of its body edited, signed again."""
    tbs = issue(Spec()).tbs_certificate_bytes
    body = _wrapped(0x30, *edit(_parts(_content(tbs))))
    signature = ISSUER.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = _parts(_content(tbs))[2]
    bits = _wrapped(0x03, b"\0" + signature)
    return x509.load_der_x509_certificate(_wrapped(0x30, body, algorithm, bits))


def version_1(parts: list[bytes]) -> list[bytes]:
    """Leave out the version and the extensions, which need version 3."""
    return parts[1:-1]


def long_serial(parts: list[bytes]) -> list[bytes]:
    """Put in a positive serial number of 21 octets."""
    return [parts[0], _wrapped(0x02, b"\x01" + bytes(20)), *parts[2:]]


def signed_with_sha1() -> x509.Certificate:
    """Return a certificate whose signature says that it is over SHA-1."""
    der = issue(Spec()).public_bytes(Encoding.DER)
    sha256, sha1 = (
        bytes.fromhex(t) for t in ("06082a8648ce3d040302", "06072a8648ce3d0401")
    )
    padded = _wrapped(0x30, sha1)
    return x509.load_der_x509_certificate(_substituted(der, sha256, padded))


def _substituted(der: bytes, old: bytes, new: bytes) -> bytes:
    tbs, _, bits = _parts(_content(der))
    parts = _parts(_content(tbs))
    assert parts[2] == _wrapped(0x30, old)
    parts[2] = new
    return _wrapped(0x30, _wrapped(0x30, *parts), new, bits)


def _wrapped(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes(2, "big").lstrip(b"\0") or b"\0"
    long = bytes([0x80 | len(size)]) if len(body) > 127 else b""
    return bytes([tag]) + long + size + body


def _content(der: bytes) -> bytes:
    return der[_start(der) :]


def _start(der: bytes) -> int:
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _parts(body: bytes) -> list[bytes]:
    """Return the elements of a sequence's content."""
    parts = []
    while body:
        start = _start(body)
        size = int.from_bytes(body[2:start], "big") if start > 2 else body[1]
        parts.append(body[: start + size])
        body = body[start + size :]
    return parts
