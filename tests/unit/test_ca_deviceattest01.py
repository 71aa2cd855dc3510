"""The test CA judges attestations: each thing that it looks at refuses one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from agent.acme import cbor
from tests.ca import Authorizations, Config, TestCA
from tests.ca.harness import key_authorization, running, settled
from tests.ca.raw_client import Members, RawClient, Reply, b64, csr_for, new_key
from tests.parts.maker import Maker

SERIAL = 4711
DEVICE = {"type": "permanent-identifier", "value": f"{SERIAL}/1.2.3.4"}
MAKER, STRANGER = Maker(SERIAL), Maker(SERIAL)
TYPES = frozenset({"dns", "permanent-identifier", "hardware-module"})


class Place(NamedTuple):
    """A CA with an order for a device, and the challenge of it."""

    ca: TestCA
    client: RawClient
    order: Members
    challenge: Members


@asynccontextmanager
async def ordered(device: Members | None = None) -> AsyncIterator[Place]:
    """Order a device."""
    config = Config(device_makers=(MAKER.root,), identifier_types=TYPES)
    async with running(config) as (ca, client):
        await client.register()
        order = (await ask(client, device or DEVICE)).json
        authz = (await client.post(order["authorizations"][0])).json
        [challenge] = authz["challenges"]
        yield Place(ca, client, order, challenge)


async def ask(client: RawClient, *identifiers: Members) -> Reply:
    """Order identifiers."""
    return await client.post(
        client.directory["newOrder"], {"identifiers": list(identifiers)}
    )


def der(*certificates: x509.Certificate) -> list[cbor.Value]:
    """Return certificates as a statement has them."""
    return [each.public_bytes(Encoding.DER) for each in certificates]


def statement(key: ec.EllipticCurvePrivateKey, data: bytes) -> dict[str, cbor.Value]:
    """Return a good statement."""
    signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
    chain = der(MAKER.attest(key.public_key()), MAKER.issuer)
    return {"alg": -7, "sig": cbor.encode(signature), "x5c": chain}


async def answer(place: Place, found: cbor.Value) -> Members:
    """Post an object, and return the challenge once it is judged."""
    await place.client.post(
        place.challenge["url"], {"attObj": b64(cbor.encode(found)), "more": "ignored"}
    )
    return await settled(place.client, place.challenge["url"])


def named(*names: x509.GeneralName, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        alternative = x509.SubjectAlternativeName(names)
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


PERMANENT = x509.OtherName(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.8.3"),
    bytes.fromhex("300b0c04") + b"4711" + bytes.fromhex("06032a0304"),
)


@pytest.mark.parametrize("names", [(), (PERMANENT,)], ids=["silent", "named"])
async def test_the_attested_key_and_no_other_is_certified(
    names: tuple[x509.GeneralName, ...],
) -> None:
    """The request may leave the device out; the certificate follows the request."""
    key = new_key()
    async with ordered() as place:
        data = key_authorization(place.client, place.challenge).encode()
        found: cbor.Value = {"fmt": "step", "attStmt": statement(key, data)}
        done = await answer(place, found)
        bad = await place.client.finalize(place.order, named(*names, key=new_key()))
        good = await place.client.finalize(place.order, named(*names, key=key))
        leaf = place.ca.certificates[0].leaf
    assert place.challenge["type"] == "device-attest-01"
    assert done["status"] == "valid"
    assert (bad.status, bad.problem) == (400, "badCSR")
    assert good.json["status"] == "valid"
    shown = [e.value for e in leaf.extensions]
    sans = [list(v) for v in shown if isinstance(v, x509.SubjectAlternativeName)]
    assert sans == ([list(names)] if names else [])


Forge = Callable[[ec.EllipticCurvePrivateKey, bytes], cbor.Value]


def but(**changes: cbor.Value) -> Forge:
    """Return an object whose statement has some members changed."""
    return lambda key, data: {
        "fmt": "step",
        "attStmt": statement(key, data) | changes,
    }


def chained(make: Callable[[Any], list[cbor.Value]]) -> Forge:
    """Return an object with another chain for the key."""
    return lambda key, data: {
        "fmt": "step",
        "attStmt": statement(key, data) | {"x5c": make(key.public_key())},
    }


FORGED: dict[str, tuple[Forge, str]] = {
    "no map": (lambda _, __: [1], "no map"),
    "no statement": (lambda _, __: {"fmt": "step"}, "no map"),
    "another format": (
        lambda _, __: {"fmt": "apple", "attStmt": {}},
        "neither step nor tpm",
    ),
    "no chain": (but(x5c=[]), "no x5c"),
    "an unknown maker": (
        chained(lambda k: der(STRANGER.attest(k), STRANGER.issuer)),
        "believes",
    ),
    "no issuer": (chained(lambda k: der(MAKER.attest(k))), "believes"),
    "another issuer": (
        chained(lambda k: der(STRANGER.attest(k), MAKER.issuer)),
        "not in order",
    ),
    "an issuer that is none": (
        chained(lambda k: der(MAKER.attest(k), MAKER.attest(k))),
        "no ca",
    ),
    "an attestation that has ended": (
        chained(lambda k: der(MAKER.attest(k, ended=True), MAKER.issuer)),
        "not valid now",
    ),
    "another device": (
        chained(lambda k: der(MAKER.attest(k, serial=4712), MAKER.issuer)),
        "another device",
    ),
    "a certificate without a device": (
        chained(lambda _: der(MAKER.issuer)),
        "no serial number",
    ),
    "a signature that is not wrapped": (but(sig=b"\x44abcde"), "more than one"),
    "no signature": (but(sig="text"), "byte string"),
    "another algorithm": (but(alg=-257), "alg"),
    "another key's signature": (
        lambda key, data: {
            "fmt": "step",
            "attStmt": statement(key, data)
            | {"sig": statement(new_key(), data)["sig"]},
        },
        "not signed",
    ),
    "another challenge's signature": (
        lambda key, data: {"fmt": "step", "attStmt": statement(key, data + b"x")},
        "not signed",
    ),
}


@pytest.mark.parametrize(("forge", "words"), FORGED.values(), ids=FORGED)
async def test_a_statement_that_proves_nothing_is_refused(
    forge: Forge, words: str
) -> None:
    """With the error of the draft, and why."""
    async with ordered() as place:
        data = key_authorization(place.client, place.challenge).encode()
        done = await answer(place, forge(new_key(), data))
    assert done["status"] == "invalid"
    assert done["error"]["type"].endswith(":badAttestationStatement")
    assert words in done["error"]["detail"]


async def test_an_ed25519_key_can_be_attested() -> None:
    """The format knows it, whatever the CA certifies."""
    key = ed25519.Ed25519PrivateKey.generate()
    async with ordered() as place:
        data = key_authorization(place.client, place.challenge).encode()
        found: dict[str, cbor.Value] = {
            "alg": -8,
            "sig": cbor.encode(key.sign(data)),
            "x5c": der(MAKER.attest(key.public_key()), MAKER.issuer),
        }
        done = await answer(place, {"fmt": "step", "attStmt": found})
    assert done["status"] == "valid"


async def test_what_is_no_object_is_malformed_before_anything_is_judged() -> None:
    """The challenge stays pending."""
    async with ordered() as place:
        for payload in ({}, {"attObj": 1}, {"attObj": "a="}):
            reply = await place.client.post(place.challenge["url"], payload)
            assert (reply.status, reply.problem) == (400, "malformed")
        shown = (await place.client.post(place.challenge["url"])).json
    assert shown["status"] == "pending"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("hardware-module", "4711"),
        ("hardware-module", "/1.2"),
        ("permanent-identifier", "4711/"),
        ("permanent-identifier", "4711/x"),
    ],
)
async def test_a_value_that_cannot_be_is_malformed(kind: str, value: str) -> None:
    """The draft's sections 3.1 and 4.1."""
    config = Config(device_makers=(MAKER.root,), identifier_types=TYPES)
    async with running(config) as (_, client):
        await client.register()
        reply = await ask(client, {"type": kind, "value": value})
    assert (reply.status, reply.problem) == (400, "malformed")


async def test_names_are_proven_beside_a_device_as_ever() -> None:
    """The device has its challenge, the name has others; neither is offered both."""
    config = Config(
        device_makers=(MAKER.root,), identifier_types=TYPES, reuse_authorizations=True
    )
    async with running(config) as (_, client):
        await client.register()
        order = (await ask(client, DEVICE, {"type": "dns", "value": "a.example"})).json
        offered = [
            {c["type"] for c in (await client.post(url)).json["challenges"]}
            for url in order["authorizations"]
        ]
    assert offered == [{"device-attest-01"}, {"http-01"}]


async def test_a_ca_that_knows_no_maker_offers_no_challenge() -> None:
    """And an order that nothing is proven for certifies any key."""
    config = Config(identifier_types=TYPES, authorizations=Authorizations.BORN_VALID)
    async with running(config) as (ca, client):
        await client.register()
        names = [DEVICE, {"type": "dns", "value": "a.example"}]
        order = (await ask(client, *names)).json
        done = await client.finalize(order, csr_for(new_key(), "a.example"))
        assert len(ca.certificates) == 1
    assert done.json["status"] == "valid"
