"""Signed lists: who may sign them, what they may say, and what is never taken."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.pki.jws import key_id
from agent.trust.errors import (
    BoundsError,
    EntryError,
    ExpiredError,
    FormatError,
    SignatureError,
    TrustError,
)
from agent.trust.roots import MAX_ROOTS, Document
from agent.trust.signed import Expected, read_signed
from tests.vectors.trust import (
    DAY,
    NOW,
    b64,
    entry,
    jws,
    payload,
    public,
    root,
    signed,
    succession,
)

NAME = "operator-roots"
SIGNER = 500


def read(data: bytes, now: datetime = NOW, signer: int = SIGNER) -> Document:
    """Read a list whose signer is pinned, or was learnt from the pinned one."""
    return read_signed(data, Expected(NAME, public(SIGNER), public(signer)), now)


def test_a_list_says_what_is_trusted_and_what_is_not() -> None:
    """Distrust is by certificate, or by key with all of its certificates."""
    gone, key = "a" * 64, read_key(2)
    entries = [
        entry(root(1)),
        entry(root(2)),
        {"sha256": gone, "distrust": True, "reason": "compromised"},
        {"key_sha256": key, "distrust": True},
    ]
    said = payload(entries, sequence=7)
    found = read(signed(said))
    assert [r.fingerprint for r in found.trusted] == [root(1).fingerprint]
    assert len(found.roots) == 2
    assert found.distrusted == frozenset({gone})
    assert found.distrusted_keys == frozenset({key})
    assert (found.sequence, found.expires) == (7, NOW + 30 * DAY)
    assert found.signer == found.pin == public(SIGNER)
    assert found.digest == hashlib.sha256(said).hexdigest()


def read_key(number: int) -> str:
    """Return what `key_sha256` is for a key."""
    return hashlib.sha256(public(number)).hexdigest()


def test_a_successor_signs_once_it_was_named() -> None:
    """A chain of statements leads a host that slept through two successions."""
    chain = [succession(500, 501), succession(501, 502)]
    said = payload([entry(root(1))])
    assert read(signed(said, 502, *chain)).signer == public(502)
    assert read(signed(said, 502, *chain), signer=501).signer == public(502)
    assert read(signed(said, 502, *chain), signer=502).signer == public(502)


@pytest.mark.parametrize(
    ("by", "chain", "knows"),
    [
        (501, [], 500),
        (500, [succession(500, 501)], 500),
        (500, [], 501),
        (502, [succession(501, 502)], 500),
        (501, [succession(502, 501)], 500),
        (502, [succession(501, 502), succession(500, 501)], 500),
    ],
    ids=[
        "a stranger",
        "a signer that named a successor",
        "the pinned one after a succession",
        "a gap in the chain",
        "a stranger that names itself",
        "a chain in disorder",
    ],
)
def test_nobody_else_signs(by: int, chain: list[str], knows: int) -> None:
    """A key that has named its successor signs no more."""
    with pytest.raises(SignatureError):
        read(signed(payload([entry(root(1))]), by, *chain), signer=knows)


def test_a_succession_is_of_one_list() -> None:
    """The same signer may sign other lists, with successors of their own."""
    chain = succession(500, 501, name="visited-roots")
    with pytest.raises(FormatError, match="another list"):
        read(signed(payload([entry(root(1))]), 501, chain))


def test_neither_form_passes_for_the_other() -> None:
    """The type stands in what is signed."""
    said = payload([entry(root(1))])
    swapped = jws(said, SIGNER, "nfcertd-trust-succession")
    with pytest.raises(FormatError, match="typ"):
        read(json.dumps({"list": swapped}).encode())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-4] + "AAAA",
        lambda text: text + "A",
        lambda text: text.replace(".", ".e", 1),
        lambda text: text.rsplit(".", 1)[0] + ".",
    ],
    ids=["other octets", "longer", "other payload", "none"],
)
def test_a_spoilt_signature_is_refused(spoil: Callable[[str], str]) -> None:
    """Every octet of header, payload and signature counts."""
    compact = spoil(jws(payload([entry(root(1))]), SIGNER, "nfcertd-trust-list"))
    with pytest.raises((SignatureError, FormatError)):
        read(json.dumps({"list": compact}).encode())


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "RS256", "EdDSA"])
def test_the_key_names_the_algorithm(alg: str) -> None:
    """The header cannot choose another one, nor none at all."""
    compact = jws(payload([entry(root(1))]), SIGNER, "nfcertd-trust-list", alg=alg)
    with pytest.raises(SignatureError):
        read(json.dumps({"list": compact}).encode())


def _rs256(key: Any, data: bytes) -> bytes:
    return bytes(key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def _ps256(key: Any, data: bytes) -> bytes:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return bytes(key.sign(data, pss, hashes.SHA256()))


def _es384(key: Any, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48) + s.to_bytes(48)


@pytest.mark.parametrize(
    ("alg", "make", "sign"),
    [
        ("RS256", lambda: rsa.generate_private_key(65537, 2048), _rs256),
        ("PS256", lambda: rsa.generate_private_key(65537, 2048), _ps256),
        ("ES384", lambda: ec.generate_private_key(ec.SECP384R1()), _es384),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate, lambda key, data: key.sign(data)),
    ],
)
def test_every_documented_algorithm_signs(
    alg: str, make: Callable[[], Any], sign: Callable[[Any, bytes], bytes]
) -> None:
    """RFC 7518 section 3 and RFC 8037."""
    key = make()
    spki = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    header = {"alg": alg, "typ": "nfcertd-trust-list", "kid": key_id(spki)}
    text = f"{b64(json.dumps(header).encode())}.{b64(payload([entry(root(1))]))}"
    data = json.dumps({"list": f"{text}.{b64(sign(key, text.encode()))}"}).encode()
    assert read_signed(data, Expected(NAME, spki, spki), NOW).signer == spki


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (payload([entry(root(1))], name="other"), FormatError),
        (payload([entry(root(1))], version=2), FormatError),
        (payload([entry(root(1))], sequence=0), FormatError),
        (payload([entry(root(1))], expires=NOW), ExpiredError),
        (payload([entry(root(1))], issued_at=NOW + DAY), ExpiredError),
        (payload([entry(root(3, ca=False))]), EntryError),
        (payload([{"sha256": "a" * 64}]), FormatError),
        (payload([{"distrust": True}]), FormatError),
        (payload([{"sha256": "A" * 64, "distrust": True}]), FormatError),
        (payload([{**entry(root(1)), "distrust": True}]), FormatError),
        (payload([entry(root(1))] * (MAX_ROOTS + 1)), BoundsError),
        (payload([entry(root(1))]).replace(b"+00:00", b""), FormatError),
        (b"{}", FormatError),
        (b"[" * 100_000, FormatError),
    ],
)
def test_a_well_signed_list_may_still_be_refused(
    said: bytes, error: type[TrustError]
) -> None:
    """What it says is checked as if a stranger had said it."""
    with pytest.raises(error):
        read(signed(said))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"list": 1}',
        b'{"list": "a.b"}',
        b'{"list": "a.b.c.d"}',
        b'{"list": "\xc3\xa9.b.c"}',
        json.dumps({"list": f"{b64(b'{}')}.e30.e30"}).encode(),
        json.dumps({"successions": ["x"] * 101, "list": "a.b.c"}).encode(),
        json.dumps({"list": f"{base64.b64encode(b'{}??>').decode()}.e.e"}).encode(),
    ],
)
def test_what_is_no_signed_list_is_refused(data: bytes) -> None:
    """One error, whatever it is."""
    with pytest.raises(FormatError):
        read(data)


def test_an_extension_that_must_be_understood_is_not() -> None:
    """RFC 7515 section 4.1.11."""
    said = payload([entry(root(1))])
    compact = jws(said, SIGNER, "nfcertd-trust-list", crit=["exp"])
    with pytest.raises(FormatError, match="critical"):
        read(json.dumps({"list": compact}).encode())
