"""Compact JWS of others (RFC 7515): verified by a key that is known beforehand.

It knows signatures and encodings. It takes no key from a message, and does not know
what is signed.
"""

import base64
import hashlib
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

MIN_RSA_BITS: Final = 2048
_PARTS: Final = 3


class Compact(NamedTuple):
    """The parts of a compact JWS, decoded; nothing is verified.

    Attributes:
        header: The protected header, octets of JSON.
        payload: What is signed.
        signature: As RFC 7518 has it: r||s for elliptic curves.
        covered: The octets that the signature is over.
    """

    header: bytes
    payload: bytes
    signature: bytes
    covered: bytes


def split(compact: str) -> Compact:
    """Return the parts of a compact JWS.

    Raises:
        ValueError: It is none.
    """
    parts = compact.split(".", _PARTS)
    if len(parts) != _PARTS:
        raise ValueError("not three parts")
    header, payload, signature = map(decode, parts)
    covered = f"{parts[0]}.{parts[1]}".encode("ascii")
    return Compact(header, payload, signature, covered)


def decode(text: str) -> bytes:
    """Return the octets of base64url, padded or not.

    Raises:
        ValueError: It is something else.
    """
    # Strictly: josepy would pass over what is not in the alphabet.
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


def verify(public: bytes, alg: str, signature: bytes, covered: bytes) -> None:
    """Verify a signature (RFC 7518 section 3, RFC 8037); the key names the algorithm.

    Args:
        public: SubjectPublicKeyInfo, DER.
        alg: What the header says.
        signature: As in the JWS.
        covered: What it is over.

    Raises:
        ValueError: It is not of this key, this algorithm and these octets, or the key
            is of no use.
    """
    try:
        _verify(public, alg, signature, covered)
    except (InvalidSignature, UnsupportedAlgorithm) as error:
        raise ValueError("the signature is not of this key") from error


def _verify(public: bytes, alg: str, signature: bytes, data: bytes) -> None:
    key = load_der_public_key(public)
    match key, alg:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()), "ES256":
            key.verify(_dss(signature, 32), data, ec.ECDSA(hashes.SHA256()))
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()), "ES384":
            key.verify(_dss(signature, 48), data, ec.ECDSA(hashes.SHA384()))
        case ed25519.Ed25519PublicKey(), "EdDSA":
            key.verify(signature, data)
        case rsa.RSAPublicKey(key_size=bits), "RS256" if bits >= MIN_RSA_BITS:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        case rsa.RSAPublicKey(key_size=bits), "PS256" if bits >= MIN_RSA_BITS:
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            key.verify(signature, data, pss, hashes.SHA256())
        case _:
            raise InvalidSignature


def _dss(signature: bytes, width: int) -> bytes:
    if len(signature) != 2 * width:
        raise InvalidSignature
    r, s = signature[:width], signature[width:]
    return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))


def key_id(public: bytes) -> str:
    """Return the `kid` of a key: SHA-256 of its SPKI, lower-case hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def public_key(pem: bytes) -> bytes:
    """Return the key of a PEM file, a certificate's or bare: SPKI, DER.

    Of a certificate only the key counts: neither its dates nor who issued it.

    Raises:
        ValueError: It holds neither, or a key of no known kind.
    """
    try:
        return _spki(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError("a key of no known kind") from error


def _spki(pem: bytes) -> bytes:
    if b"BEGIN CERTIFICATE" in pem:
        key = x509.load_pem_x509_certificate(pem).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bare = load_pem_public_key(pem)
    return bare.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
