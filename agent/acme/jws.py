"""JSON Web Signatures as RFC 8555 section 6.2 wants them: flattened, one signature.

It computes what is to be signed and how the result is written down. It never signs:
the key may be in a token.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from josepy.b64 import b64encode
from josepy.jwk import JWKEC, JWKRSA

Jwk = dict[str, str]

_EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384"}


def public_jwk(public: bytes) -> Jwk:
    """Return the JWK of a public key (RFC 7517) given as SubjectPublicKeyInfo, DER.

    Members stand in the order in which RFC 7517 and its examples name them.
    """
    key = load_der_public_key(public)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ordered(JWKEC(key=key).to_partial_json(), "kty", "crv", "x", "y")
    if isinstance(key, rsa.RSAPublicKey):
        return _ordered(JWKRSA(key=key).to_partial_json(), "kty", "n", "e")
    if isinstance(key, ed25519.Ed25519PublicKey):
        # RFC 8037 section 2; josepy has no OKP keys.
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    raise TypeError(type(key).__name__)


def _ordered(found: Mapping[str, str], *names: str) -> Jwk:
    return {name: found[name] for name in names}


def algorithm(public: bytes) -> str:
    """Return the JWS algorithm (RFC 7518, RFC 8037) that a public key stands for."""
    key = load_der_public_key(public)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _EC_ALGORITHMS[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    raise TypeError(type(key).__name__)


def thumbprint(public: bytes) -> str:
    """Return the SHA-256 JWK thumbprint (RFC 7638), base64url."""
    # "lexicographically by the Unicode code points of the member names", no white space
    ordered = sorted(public_jwk(public).items())
    digest = hashes.Hash(hashes.SHA256())
    digest.update(msgspec.json.encode(dict(ordered)))
    return b64(digest.finalize())


def key_authorization(token: str, public: bytes) -> str:
    """Return `token.thumbprint` (RFC 8555 section 8.1); a secret until it is served."""
    return f"{token}.{thumbprint(public)}"


def protected_header(
    public: bytes, *, url: str, nonce: str, account_url: str | None
) -> str:
    """Return the protected header, base64url.

    `jwk` for newAccount and for revocation by the certificate's key, `kid` for all
    else; "The jwk and kid fields are mutually exclusive" (section 6.2).
    """
    identity: dict[str, object] = (
        {"kid": account_url} if account_url else {"jwk": public_jwk(public)}
    )
    header = {"alg": algorithm(public), **identity, "nonce": nonce, "url": url}
    return b64(msgspec.json.encode(header))


def inner_header(public: bytes, *, url: str) -> str:
    """Return the protected header of the inner JWS of keyChange (section 7.3.5).

    It has a `jwk` and the `url` of the outer one, and "MUST NOT" have a nonce.
    """
    header = {"alg": algorithm(public), "jwk": public_jwk(public), "url": url}
    return b64(msgspec.json.encode(header))


def encode_payload(payload: dict[str, object] | None) -> str:
    """Return a payload, base64url; None is POST-as-GET, the empty string (6.3)."""
    return "" if payload is None else b64(msgspec.json.encode(payload))


def signing_input(protected: str, payload: str) -> bytes:
    """Return the octets that are signed (RFC 7515 section 5.1)."""
    return f"{protected}.{payload}".encode("ascii")


def flattened(protected: str, payload: str, signature: bytes) -> bytes:
    """Return the flattened JSON serialisation (RFC 7515 section 7.2.2)."""
    return msgspec.json.encode(members(protected, payload, signature))


def members(protected: str, payload: str, signature: bytes) -> dict[str, object]:
    """Return the members of the flattened serialisation, to be nested in a payload."""
    return {
        "protected": protected,
        "payload": payload,
        "signature": b64(signature),
    }


def b64(data: bytes) -> str:
    """Return base64url without padding (RFC 8555 section 6.1)."""
    return b64encode(data).decode("ascii")
