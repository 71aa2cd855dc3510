"""Signatures in the three shapes that are needed: token's, X.509's and JWS's.

It knows which hash goes with which key, and the fixed widths of RFC 7518. It does not
know where a private key is.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from agent.keys.public import PublicKey

_WIDE_CURVE_BITS: Final = 384


def hash_for(key: PublicKey) -> hashes.HashAlgorithm:
    """Return the hash of ES256, ES384 and RS256 (RFC 7518 sections 3.3 and 3.4).

    Ed25519 hashes for itself; its callers ignore the answer.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and (
        key.curve.key_size == _WIDE_CURVE_BITS
    ):
        return hashes.SHA384()
    return hashes.SHA256()


def digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    """Return the hash of data."""
    state = hashes.Hash(algorithm)
    state.update(data)
    return state.finalize()


def to_der(raw: bytes) -> bytes:
    """Turn r||s into the DER of X.509."""
    half = len(raw) // 2
    return utils.encode_dss_signature(
        int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
    )


def to_raw(der: bytes, key_size: int) -> bytes:
    """Turn DER into r||s, each as wide as the curve (RFC 7518 section 3.4)."""
    width = (key_size + 7) // 8
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def verifies(
    key: PublicKey,
    signature: bytes,
    data: bytes,
    algorithm: hashes.HashAlgorithm | utils.Prehashed,
) -> bool:
    """Say whether a JWS-shaped signature over data is the key's."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(to_der(signature), data, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
