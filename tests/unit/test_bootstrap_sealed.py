"""Secrets in a bundle: opened by the host they are for, and shown to nobody."""

import base64
import json
import traceback
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from agent.bootstrap.errors import SecretError
from agent.bootstrap.made import Use
from agent.bootstrap.overlay import check_secret
from agent.bootstrap.sealed import host_key, recipient, unseal
from tests.oam import bundle as oam
from tests.vectors.bootstrap import MAC, host, private_pem, secret, spki, vector
from tests.vectors.trust import key

OURS = private_pem(host())
WHERE = "account.operator.eab.key"
HOSTS: dict[str, oam.Ephemeral] = {
    "X25519": host(),
    "P-256": ec.derive_private_key(99, ec.SECP256R1()),
}


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("wrap", [True, False], ids=["ECDH-ES+A256KW", "ECDH-ES"])
def test_a_secret_is_opened_by_its_host(name: str, wrap: bool) -> None:
    """Both curves, both ways; a sender need not name the key."""
    private = HOSTS[name]
    ours = host_key(private_pem(private))
    assert recipient(ours) == oam.key_id(private.public_key())
    for header in ({}, {"kid": ""}, {"cty": "text"}):
        sealed = oam.seal(MAC, private.public_key(), wrap=wrap, header=header)
        assert unseal(sealed, ours, WHERE) == MAC


def test_the_vector_is_opened() -> None:
    """What docs/bootstrap.md gives to vendors is opened by its host's key."""
    known = vector()
    ours = host_key(known["host_private_key"].encode())
    assert unseal(known["sealed_secret"], ours, WHERE) == known["secret"].encode()


def test_the_test_oam_derives_keys_as_the_rfc_does() -> None:
    """RFC 7518 appendix C: the only published figures of this derivation."""
    shared = bytes.fromhex(
        "9e56d91d817135d372834283bf84269cfb316ea3da806a48f6daa7798cfe90c4"
    )
    derived = oam.concat_kdf(shared, "A128GCM", bits=128, apu=b"Alice", apv=b"Bob")
    assert oam.b64(derived) == "VqqN6vgjbSBcIijNcacQGg"


def other(edit: Any) -> str:
    """Return a JWE whose header was edited before it was encrypted."""
    return oam.seal(MAC, host().public_key(), header=edit)


def spoiled(place: int) -> str:
    """Return a JWE with a part changed after it was made."""
    parts = secret(MAC).split(".")
    part = bytearray(base64.urlsafe_b64decode(parts[place] + "=="))
    part[0] ^= 1
    parts[place] = oam.b64(bytes(part))
    return ".".join(parts)


REFUSED: dict[str, str] = {
    "for another host": secret(MAC, 2),
    "for another host that is not named": oam.seal(
        MAC, host(2).public_key(), header={"kid": ""}
    ),
    "for a host of another curve": oam.seal(MAC, key(3).public_key()),
    "of another curve, unnamed": oam.seal(MAC, key(3).public_key(), header={"kid": ""}),
    "compressed": other({"zip": "DEF"}),
    "with a password": other({"alg": "PBES2-HS256+A128KW", "p2c": 10**9, "p2s": "x"}),
    "with a shared key": other({"alg": "dir"}),
    "by RSA": other({"alg": "RSA-OAEP"}),
    "by a narrower key wrap": other({"alg": "ECDH-ES+A128KW"}),
    "by another cipher": other({"enc": "A128CBC-HS256"}),
    "with an extension": other({"crit": ["exp"]}),
    "with an ephemeral key that is none": other({"epk": {"kty": "OKP"}}),
    "with an ephemeral key of order 1": other(
        {"epk": {"kty": "OKP", "crv": "X25519", "x": oam.b64(bytes(32))}}
    ),
    "with a point off the curve": oam.seal(
        MAC,
        HOSTS["P-256"].public_key(),
        header={
            "kid": "",
            "epk": {"kty": "EC", "crv": "P-256"} | dict.fromkeys("xy", oam.b64(b"\1")),
        },
    ),
    "with a header that was changed": "e30" + secret(MAC)[3:],
    "with another wrapped key": spoiled(1),
    "with another nonce": spoiled(2),
    "with another text": spoiled(3),
    "with another tag": spoiled(4),
    "empty": oam.seal(b"", host().public_key()),
    "endless": oam.seal(b"x" * 4097, host().public_key()),
    "of four parts": "a.b.c.d",
    "no header": "....",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_secret_that_is_not_for_us_is_refused(name: str) -> None:
    """Wrong recipient, changed, or of a form that is not documented."""
    for private in HOSTS.values():
        with pytest.raises(SecretError) as caught:
            unseal(REFUSED[name], host_key(private_pem(private)), WHERE)
        assert WHERE in str(caught.value)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        private_pem(ed25519.Ed25519PrivateKey.generate()),
        private_pem(rsa.generate_private_key(65537, 2048)),
        private_pem(ec.generate_private_key(ec.SECP384R1())),
    ],
)
def test_the_host_s_key_is_of_one_of_two_types(pem: bytes) -> None:
    """Anything else is refused before it is used."""
    with pytest.raises(SecretError, match=r"bootstrap\.decrypt"):
        host_key(pem)


@pytest.mark.parametrize(
    ("use", "good", "bad"),
    [
        (Use.MAC, MAC, [b"", b"=", b"\xff\xfe", b"a b!"]),
        (Use.BEARER, b"a.b-c~", [b"two words", b"line\n", b"\xc3\xa4", b"\0"]),
        (Use.KEY, OURS, [b"x", OURS[:-40], private_pem(host(2))]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_opened_secret_must_be_what_it_is_for(
    use: Use, good: bytes, bad: list[bytes]
) -> None:
    """A mistake of the sender is found at the import, not at the first use."""
    public = spki(host())
    check_secret(good, use, WHERE, public)
    for each in bad:
        with pytest.raises(SecretError, match="is encrypted well"):
            check_secret(each, use, WHERE, public)


@pytest.mark.parametrize("use", Use)
def test_no_secret_reaches_an_error(use: Use) -> None:
    """Neither its words nor its traceback quote what was opened, or the host's key."""
    text = b"very secret \xff text"
    with pytest.raises(SecretError) as caught:
        check_secret(text, use, WHERE)
    shown = "".join(traceback.format_exception(caught.value))
    assert "very secret" not in shown
    with pytest.raises(SecretError) as caught:
        unseal(spoiled(3), host_key(private_pem(host())), WHERE)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert MAC.decode() not in shown
    assert "PRIVATE KEY" not in shown


@given(st.text(alphabet="ab.-_=é{", max_size=60))
def test_any_text_is_refused_cleanly(text: str) -> None:
    """What is no JWE gets a sentence."""
    with pytest.raises(SecretError):
        unseal(text, host_key(private_pem(host())), WHERE)


members = st.sampled_from(["alg", "enc", "epk", "kid", "zip", "p2c", "apu"])
values = st.none() | st.integers() | st.text(max_size=10) | st.just({"kty": "EC"})


@given(st.dictionaries(members, values))
def test_any_header_is_refused_cleanly(header: dict[str, object]) -> None:
    """Whatever a header says, what does not decrypt gets a sentence."""
    start = oam.b64(json.dumps(header).encode())
    _, *rest = secret(MAC).split(".")
    with pytest.raises(SecretError):
        unseal(".".join([start, *rest]), host_key(private_pem(host())), WHERE)
