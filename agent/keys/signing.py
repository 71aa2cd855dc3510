"""Private keys that stay in their token, in the shape that `cryptography` accepts.

It knows mechanisms and `cryptography`'s key classes. Everything here blocks and runs on
the module's worker thread; a key object dies with the call that it was made for.
"""

from collections.abc import Iterator
from typing import Final, Generic, Never, Self, TypeVar

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed25519,
    padding,
    rsa,
    utils,
)
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from pkcs11 import Mechanism

from agent.keys import jws
from agent.keys.errors import KeyPolicyError, MechanismError
from agent.keys.public import PublicKey

_ECDSA_WITH: Final = {
    "sha256": Mechanism.ECDSA_SHA256,
    "sha384": Mechanism.ECDSA_SHA384,
    "sha512": Mechanism.ECDSA_SHA512,
}
_RSA_WITH: Final = {
    "sha256": Mechanism.SHA256_RSA_PKCS,
    "sha384": Mechanism.SHA384_RSA_PKCS,
    "sha512": Mechanism.SHA512_RSA_PKCS,
}
# RFC 8017 section 9.2, note 1: DER of DigestInfo up to the hash itself.
_DIGEST_INFO: Final = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
_NEXT: Final = (
    pkcs11.exceptions.DataInvalid,
    pkcs11.exceptions.DataLenRange,
    pkcs11.exceptions.FunctionNotSupported,
    pkcs11.exceptions.KeyTypeInconsistent,
    pkcs11.exceptions.MechanismInvalid,
    pkcs11.exceptions.MechanismParamInvalid,
)
"""The mechanism is not for this token or key: another one may be."""

Hash = hashes.HashAlgorithm | utils.Prehashed
Buffer = bytes | bytearray | memoryview

_Public = TypeVar("_Public")


class Choices(dict[str, Mechanism]):
    """Which mechanism worked on a token, by key kind and hash."""


class Signer:
    """Signs with one private key object, by the first mechanism that works."""

    def __init__(
        self, item: pkcs11.PrivateKey, public: PublicKey, choices: Choices
    ) -> None:
        """Take a handle that is fresh, and the memory of its token."""
        self.public = public
        self.item = item
        self._choices = choices
        self._open = True

    def close(self) -> None:
        """Make later signatures fail: the handle may soon mean another key."""
        self._open = False

    def sign(self, data: bytes, algorithm: Hash) -> bytes:
        """Return a signature in the shape of JWS, verified with the public key.

        Raises:
            MechanismError: No mechanism gives a signature that verifies.
            KeyPolicyError: The key may not sign, or its call has ended.
        """
        if not self._open:
            raise KeyPolicyError("a token's key object was used after its call")
        if not isinstance(self.item, pkcs11.types.SignMixin):
            raise KeyPolicyError("key is not allowed to sign (CKA_SIGN is false)")
        slot = f"{type(self.public).__name__} {_hash_of(algorithm).name}"
        known = self._choices.get(slot)
        for mechanism, payload in self._wordings(data, algorithm):
            if known not in {None, mechanism}:
                continue
            signature = self._try(mechanism, payload)
            if signature and jws.verifies(self.public, signature, data, algorithm):
                self._choices[slot] = mechanism
                return signature
        self._choices.pop(slot, None)
        raise MechanismError(
            f"token gives no valid {_hash_of(algorithm).name} signature with this key"
        )

    def _try(self, mechanism: Mechanism, payload: bytes) -> bytes:
        try:
            return bytes(self.item.sign(payload, mechanism=mechanism))  # type: ignore[attr-defined]  # SignMixin, checked by the caller
        except _NEXT:
            return b""

    def _wordings(
        self, data: bytes, algorithm: Hash
    ) -> Iterator[tuple[Mechanism, bytes]]:
        if isinstance(self.public, ed25519.Ed25519PublicKey):
            yield Mechanism.EDDSA, data
            return
        name = _hash_of(algorithm).name
        whole = not isinstance(algorithm, utils.Prehashed)
        hashed = jws.digest(_hash_of(algorithm), data) if whole else data
        if isinstance(self.public, ec.EllipticCurvePublicKey):
            yield Mechanism.ECDSA, hashed
            if whole and name in _ECDSA_WITH:
                yield _ECDSA_WITH[name], data
        else:
            if whole and name in _RSA_WITH:
                yield _RSA_WITH[name], data
            if name in _DIGEST_INFO:
                yield Mechanism.RSA_PKCS, _DIGEST_INFO[name] + hashed


def _hash_of(algorithm: Hash) -> hashes.HashAlgorithm:
    if isinstance(algorithm, utils.Prehashed):
        return algorithm._algorithm  # noqa: SLF001 -- cryptography has no public name
    return algorithm


class _Stays(Generic[_Public]):
    """What a key in a token refuses to do."""

    def __init__(self, signer: Signer, public: _Public) -> None:
        """Take the signer, and its public key once more with its own type."""
        self._signer = signer
        self._public = public

    def public_key(self) -> _Public:
        """Return the public half."""
        return self._public

    def private_bytes(self, *_: object, **__: object) -> Never:
        """Refuse: the key never leaves."""
        raise _refusal()

    def private_bytes_raw(self) -> Never:
        """Refuse: the key never leaves."""
        raise _refusal()

    def private_numbers(self) -> Never:
        """Refuse: the key never leaves."""
        raise _refusal()

    def exchange(self, *_: object) -> Never:
        """Refuse: the key only signs."""
        raise _refusal()

    def decrypt(self, *_: object) -> Never:
        """Refuse: the key only signs."""
        raise _refusal()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class TokenEcKey(_Stays[ec.EllipticCurvePublicKey], ec.EllipticCurvePrivateKey):
    """An EC private key in a token; signatures are DER, as X.509 wants them."""

    @property
    def curve(self) -> ec.EllipticCurve:
        """Return the curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Return the size of the curve's field in bits."""
        return self._public.key_size

    def sign(
        self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> bytes:
        """Return an ECDSA signature, DER."""
        algorithm = _known(signature_algorithm.algorithm)
        return jws.to_der(self._signer.sign(bytes(data), algorithm))


class TokenRsaKey(_Stays[rsa.RSAPublicKey], rsa.RSAPrivateKey):
    """An RSA private key in a token; signs by PKCS#1 v1.5 only."""

    @property
    def key_size(self) -> int:
        """Return the length of the modulus in bits."""
        return self._public.key_size

    def sign(self, data: Buffer, scheme: object, algorithm: object) -> bytes:
        """Return an RSASSA-PKCS1-v1_5 signature.

        Raises:
            MechanismError: Another padding or hash is asked for.
        """
        if not isinstance(scheme, padding.PKCS1v15):
            raise MechanismError("keys in tokens sign with PKCS#1 v1.5 padding only")
        return self._signer.sign(bytes(data), _known(algorithm))


class TokenEd25519Key(_Stays[ed25519.Ed25519PublicKey], ed25519.Ed25519PrivateKey):
    """An Ed25519 private key in a token."""

    def sign(self, data: Buffer) -> bytes:
        """Return an Ed25519 signature (RFC 8032)."""
        return self._signer.sign(bytes(data), hashes.SHA512())


def _known(algorithm: object) -> Hash:
    if isinstance(algorithm, (hashes.HashAlgorithm, utils.Prehashed)):
        return algorithm
    raise MechanismError("a token's key was asked to sign without a hash")


def _refusal() -> KeyPolicyError:
    return KeyPolicyError("a token's private key only signs; it never leaves")


def as_private_key(signer: Signer) -> CertificateIssuerPrivateKeyTypes:
    """Return the signer as the kind of private key that `cryptography` expects."""
    public = signer.public
    if isinstance(public, ec.EllipticCurvePublicKey):
        return TokenEcKey(signer, public)
    if isinstance(public, rsa.RSAPublicKey):
        return TokenRsaKey(signer, public)
    return TokenEd25519Key(signer, public)
