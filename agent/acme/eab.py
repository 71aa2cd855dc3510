"""External account binding (RFC 8555 section 7.3.4): a MAC over the account's key."""

import hmac
from typing import Final, Literal

import msgspec
from josepy.b64 import b64decode

from agent.acme import jws
from agent.errors import AgentError

MacAlgorithm = Literal["HS256", "HS384", "HS512"]
_ALPHABET: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)
_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


class MacKeyError(AgentError):
    """The MAC key is no base64url; it is never quoted."""

    kind = "acme.eab-key"


def decode_key(text: bytes) -> bytes:
    """Return the octets of a MAC key; CAs hand it out as base64url, padded or not.

    Raises:
        MacKeyError: It is something else.
    """
    given = text.strip()
    bare = given.rstrip(b"=")
    # Strictly: josepy would pass over what is not in the alphabet.
    if len(given) - len(bare) not in {0, -len(bare) % 4} or not set(bare) <= _ALPHABET:
        raise _not_base64url()
    try:
        key = b64decode(bare)
    except ValueError:
        # It would carry the key along.
        raise _not_base64url() from None
    if not key:
        raise MacKeyError("the eab key is empty")
    if jws.b64(key).encode() != bare:
        # Bits that no octet has: something is cut off or mistyped.
        raise _not_base64url()
    return key


def _not_base64url() -> MacKeyError:
    return MacKeyError("the eab key is not base64url, as the ca gives it")


def binding(
    public: bytes, *, kid: str, key: bytes, algorithm: MacAlgorithm, url: str
) -> dict[str, str]:
    """Return the value of `externalAccountBinding`.

    Args:
        public: The account key, SubjectPublicKeyInfo, DER: the payload is its JWK.
        kid: Key identifier that the CA gave.
        key: The MAC key, decoded.
        algorithm: `HS256`, `HS384` or `HS512`.
        url: The newAccount URL, "the same as the outer JWS"; there is no nonce.
    """
    header = {"alg": algorithm, "kid": kid, "url": url}
    protected = jws.b64(msgspec.json.encode(header))
    payload = jws.b64(msgspec.json.encode(jws.public_jwk(public)))
    signed = jws.signing_input(protected, payload)
    signature = hmac.digest(key, signed, _DIGESTS[algorithm])
    return {
        "protected": protected,
        "payload": payload,
        "signature": jws.b64(signature),
    }
