"""A bundle, its keys and its tables, for tests; made with `tests.oam.bundle`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tests.oam import bundle as oam
from tests.vectors.trust import key, root

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANCE: Final = "nf-host-17"
DIRECTORY: Final = "/var/lib/nfcertd/bootstrap"
MAC: Final = b"c2VjcmV0LW1hYy1rZXktb2YtdGhlLWFjY291bnQ"
BEARER: Final = b"bearer-credential-at-oam"
SIGNER: Final = key(900)
VECTOR: Final = Path(__file__).parents[2] / "docs" / "vectors" / "bootstrap.json"
AMF: Final = {
    "instance_id": "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
    "types": ["AMF"],
    "fqdn": "amf1.5gc.mnc012.mcc345.3gppnetwork.org",
}
Tables = dict[str, Any]
Edit = Callable[[Tables], None]


@cache
def host(number: int = 1) -> x25519.X25519PrivateKey:
    """Return the n-th host's key; always the same one."""
    return x25519.X25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def private_pem(private: Any) -> bytes:
    """Return a private key as its PEM file."""
    made: bytes = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return made


def spki(private: Any = SIGNER) -> bytes:
    """Return the public half of a key, DER."""
    made: bytes = private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return made


def public_pem(private: Any = SIGNER) -> str:
    """Return the public half of a key as its PEM file."""
    made: bytes = private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return made.decode()


def secret(text: bytes, number: int = 1) -> str:
    """Return a secret for the n-th host."""
    return oam.seal(text, host(number).public_key())


def tables(edit: Edit | None = None) -> Tables:
    """Return a payload with something in every table, changed by `edit`."""
    made: Tables = {
        "version": 1,
        "instance": INSTANCE,
        "sequence": 3,
        "issued": NOW.isoformat(),
        "expires": (NOW + timedelta(days=7)).isoformat(),
        "ca": {
            "operator": {
                "directory": "https://ca.example/acme/directory",
                "roots": root(1).pem,
                "allowed_hosts": ["acme.ca.example"],
            }
        },
        "account": {
            "operator": {
                "ca": "operator",
                "eab": {"kid": "nf-17", "key": secret(MAC)},
            }
        },
        "nf": {"amf1": dict(AMF)},
        "token-authority": {
            "oam": {
                "url": "https://oam.example/at/account/nf-17/token",
                "roots": root(2).pem,
                "bearer": secret(BEARER),
            }
        },
        "trust": {
            "peers": {
                "signed": "https://lists.example/peers",
                "roots": root(3).pem,
                "signer": public_pem(),
            }
        },
    }
    if edit is not None:
        edit(made)
    return made


def signed(made: Tables | None = None, by: Any = SIGNER, **header: Any) -> str:
    """Return a bundle of a payload."""
    payload = json.dumps(tables() if made is None else made).encode()
    return oam.sign(payload, by, header)


def headed(header: dict[str, Any]) -> str:
    """Return a bundle with further members in its header, of any name."""
    return oam.sign(json.dumps(tables()).encode(), SIGNER, header)


def changed(edit: Callable[[Tables], object] | None = None, number: int = 4) -> str:
    """Return a bundle with another number, and something in it changed."""
    made = tables()
    made["sequence"] = number
    if edit is not None:
        edit(made)
    return signed(made)


def vector() -> dict[str, Any]:
    """Return the published vector."""
    read: dict[str, Any] = json.loads(VECTOR.read_text())
    return read


def remade(known: dict[str, Any]) -> tuple[str, str]:
    """Return the vector's secret and bundle, made again from its keys."""
    chance = known["chance"]
    seed = load_pem_private_key(chance["ephemeral_private_key"].encode(), None)
    public = load_pem_private_key(known["host_private_key"].encode(), None).public_key()
    signer = load_pem_private_key(known["signer_private_key"].encode(), None)
    assert isinstance(seed, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(signer, oam.Signer)
    drawn = oam.Chance(
        ephemeral=seed,
        iv=bytes.fromhex(chance["iv"]),
        content_key=bytes.fromhex(chance["content_encryption_key"]),
    )
    secret_text = known["secret"].encode()
    sealed = oam.seal(secret_text, public, chance=drawn)
    payload = known["payload"].encode()
    return sealed, oam.sign(payload, signer)
