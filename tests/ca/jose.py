"""JOSE as RFC 8555 6.2 narrows it, by hand over `cryptography`.

Knows strict base64url, strict JSON, JWK, thumbprints (RFC 7638), flattened JWS and its
signatures and MACs (RFC 7518, RFC 8037). Does not know accounts, nonces or requests;
whatever is not exactly right is a problem document.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.ca.problems import refusal

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*")
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
}
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, int]]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
}
_ECDSA: Final[Mapping[str, tuple[str, hashes.HashAlgorithm]]] = {
    "ES256": ("P-256", hashes.SHA256()),
    "ES384": ("P-384", hashes.SHA384()),
}
_MACS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def b64encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64decode(text: object, what: str) -> bytes:
    """Decode base64url; padding, other alphabets and loose bits are malformed."""
    if not isinstance(text, str) or not _ALPHABET.fullmatch(text):
        raise refusal("malformed", f"{what} is not base64url without padding")
    if len(text) % 4 == 1:
        raise refusal("malformed", f"{what} has an impossible base64url length")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64encode(data) != text:
        raise refusal("malformed", f"{what} is not canonical base64url")
    return data


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise refusal("malformed", "a JSON object repeats a member")
    return members


def parse_object(raw: bytes, what: str) -> dict[str, object]:
    """Return the JSON object in UTF-8 `raw`; anything else is malformed."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise refusal("malformed", f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise refusal("malformed", f"{what} is not a JSON object")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwk:
    """A public key with the members that identify it (RFC 7638 3.2)."""

    members: Mapping[str, str]
    key: PublicKey

    @property
    def thumbprint(self) -> str:
        """Return the SHA-256 thumbprint in base64url."""
        text = json.dumps(dict(self.members), sort_keys=True, separators=(",", ":"))
        return b64encode(hashlib.sha256(text.encode()).digest())


def parse_jwk(value: object) -> Jwk:
    """Return the public key of a JWK object; weak and odd keys are badPublicKey."""
    if not isinstance(value, dict):
        raise refusal("malformed", "jwk is not an object")
    if _PRIVATE & value.keys():
        raise refusal("malformed", "jwk holds private members")
    kty = value.get("kty")
    names = _MEMBERS.get(kty) if isinstance(kty, str) else None
    if names is None:
        raise refusal("badPublicKey", "jwk has an unsupported kty")
    members = {name: value.get(name) for name in names}
    texts = {name: item for name, item in members.items() if isinstance(item, str)}
    if len(texts) != len(names):
        raise refusal("malformed", f"jwk misses one of {', '.join(names)}")
    return Jwk(members=texts, key=_PARSERS[str(kty)](texts))


def _ec_key(members: Mapping[str, str]) -> PublicKey:
    if members["crv"] not in _CURVES:
        raise refusal("badPublicKey", "jwk has an unsupported curve")
    curve, size = _CURVES[members["crv"]]
    x, y = (b64decode(members[name], f"jwk {name}") for name in ("x", "y"))
    # RFC 7518 6.2.1.2: the octet string has the full size of a coordinate.
    if len(x) != size or len(y) != size:
        raise refusal("malformed", "jwk coordinates do not have the size of the field")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
    except ValueError as error:
        raise refusal("badPublicKey", "jwk is not a point of its curve") from error


def _rsa_key(members: Mapping[str, str]) -> PublicKey:
    n, e = (b64decode(members[name], f"jwk {name}") for name in ("n", "e"))
    # RFC 7518 6.3.1.1: the value MUST utilise the minimum number of octets.
    if n[:1] in {b"", b"\x00"} or e[:1] in {b"", b"\x00"}:
        raise refusal("malformed", "jwk n or e is empty or has leading zero octets")
    modulus, exponent = int.from_bytes(n, "big"), int.from_bytes(e, "big")
    if not _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS:
        raise refusal("badPublicKey", "RSA modulus is too short or too long")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise refusal("badPublicKey", "RSA numbers make no key") from error


def _okp_key(members: Mapping[str, str]) -> PublicKey:
    if members["crv"] != "Ed25519":
        raise refusal("badPublicKey", "jwk has an unsupported curve")
    try:
        x = b64decode(members["x"], "jwk x")
        return ed25519.Ed25519PublicKey.from_public_bytes(x)
    except ValueError as error:
        raise refusal("badPublicKey", "jwk is not an Ed25519 key") from error


_PARSERS: Final = {"EC": _ec_key, "RSA": _rsa_key, "OKP": _okp_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """A flattened JWS, decoded and not yet verified."""

    header: Mapping[str, object]
    payload: bytes
    signature: bytes
    signing_input: bytes

    @property
    def alg(self) -> str:
        """Return the `alg` header, or an empty string."""
        alg = self.header.get("alg")
        return alg if isinstance(alg, str) else ""


def parse_jws(value: object) -> Jws:
    """Decode a flattened JWS of exactly three members (RFC 8555 6.2)."""
    expected = {"protected", "payload", "signature"}
    if not isinstance(value, dict) or set(value) != expected:
        raise refusal("malformed", "a JWS has exactly protected, payload and signature")
    header = parse_object(b64decode(value["protected"], "protected"), "protected")
    if "b64" in header or "crit" in header:
        raise refusal("malformed", "b64 and crit are not allowed")
    if "jwk" in header and "kid" in header:
        raise refusal("malformed", "jwk and kid exclude each other")
    payload = b64decode(value["payload"], "payload")
    return Jws(
        header=header,
        payload=payload,
        signature=b64decode(value["signature"], "signature"),
        signing_input=f"{value['protected']}.{value['payload']}".encode("ascii"),
    )


def verify(jws: Jws, jwk: Jwk, algorithms: Sequence[str]) -> None:
    """Check an asymmetric signature with one of the `algorithms` of this CA.

    An algorithm that is unknown, switched off or not of the key's kind is
    `badSignatureAlgorithm` with the list of those that would do (RFC 8555 6.2).
    """
    check_algorithm(jws, algorithms)
    try:
        suits = _VERIFIERS[jws.alg](jws, jwk.key)
    except InvalidSignature as error:
        raise refusal("malformed", "the JWS signature does not verify") from error
    if not suits:
        raise _unsuitable("alg does not suit the key", algorithms)


def check_algorithm(jws: Jws, algorithms: Sequence[str]) -> None:
    """Refuse an `alg` that this CA does not take."""
    if jws.alg not in algorithms or jws.alg not in _VERIFIERS:
        raise _unsuitable("alg is not supported", algorithms)


def _unsuitable(detail: str, algorithms: Sequence[str]) -> Exception:
    return refusal("badSignatureAlgorithm", detail, algorithms=list(algorithms))


def _verify_ecdsa(jws: Jws, key: PublicKey) -> bool:
    curve_name, digest = _ECDSA[jws.alg]
    curve, size = _CURVES[curve_name]
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != curve.name:
        return False
    # RFC 7518 3.4: the octet sequences of R and S, in this order, each of full size.
    if len(jws.signature) != 2 * size:
        raise refusal("malformed", "an ECDSA signature is r and s, not DER")
    r, s = (
        int.from_bytes(half, "big")
        for half in (jws.signature[:size], jws.signature[size:])
    )
    key.verify(encode_dss_signature(r, s), jws.signing_input, ec.ECDSA(digest))
    return True


def _verify_rs256(jws: Jws, key: PublicKey) -> bool:
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    key.verify(jws.signature, jws.signing_input, padding.PKCS1v15(), hashes.SHA256())
    return True


def _verify_eddsa(jws: Jws, key: PublicKey) -> bool:
    if not isinstance(key, ed25519.Ed25519PublicKey):
        return False
    key.verify(jws.signature, jws.signing_input)
    return True


_VERIFIERS: Final = {
    "ES256": _verify_ecdsa,
    "ES384": _verify_ecdsa,
    "RS256": _verify_rs256,
    "EdDSA": _verify_eddsa,
}


def verify_mac(jws: Jws, key: bytes) -> None:
    """Check an HMAC over the JWS (RFC 7518 3.2)."""
    if jws.alg not in _MACS:
        raise refusal("malformed", "external account binding needs an HMAC algorithm")
    expected = hmac.digest(key, jws.signing_input, _MACS[jws.alg])
    if not hmac.compare_digest(expected, jws.signature):
        raise refusal("unauthorized", "external account binding does not verify")
