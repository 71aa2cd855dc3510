"""Keys in files, only where the configuration asks for them.

It knows PKCS#8 and where the files are. It is the one adapter whose keys can leave, by
`private_pem`, because an endpoint that cannot use a token must be given them.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed25519,
    padding,
    rsa,
)
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent.files import FileError, describe, read_bounded, sync_directory, write_atomic
from agent.keys import jws
from agent.keys.errors import KeyMissingError, KeyPolicyError, MechanismError
from agent.ports import MadeKey
from agent.records.keys import KeyRecord, KeyType

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700
_EXPONENT: Final = 65537


def _rsa(bits: int) -> Callable[[], PrivateKey]:
    return lambda: rsa.generate_private_key(_EXPONENT, bits)


_GENERATORS: Final[dict[KeyType, Callable[[], PrivateKey]]] = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": _rsa(2048),
    "rsa-3072": _rsa(3072),
    "rsa-4096": _rsa(4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


class FileKeys:
    """Private keys as PKCS#8 PEM files of mode 0600, one for each key id.

    Every method raises the errors of `agent.keys.errors` and `FileError` only.
    """

    def __init__(self, directory: Path) -> None:
        """Name the directory; it is made with the first key, mode 0700."""
        self._directory = directory

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make the key durably, or return the one whose file is there already.

        Raises:
            KeyMissingError: It was made before, and its file is gone.
        """
        return await asyncio.to_thread(self._make, key)

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Return a JWS signature over unhashed data (RFC 7518, RFC 8037)."""
        return await asyncio.to_thread(lambda: _sign(self._load(key), data))

    async def use(
        self, key: KeyRecord, work: Callable[[CertificateIssuerPrivateKeyTypes], bytes]
    ) -> bytes:
        """Run `work` with the private key, on another thread."""
        return await asyncio.to_thread(lambda: work(self._load(key)))

    async def destroy(self, key: KeyRecord) -> None:
        """Remove the file durably; succeeds where there is none.

        Raises:
            KeyPolicyError: The key was adopted.
        """
        if key.adopted:
            raise KeyPolicyError(f"key {key.id} is not ours to destroy: it was adopted")
        await asyncio.to_thread(self._remove, self._path(key))

    def private_pem(self, key: KeyRecord) -> bytes:
        """Return the private key, PKCS#8 PEM: for an endpoint's key file only.

        Raises:
            KeyMissingError: There is no such key.
        """
        return _encode(self._load(key))

    def _make(self, key: KeyRecord) -> MadeKey:
        if key.public or key.adopted or self._path(key).exists():
            private = self._load(key)
        else:
            private = _GENERATORS[key.type]()
            self._prepare()
            write_atomic(self._path(key), _encode(private), _MODE)
        return MadeKey(_public(private), "")

    def _prepare(self) -> None:
        try:
            self._directory.mkdir(_DIRECTORY_MODE, parents=True, exist_ok=True)
            sync_directory(self._directory.parent)
        except OSError as error:
            raise FileError(
                f"cannot make {self._directory}: {describe(error)}"
            ) from error

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_directory(path.parent)
        except OSError as error:
            raise FileError(f"cannot remove {path}: {describe(error)}") from error

    def _load(self, key: KeyRecord) -> PrivateKey:
        path = self._path(key)
        if not path.exists():
            raise KeyMissingError(f"software key {key.id} has no file {path}")
        try:
            private = serialization.load_pem_private_key(read_bounded(path), None)
        except (ValueError, TypeError) as error:
            raise KeyMissingError(f"{path} is not a PKCS#8 key") from error
        if not isinstance(
            private,
            (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey),
        ):
            raise MechanismError(f"{path} holds a kind of key that is not supported")
        if key.public and _public(private) != key.public:
            raise KeyMissingError(f"{path} holds another key than the one recorded")
        return private

    def _path(self, key: KeyRecord) -> Path:
        # Through octets, so that an id from a record can never be a path.
        return self._directory / f"{bytes.fromhex(key.id).hex()}.pem"


def _encode(private: PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public(private: PrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _sign(private: PrivateKey, data: bytes) -> bytes:
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(data)
    algorithm = jws.hash_for(private.public_key())
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, padding.PKCS1v15(), algorithm)
    return jws.to_raw(private.sign(data, ec.ECDSA(algorithm)), private.key_size)
