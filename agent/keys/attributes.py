"""Public keys read from the attributes of a token's objects.

It knows the encodings that modules use for points and numbers. It opens no session.
"""

from typing import Final

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import Attribute

from agent.keys.errors import MechanismError
from agent.keys.public import PublicKey, point, usable

_CURVES: Final[dict[bytes, ec.EllipticCurve]] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
}
_ED25519_OCTETS: Final = 32


def of_object(item: pkcs11.types.Object) -> PublicKey:
    """Return the public key in a token object's attributes.

    Public key objects have them all, RSA private keys as well; certificates hold it
    whole.

    Raises:
        MechanismError: It has no attributes that we can read a key from.
    """
    try:
        match item.object_class:
            case pkcs11.ObjectClass.CERTIFICATE:
                der = item[Attribute.VALUE]
                return usable(x509.load_der_x509_certificate(der).public_key())
            case _:
                return _of_attributes(item)
    except (
        pkcs11.exceptions.AttributeTypeInvalid,
        pkcs11.exceptions.AttributeSensitive,
        ValueError,
    ) as error:
        raise MechanismError("token object has no readable public key") from error


def _of_attributes(item: pkcs11.types.Object) -> PublicKey:
    kind = item[Attribute.KEY_TYPE]
    if kind is pkcs11.KeyType.RSA:
        modulus = int.from_bytes(item[Attribute.MODULUS], "big")
        exponent = int.from_bytes(item[Attribute.PUBLIC_EXPONENT], "big")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if kind is pkcs11.KeyType.EC_EDWARDS:
        raw = point(item[Attribute.EC_POINT], _ED25519_OCTETS)
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    curve = _CURVES.get(item[Attribute.EC_PARAMS])
    if kind is not pkcs11.KeyType.EC or curve is None:
        raise MechanismError("key has a kind or a curve that is not supported")
    size = 1 + 2 * (curve.key_size // 8)
    raw = point(item[Attribute.EC_POINT], size)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, raw)
