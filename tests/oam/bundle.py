"""Bootstrap bundles as OAM makes them, from docs/bootstrap.md and the RFCs alone.

JWS (RFC 7515) and JWE (RFC 7516, RFC 7518 section 4.6) by hand, with primitives only:
neither `agent/` nor the library that it opens secrets with has a part in it, so that
one misreading cannot pass twice. It is a tool as well:

    python -m tests.oam.bundle --signer oam.key --host host.pub tables.json > bundle

where a secret in `tables.json` stands as `{"secret": "text"}`.
"""

import argparse
import base64
import hashlib
import json
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

TYPE: Final = "nfcertd-bootstrap"
Signer = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
HostKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey
Ephemeral = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What is drawn for one message; fixed only in vectors."""

    ephemeral: Ephemeral
    iv: bytes
    content_key: bytes


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(members: object) -> str:
    """Return JSON as a part of a compact serialization."""
    return b64(json.dumps(members, separators=(",", ":")).encode())


def key_id(key: Any) -> str:
    """Return the `kid` of a public key: SHA-256 of its SubjectPublicKeyInfo."""
    spki = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


def sign(payload: bytes, key: Signer, header: dict[str, Any] | None = None) -> str:
    """Return a payload as a compact JWS; `header` replaces members of the usual one."""
    usual = {"alg": algorithm(key), "typ": TYPE, "kid": key_id(key.public_key())}
    protected = part(usual | (header or {}))
    covered = f"{protected}.{b64(payload)}"
    return f"{covered}.{b64(signature(key, covered.encode()))}"


def algorithm(key: Signer) -> str:
    """Return the `alg` of a signer's key (RFC 7518 section 3.1, RFC 8037)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    return {256: "ES256", 384: "ES384"}[key.curve.key_size]


def signature(key: Signer, covered: bytes) -> bytes:
    """Return a signature in the form of JWS."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(covered)
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return key.sign(covered, pss, hashes.SHA256())
    wide = key.curve.key_size == 384
    digest = hashes.SHA384() if wide else hashes.SHA256()
    r, s = decode_dss_signature(key.sign(covered, ec.ECDSA(digest)))
    width = key.curve.key_size // 8
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def seal(
    secret: bytes,
    host: HostKey,
    *,
    wrap: bool = True,
    header: dict[str, Any] | None = None,
    chance: Chance | None = None,
) -> str:
    """Return a secret as a compact JWE to a host's key.

    Args:
        secret: What is encrypted.
        host: The public half of the host's key.
        wrap: ECDH-ES+A256KW; else ECDH-ES, where the agreed key encrypts the content.
        header: Members that are added to the protected header.
        chance: What is otherwise drawn.
    """
    drawn = chance or draw(host)
    alg = "ECDH-ES+A256KW" if wrap else "ECDH-ES"
    public = jwk(drawn.ephemeral.public_key())
    usual = {"alg": alg, "enc": "A256GCM", "kid": key_id(host), "epk": public}
    protected = part(usual | (header or {}))
    # RFC 7518 section 4.6.2: AlgorithmID is `enc` where the key is used directly.
    agreed = concat_kdf(
        agree(drawn.ephemeral, host), alg if wrap else "A256GCM", bits=256
    )
    content_key = drawn.content_key if wrap else agreed
    wrapped = aes_key_wrap(agreed, content_key) if wrap else b""
    both = AESGCM(content_key).encrypt(drawn.iv, secret, protected.encode())
    parts = (wrapped, drawn.iv, both[:-16], both[-16:])
    return ".".join([protected, *map(b64, parts)])


def draw(host: HostKey) -> Chance:
    """Return fresh chance for a message to a host."""
    ephemeral: Ephemeral = (
        x25519.X25519PrivateKey.generate()
        if isinstance(host, x25519.X25519PublicKey)
        else ec.generate_private_key(host.curve)
    )
    return Chance(ephemeral=ephemeral, iv=os.urandom(12), content_key=os.urandom(32))


def agree(ephemeral: Ephemeral, host: HostKey) -> bytes:
    """Return the shared secret Z."""
    if isinstance(ephemeral, x25519.X25519PrivateKey):
        assert isinstance(host, x25519.X25519PublicKey)
        return ephemeral.exchange(host)
    assert isinstance(host, ec.EllipticCurvePublicKey)
    return ephemeral.exchange(ec.ECDH(), host)


def concat_kdf(
    shared: bytes, algorithm_id: str, *, bits: int, apu: bytes = b"", apv: bytes = b""
) -> bytes:
    """Return a derived key (RFC 7518 section 4.6.2; NIST SP 800-56A, one round)."""
    other = b"".join(
        struct.pack(">I", len(data)) + data
        for data in (algorithm_id.encode(), apu, apv)
    )
    data = struct.pack(">I", 1) + shared + other + struct.pack(">I", bits)
    return hashlib.sha256(data).digest()[: bits // 8]


def jwk(key: HostKey) -> dict[str, str]:
    """Return a public key as JWK (RFC 7518 section 6.2, RFC 8037 section 2)."""
    if isinstance(key, x25519.X25519PublicKey):
        return {"kty": "OKP", "crv": "X25519", "x": b64(key.public_bytes_raw())}
    numbers, width = key.public_numbers(), key.curve.key_size // 8
    x, y = (n.to_bytes(width, "big") for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}


def sealed_in(tree: Any, host: HostKey) -> Any:
    """Return tables with every `{"secret": text}` as a JWE."""
    if isinstance(tree, dict):
        if tree.keys() == {"secret"}:
            return seal(tree["secret"].encode(), host)
        return {name: sealed_in(value, host) for name, value in tree.items()}
    return [sealed_in(v, host) for v in tree] if isinstance(tree, list) else tree


def bundle(tables: dict[str, Any], signer: Signer, host: HostKey) -> str:
    """Return a bundle of tables whose secrets are still to be encrypted."""
    payload = json.dumps(sealed_in(tables, host), indent=1).encode()
    return sign(payload, signer)


def main() -> None:
    """Make a bundle from files, to standard output."""
    parser = argparse.ArgumentParser(description="make a bootstrap bundle")
    parser.add_argument("--signer", type=Path, required=True, help="private key, PEM")
    parser.add_argument("--host", type=Path, required=True, help="public key, PEM")
    parser.add_argument("tables", type=Path, help="the payload, JSON")
    options = parser.parse_args()
    signer = serialization.load_pem_private_key(options.signer.read_bytes(), None)
    host = serialization.load_pem_public_key(options.host.read_bytes())
    assert isinstance(signer, Signer)
    assert isinstance(host, HostKey)
    tables = json.loads(options.tables.read_text())
    sys.stdout.write(f"{bundle(tables, signer, host)}\n")


if __name__ == "__main__":
    main()
