"""Who issues certificates to attestation keys, and a TPM made of software.

The certificates are real ones for the keys of a TPM simulator. The statements that are
made here, octet by octet (TPM 2.0 Part 2), are for what no TPM would say.
"""

from hashlib import sha256
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.ca.devices import other_name
from tests.parts.maker import END, START

AIK: Final = x509.ObjectIdentifier("2.23.133.8.3")
ABOUT: Final = {
    "2.23.133.2.1": "id:49424D00",
    "2.23.133.2.2": "swtpm",
    "2.23.133.2.3": "id:20191023",
}
"""What the certificate of an attestation key says of its TPM."""
SIGNING: Final = 0x00060072
"""Attributes of a key that tpm2-pkcs11 makes: fixed, made there, signs and decrypts."""
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class TpmMaker:
    """A root whose certificates are of attestation keys.

    Attributes:
        root: What a CA believes.
    """

    def __init__(self) -> None:
        """Make a root."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TPM Root")])
        builder = _builder(self._key.public_key(), self._name, self._name, ca=True)
        self.root = builder.sign(self._key, hashes.SHA256())

    def certificate(
        self,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        device: str,
        *,
        subject: str = "",
        about: tuple[str, ...] = tuple(ABOUT),
        usage: x509.ObjectIdentifier = AIK,
    ) -> x509.Certificate:
        """Return the certificate of an attestation key (WebAuthn section 8.3.1)."""
        attributes = [
            x509.NameAttribute(x509.ObjectIdentifier(oid), ABOUT[oid]) for oid in about
        ]
        alternative = x509.SubjectAlternativeName(
            [
                x509.DirectoryName(x509.Name(attributes)),
                other_name("permanent-identifier", device),
            ]
        )
        called = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
        builder = _builder(key, x509.Name(called), self._name, ca=False)
        return (
            builder.add_extension(alternative, critical=not subject)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def pem(
        self, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, device: str
    ) -> bytes:
        """Return it in PEM."""
        return self.certificate(key, device).public_bytes(Encoding.PEM)


class Statement(NamedTuple):
    """What a TPM says of a key.

    Attributes:
        info: TPMS_ATTEST.
        signature: TPMT_SIGNATURE.
        public: TPMT_PUBLIC.
    """

    info: bytes
    signature: bytes
    public: bytes


def statement(
    by: PrivateKey,
    key: ec.EllipticCurvePublicKey,
    data: bytes,
    *,
    attributes: int = SIGNING,
    head: str = "ff5443478017",
    other: bytes = b"",
) -> Statement:
    """Return a statement about a P-256 key, or one that no TPM makes.

    Args:
        by: The attestation key.
        key: The certified key.
        data: What it is about, not hashed.
        attributes: TPMA_OBJECT.
        head: Magic and type, hexadecimal.
        other: Octets of a TPMT_PUBLIC whose name is certified instead.
    """
    numbers = key.public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    public = (
        bytes.fromhex("0023000b")
        + attributes.to_bytes(4, "big")
        + bytes.fromhex("0000 0010 0010 0003 0010")
        + _sized(x)
        + _sized(y)
    )
    name = bytes.fromhex("000b") + sha256(other or public).digest()
    info = (
        bytes.fromhex(head)
        + _sized(b"\0\x0b" + bytes(32))
        + _sized(sha256(data).digest())
        + bytes(17 + 8)
        + _sized(name)
        + _sized(name)
    )
    return Statement(info, _signature(by, info), public)


def _signature(by: PrivateKey, info: bytes) -> bytes:
    if isinstance(by, rsa.RSAPrivateKey):
        plain = by.sign(info, padding.PKCS1v15(), hashes.SHA256())
        return bytes.fromhex("0014000b") + _sized(plain)
    found = decode_dss_signature(by.sign(info, ec.ECDSA(hashes.SHA256())))
    r, s = (_sized(number.to_bytes(32, "big")) for number in found)
    return bytes.fromhex("0018000b") + r + s


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _builder(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    *,
    ca: bool,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
