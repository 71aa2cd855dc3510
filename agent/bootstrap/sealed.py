"""Secrets in a bundle: JWE (RFC 7516) to the host's key, opened at each use.

The library is imported with the first secret: an idle daemon does not carry it.
"""

from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from agent.bootstrap.errors import FormatError, SecretError
from agent.bootstrap.strict import strict
from agent.config.section import Section
from agent.pki import jws

MAX_SECRET: Final = 4096
"""Octets of a secret; a private key of RSA-4096 is the largest that is met."""
HostKey = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey
_Text = Annotated[str, msgspec.Meta(max_length=200)]


class _EphemeralKey(Section, frozen=True, kw_only=True):
    """The sender's key of this one message (RFC 7518 section 4.6.1.1)."""

    kty: Literal["EC", "OKP"]
    crv: Literal["P-256", "X25519"]
    x: _Text
    y: _Text | None = None


class _Header(Section, frozen=True, kw_only=True):
    """The protected header. What is not here is refused: `zip` above all."""

    alg: Literal["ECDH-ES", "ECDH-ES+A256KW"]
    enc: Literal["A256GCM"]
    epk: _EphemeralKey
    kid: _Text = ""
    apu: _Text = ""
    apv: _Text = ""
    typ: _Text = ""
    cty: _Text = ""


def host_key(pem: bytes) -> HostKey:
    """Return the key that bundles are encrypted to.

    Raises:
        SecretError: It is none of P-256 or X25519 in PEM without a passphrase.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SecretError(
            "bootstrap.decrypt holds no private key in pem without a passphrase"
        ) from error
    match key:
        case x25519.X25519PrivateKey():
            return key
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            return key
        case _:
            raise SecretError(
                "the key of bootstrap.decrypt is of another type than p-256 and x25519"
            )


def recipient(key: HostKey) -> str:
    """Return the `kid` of the host's key, which a sender may name in the header."""
    public = key.public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return jws.key_id(spki)


def unseal(sealed: str, key: HostKey, where: str) -> bytes:
    """Return the secret that a compact JWE holds.

    Args:
        sealed: The JWE.
        key: The host's key.
        where: Its path in the bundle, for errors.

    Raises:
        SecretError: It is not for this key, was changed, or is not of the documented
            form. It never quotes anything of the secret.
    """
    header = _header(sealed, where)
    if header.kid not in {"", recipient(key)}:
        raise SecretError(
            f"{where} is encrypted to the key {header.kid[:64]}, "
            f"this host's is {recipient(key)}",
            hint="give oam the public half of the key of bootstrap.decrypt",
        )
    secret = _decrypted(sealed, key, where)
    if not secret or len(secret) > MAX_SECRET:
        raise SecretError(f"{where} is empty, or longer than {MAX_SECRET} octets")
    return secret


def _header(sealed: str, where: str) -> _Header:
    try:
        tree = strict(jws.decode(sealed.partition(".")[0]), f"header of {where}")
        return msgspec.convert(tree, type=_Header)
    except (FormatError, ValueError) as error:
        raise SecretError(
            f"{where} is no jwe by ECDH-ES or ECDH-ES+A256KW with A256GCM, "
            "as the form of a bundle wants it"
        ) from error


def _decrypted(sealed: str, key: HostKey, where: str) -> bytes:
    from joserfc import jwe  # noqa: PLC0415 -- half a mebibyte, for secrets only
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import ECKey, OKPKey  # noqa: PLC0415

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kind = ECKey if isinstance(key, ec.EllipticCurvePrivateKey) else OKPKey
    registry = jwe.JWERegistry(algorithms=["ECDH-ES", "ECDH-ES+A256KW", "A256GCM"])
    try:
        opened = jwe.decrypt_compact(sealed, kind.import_key(pem), registry=registry)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        # Without its cause, which may be worded with what was read.
        raise SecretError(
            f"{where} is not encrypted to this host's key, or was changed",
            hint="give oam the public half of the key of bootstrap.decrypt",
        ) from None
    return opened.plaintext or b""
