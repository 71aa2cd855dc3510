"""Signatures, thumbprints and headers, against vectors and RFC 8555 section 6.2."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from agent.acme import jws
from tests.unit.vectors import RFC7515_A3_SPKI

TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
THUMBPRINT = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
RFC8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC7638_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L"
    "6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4Qy"
    "Q5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI"
    "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
    "kEgU8awapJzKnqDKgw"
)
RFC7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def octets(text: str) -> bytes:
    """Return base64url without padding, decoded."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def spki(key: Any) -> bytes:
    """Return the SubjectPublicKeyInfo of a public key."""
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


RSA = spki(
    rsa.RSAPublicNumbers(65537, int.from_bytes(octets(RFC7638_N), "big")).public_key()
)
ED25519 = spki(ed25519.Ed25519PublicKey.from_public_bytes(octets(RFC8037_X)))
P384 = spki(ec.derive_private_key(7, ec.SECP384R1()).public_key())
X25519 = spki(x25519.X25519PublicKey.from_public_bytes(octets(RFC8037_X)))


@pytest.mark.parametrize(
    ("public", "thumbprint"),
    [
        (RFC7515_A3_SPKI, THUMBPRINT),
        (RSA, RFC7638_THUMBPRINT),
        (ED25519, RFC8037_THUMBPRINT),
    ],
    ids=["rfc7515", "rfc7638", "rfc8037"],
)
def test_thumbprints_are_those_of_the_standards(public: bytes, thumbprint: str) -> None:
    """RFC 7638 section 3.1, RFC 8037 appendix A.3, RFC 7515 appendix A.3."""
    assert jws.thumbprint(public) == thumbprint


def test_a_key_authorization_is_token_and_thumbprint() -> None:
    """RFC 8555 section 8.1, and the vector."""
    made = jws.key_authorization(TOKEN, RFC7515_A3_SPKI)
    assert made == f"{TOKEN}.{THUMBPRINT}"


@pytest.mark.parametrize(
    ("public", "algorithm", "members"),
    [
        (RFC7515_A3_SPKI, "ES256", ["kty", "crv", "x", "y"]),
        (P384, "ES384", ["kty", "crv", "x", "y"]),
        (RSA, "RS256", ["kty", "n", "e"]),
        (ED25519, "EdDSA", ["kty", "crv", "x"]),
    ],
    ids=["p256", "p384", "rsa", "ed25519"],
)
def test_a_key_stands_for_its_algorithm(
    public: bytes, algorithm: str, members: list[str]
) -> None:
    """Members come in the order of RFC 7517, and no private one is among them."""
    assert jws.algorithm(public) == algorithm
    assert list(jws.public_jwk(public)) == members


def test_coordinates_have_the_length_of_the_field() -> None:
    """A coordinate with leading zeros is padded, not shortened (RFC 7518 6.2.1.2)."""
    found = 0
    for number in range(1, 400):
        public = ec.derive_private_key(number, ec.SECP256R1()).public_key()
        if min(public.public_numbers().x, public.public_numbers().y) < 1 << 248:
            jwk = jws.public_jwk(spki(public))
            assert (len(octets(jwk["x"])), len(octets(jwk["y"]))) == (32, 32)
            found += 1
    assert found


@pytest.mark.parametrize("function", [jws.public_jwk, jws.algorithm])
def test_a_key_that_cannot_sign_is_refused(function: Any) -> None:
    """X25519 agrees on secrets and signs nothing."""
    with pytest.raises(TypeError, match="X25519"):
        function(X25519)


def test_a_protected_header_has_jwk_or_kid() -> None:
    """Never both, never none; url and nonce always (section 6.2)."""
    for account_url, identity in ((None, "jwk"), ("https://ca.example/a/1", "kid")):
        text = jws.protected_header(
            RFC7515_A3_SPKI,
            url="https://ca.example/new?x=%2F",
            nonce="n-1",
            account_url=account_url,
        )
        assert "=" not in text
        header = json.loads(octets(text))
        assert set(header) == {"alg", "nonce", "url", identity}
        assert header["url"] == "https://ca.example/new?x=%2F"
        assert header["nonce"] == "n-1"
        assert header.get("kid") == account_url


def test_the_inner_header_of_a_key_change_has_no_nonce_and_no_kid() -> None:
    """RFC 8555 section 7.3.5: the new key as `jwk`, and the outer url."""
    public = RFC7515_A3_SPKI
    header = json.loads(octets(jws.inner_header(public, url="https://ca.example/k")))
    assert header == {
        "alg": "ES256",
        "jwk": jws.public_jwk(public),
        "url": "https://ca.example/k",
    }


def test_payloads_tell_post_as_get_from_an_empty_object() -> None:
    """POST-as-GET is the empty string; `{}` says that a challenge is ready (6.3)."""
    assert jws.encode_payload(None) == ""
    assert jws.encode_payload({}) == "e30"
    assert jws.signing_input("abc", "") == b"abc."


def test_a_flattened_jws_verifies() -> None:
    """Exactly three members, and the signature is over protected and payload."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = spki(key.public_key())
    protected = jws.protected_header(public, url="https://x", nonce="n", account_url="")
    payload = jws.encode_payload({"a": 1})
    signature = key.sign(jws.signing_input(protected, payload))
    document = json.loads(jws.flattened(protected, payload, signature))
    assert set(document) == {"protected", "payload", "signature"}
    signed = f"{document['protected']}.{document['payload']}".encode()
    verifier = load_der_public_key(public)
    assert isinstance(verifier, ed25519.Ed25519PublicKey)
    verifier.verify(octets(document["signature"]), signed)
