"""Public keys as values: encoded, named in our words.

It knows SubjectPublicKeyInfo and points. It does not know PKCS#11, so that software
keys do without it.
"""

from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from agent.keys.errors import MechanismError
from agent.records.keys import KeyType

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_OCTET_STRING: Final = 0x04
_BIT_STRING: Final = 0x03
_EC_TYPES: Final[dict[str, KeyType]] = {"secp256r1": "ec-p256", "secp384r1": "ec-p384"}
_RSA_TYPES: Final[dict[int, KeyType]] = {
    2048: "rsa-2048",
    3072: "rsa-3072",
    4096: "rsa-4096",
}


def load(spki: bytes) -> PublicKey:
    """Return the key of a SubjectPublicKeyInfo, DER.

    Raises:
        MechanismError: It is not DER, or a kind of key that is not used here.
    """
    try:
        key = serialization.load_der_public_key(spki)
    except ValueError as error:
        raise MechanismError("public key is not a SubjectPublicKeyInfo") from error
    return usable(key)


def encode(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo, DER."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def type_of(key: PublicKey) -> KeyType:
    """Return what the configuration calls this kind of key.

    Raises:
        MechanismError: A curve or a length that is not used here.
    """
    found: KeyType | None
    if isinstance(key, ed25519.Ed25519PublicKey):
        found = "ed25519"
    elif isinstance(key, rsa.RSAPublicKey):
        found = _RSA_TYPES.get(key.key_size)
    else:
        found = _EC_TYPES.get(key.curve.name)
    if found is None:
        raise MechanismError("key has a curve or a length that is not supported")
    return found


def point(value: bytes, size: int) -> bytes:
    """Return the bare point of a CKA_EC_POINT.

    PKCS#11 wants a DER OCTET STRING; some modules give a BIT STRING, some the bare
    point. The length tells them apart: an uncompressed point starts with the octet
    that is also the tag of OCTET STRING.

    Raises:
        ValueError: It is none of these.
    """
    if len(value) == size:
        return value
    if value[:2] == bytes((_OCTET_STRING, size)) and len(value) == size + 2:
        return value[2:]
    if value[:3] == bytes((_BIT_STRING, size + 1, 0)) and len(value) == size + 3:
        return value[3:]
    raise ValueError("CKA_EC_POINT is neither bare nor wrapped once")


def usable(key: object) -> PublicKey:
    """Return a key of a kind that is used here; raise `MechanismError` for others."""
    if isinstance(
        key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey)
    ):
        return key
    raise MechanismError("key is of a kind that is not supported")
