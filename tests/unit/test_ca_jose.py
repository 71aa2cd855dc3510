"""The JOSE of the test CA against published vectors and against what is not allowed."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.ca import raw_client
from tests.ca.accounts import check_binding
from tests.ca.jose import (
    b64decode,
    parse_jwk,
    parse_jws,
    parse_object,
    verify,
    verify_mac,
)
from tests.ca.problems import ProblemError

ALL = ("ES256", "ES384", "RS256", "EdDSA")
# RFC 7515 A.3, and what RFC 7638 and RFC 8555 8 make of it.
JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
THUMBPRINT = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
TOKEN = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
DNS_01 = "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI"
# RFC 7638 3.1.
RSA_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6"
    "tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5"
    "v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD0"
    "8qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU"
    "8awapJzKnqDKgw"
)
EAB = {
    "protected": (
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Im5mLWVhYi0wMDAxIiwidXJsIjoiaHR0cHM6Ly9jYS5leGFtcGxl"
        "L2FjbWUvbmV3LWFjY3QifQ"
    ),
    "payload": base64.urlsafe_b64encode(json.dumps(JWK, separators=(",", ":")).encode())
    .decode()
    .rstrip("="),
    "signature": "ynJfrW911sYdRvxRURD2dOyDlVcz3wLCjLGG0oiayzg",
}


def test_the_thumbprint_of_the_published_ec_key_is_right() -> None:
    """RFC 7638 over the key of RFC 7515 A.3, and the dns-01 value that follows."""
    assert parse_jwk(JWK).thumbprint == THUMBPRINT
    assert parse_jwk(JWK | {"kid": "ignored", "use": "sig"}).thumbprint == THUMBPRINT
    digest = hashlib.sha256(f"{TOKEN}.{THUMBPRINT}".encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == DNS_01


def test_the_thumbprint_of_the_published_rsa_key_is_right() -> None:
    """RFC 7638 3.1."""
    jwk = {"kty": "RSA", "n": RSA_N, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert parse_jwk(jwk).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_thumbprint_of_the_published_ed25519_key_is_right() -> None:
    """RFC 8037 A.3."""
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    jwk = parse_jwk({"kty": "OKP", "crv": "Ed25519", "x": x})
    assert jwk.thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_published_es256_signature_verifies() -> None:
    """RFC 7515 A.3, although its header is not one of ACME."""
    jws = parse_jws(
        {
            "protected": "eyJhbGciOiJFUzI1NiJ9",
            "payload": (
                "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"
                "bS9pc19yb290Ijp0cnVlfQ"
            ),
            "signature": (
                "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKT"
                "UJqPP3-Kg6NU1Q"
            ),
        }
    )
    verify(jws, parse_jwk(JWK), ALL)


def test_the_binding_vector_verifies() -> None:
    """A binding made elsewhere, with the key 00..1f."""
    inner = parse_jws(EAB)
    url = "https://ca.example/acme/new-acct"
    assert check_binding(inner, parse_jwk(JWK), url) == "nf-eab-0001"
    verify_mac(inner, bytes(range(32)))
    with pytest.raises(ProblemError, match="unauthorized"):
        verify_mac(inner, bytes(32))


@pytest.mark.parametrize(
    "text",
    ["YQ==", "YQ=", "Y", "Y+", "Y/8", "YR", "YQ\n", " YQ", None, 7, "é"],
)
def test_base64url_that_is_not_exact_is_malformed(text: object) -> None:
    """Padding, other alphabets, impossible lengths and loose bits are refused."""
    with pytest.raises(ProblemError, match="malformed"):
        b64decode(text, "it")


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"null", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 100_000],
)
def test_json_that_is_not_one_plain_object_is_malformed(raw: bytes) -> None:
    """Repeated members, other types and deep nesting are refused."""
    with pytest.raises(ProblemError, match="malformed"):
        parse_object(raw, "it")


def _without(name: str) -> dict[str, object]:
    return {key: value for key, value in JWK.items() if key != name}


@pytest.mark.parametrize(
    ("jwk", "kind"),
    [
        ("text", "malformed"),
        (_without("y"), "malformed"),
        (JWK | {"d": "AAAA"}, "malformed"),
        (JWK | {"kty": "oct"}, "badPublicKey"),
        (JWK | {"kty": 7}, "badPublicKey"),
        (JWK | {"crv": "P-521"}, "badPublicKey"),
        (JWK | {"crv": "secp256k1"}, "badPublicKey"),
        (JWK | {"x": JWK["y"]}, "badPublicKey"),
        (JWK | {"x": "AA"}, "malformed"),
        ({"kty": "RSA", "n": "AQAB", "e": "AQAB"}, "badPublicKey"),
        ({"kty": "RSA", "n": "AAAA", "e": "AQAB"}, "malformed"),
        ({"kty": "OKP", "crv": "X25519", "x": "AA"}, "badPublicKey"),
        ({"kty": "OKP", "crv": "Ed25519", "x": "AA"}, "badPublicKey"),
    ],
)
def test_a_jwk_that_is_odd_weak_or_private_is_refused(jwk: object, kind: str) -> None:
    """Each with the problem that RFC 8555 has for it."""
    with pytest.raises(ProblemError) as caught:
        parse_jwk(jwk)
    assert caught.value.problem.type == kind


KEYS: dict[str, raw_client.PrivateKey] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("alg", ALL)
def test_a_signature_of_each_algorithm_verifies_and_a_changed_one_does_not(
    alg: str,
) -> None:
    """One bit in the payload is enough."""
    key = KEYS[alg]
    jwk = parse_jwk(raw_client.jwk_of(key))
    assert jwk.thumbprint == raw_client.thumbprint_of(key)
    good = raw_client.jws(key, {"alg": alg}, {"a": 1})
    verify(parse_jws(good), jwk, ALL)
    with pytest.raises(ProblemError, match="does not verify"):
        verify(parse_jws(good | {"payload": "e30"}), jwk, ALL)


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("none", "ES256"),
        ("HS256", "ES256"),
        ("ES512", "ES256"),
        ("ES384", "ES256"),
        ("RS256", "ES256"),
        ("EdDSA", "RS256"),
    ],
)
def test_an_algorithm_that_does_not_suit_is_refused_with_the_good_ones(
    alg: str, key: str
) -> None:
    """RFC 8555 6.2: the problem lists the algorithms of the server."""
    bad = raw_client.jws(KEYS[key], {"alg": alg}, None)
    with pytest.raises(ProblemError) as caught:
        verify(parse_jws(bad), parse_jwk(raw_client.jwk_of(KEYS[key])), ALL)
    assert caught.value.problem.type == "badSignatureAlgorithm"
    assert caught.value.problem.members["algorithms"] == list(ALL)


def test_a_der_signature_is_refused() -> None:
    """RFC 7518 3.4: raw r and s."""
    key = KEYS["ES256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    good = raw_client.jws(key, {"alg": "ES256"}, None)
    der = key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(ProblemError, match="r and s"):
        verify(
            parse_jws(good | {"signature": raw_client.b64(der)}),
            parse_jwk(raw_client.jwk_of(key)),
            ALL,
        )


@pytest.mark.parametrize(
    "change",
    [
        {"header": {}},
        {"signatures": []},
        {"payload": None},
        {"protected": raw_client.b64_json([])},
        {"protected": raw_client.b64_json({"alg": "ES256", "b64": False})},
        {"protected": raw_client.b64_json({"alg": "ES256", "crit": ["b64"]})},
        {"protected": raw_client.b64_json({"jwk": {}, "kid": "k"})},
    ],
)
def test_a_jws_of_another_shape_is_malformed(change: dict[str, object]) -> None:
    """Only the flattened form, without unprotected header, detached payload or b64."""
    good = raw_client.jws(KEYS["ES256"], {"alg": "ES256"}, None)
    with pytest.raises(ProblemError, match="malformed"):
        parse_jws(good | change)
