"""Attestation statements of device-attest-01: what is signed, and how it is written.

The format `step`: certificates whose first one has the very key that is to be
certified, issued by whoever made the hardware; and the key authorization signed by that
key (draft-ietf-acme-device-attest section 5; smallstep defines the format).
"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.acme import cbor
from agent.acme.jws import b64

_ES256, _EDDSA, _RS256 = -7, -8, -257
"""COSE algorithms (RFC 9053, RFC 8812)."""


def signed_octets(key_authorization: str) -> bytes:
    """Return what the certificate's key signs: the key authorization, not hashed."""
    return key_authorization.encode("ascii")


def step_object(public: bytes, chain: Sequence[bytes], signature: bytes) -> str:
    """Return the attestation object of the format `step`, CBOR in base64url.

    Args:
        public: The certificate's key, SPKI, DER.
        chain: DER of the attestation certificate and of what it is issued by.
        signature: By that key, in the shape of JWS (RFC 7518).

    Raises:
        ValueError: The format knows no such key.
    """
    algorithm, plain = _cose(public, signature)
    statement: dict[str, cbor.Value] = {
        "alg": algorithm,
        # Wrapped twice: a byte string that holds the CBOR of a byte string.
        "sig": cbor.encode(plain),
        "x5c": list(chain),
    }
    return b64(cbor.encode({"fmt": "step", "attStmt": statement}))


def _cose(public: bytes, signature: bytes) -> tuple[int, bytes]:
    """Return the algorithm, and the signature as it goes with it: DER for ECDSA."""
    key = load_der_public_key(public)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(
        key.curve, ec.SECP256R1
    ):
        half = len(signature) // 2
        r, s = (int.from_bytes(p, "big") for p in (signature[:half], signature[half:]))
        return _ES256, encode_dss_signature(r, s)
    if isinstance(key, rsa.RSAPublicKey):
        return _RS256, signature
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _EDDSA, signature
    raise ValueError("the format step attests ec-p256, rsa and ed25519 keys")
