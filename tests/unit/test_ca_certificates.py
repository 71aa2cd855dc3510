"""Finalizing, chains and revocation at the test CA (RFC 8555 7.4, 7.6)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.ca import Authorizations, Config, ExtraNames, Profile, TestCA
from tests.ca.harness import Hands, running
from tests.ca.raw_client import (
    Members,
    PrivateKey,
    RawClient,
    b64,
    csr_for,
    jwk_of,
    jws,
    new_key,
)

READY = Config(authorizations=Authorizations.BORN_VALID)
NAME = "a.example"
URN = x509.UniformResourceIdentifier("urn:uuid:4ace9d34-2c69-4f99-92d5-a73a3fe8e23b")
NF_TYPES = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.34")


@asynccontextmanager
async def ordering(
    config: Config = READY,
) -> AsyncIterator[tuple[TestCA, RawClient, Members]]:
    """Run a CA with an account and a ready order for one name."""
    async with running(config) as (ca, client):
        await client.register()
        yield ca, client, (await client.order(NAME)).json


async def issue(client: RawClient, order: Members, key: PrivateKey) -> Members:
    """Finalize an order, and return it."""
    done: Members = (await client.finalize(order, csr_for(key, NAME))).json
    return done


def request(
    *names: x509.GeneralName,
    key: PrivateKey | None = None,
    common: str = "",
    more: tuple[x509.ExtensionType, ...] = (),
) -> bytes:
    """Return a DER request with any names."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        alternative = x509.SubjectAlternativeName(names)
        builder = builder.add_extension(alternative, critical=True)
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(key or new_key(), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def broken(der: bytes) -> bytes:
    """Return a request with a wrong signature."""
    good = x509.load_der_x509_csr(der)
    start = der.index(good.signature)
    other = x509.load_der_x509_csr(csr_for(new_key(), "other.example")).signature
    # The same length keeps the DER well formed.
    same = other[: len(good.signature)].ljust(len(good.signature), b"\0")
    return der[:start] + good.signature[:8] + same[8:]


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
DNS = x509.DNSName(NAME)
CSRS: list[tuple[str, bytes]] = [
    ("no DER", b"no DER"),
    ("wrong signature", broken(csr_for(new_key(), NAME))),
    ("no names", request()),
    ("another name", csr_for(new_key(), "b.example")),
    ("one name more", csr_for(new_key(), NAME, "b.example")),
    ("another common name", request(DNS, common="b.example")),
    ("an address more", request(DNS, x509.IPAddress(ip_address("192.0.2.1")))),
    ("a URI more", request(DNS, URN)),
    ("a short RSA key", csr_for(WEAK, NAME)),
    ("an unknown curve", csr_for(ec.generate_private_key(ec.SECP521R1()), NAME)),
]


@pytest.mark.parametrize("csr", [row[1] for row in CSRS], ids=[row[0] for row in CSRS])
async def test_a_wrong_csr_is_refused_and_the_order_stays_ready(csr: bytes) -> None:
    """RFC 8555 7.4: badCSR does not end the order."""
    async with ordering() as (ca, client, order):
        bad = await client.finalize(order, csr)
        good = await client.finalize(order, csr_for(new_key(), NAME))
    assert (bad.status, bad.problem) == (400, "badCSR")
    assert good.json["status"] == "valid"
    assert len(ca.certificates) == 1


async def test_no_account_key_is_ever_certified() -> None:
    """RFC 8555 11.1: neither one's own nor that of another account."""
    async with (
        ordering() as (ca, client, order),
        RawClient(ca.directory_url, ca.transport_root_pem) as other,
    ):
        await other.register()
        for key in (client.key, other.key):
            reply = await client.finalize(order, csr_for(key, NAME))
            assert reply.problem == "badCSR"


@pytest.mark.parametrize("csr", ["", "====", 7, None])
async def test_a_csr_that_is_not_base64url_is_refused(csr: object) -> None:
    """Malformed or badCSR, and the order stays ready."""
    async with ordering() as (_, client, order):
        reply = await client.post(order["finalize"], {"csr": csr})
    assert reply.problem in {"malformed", "badCSR"}


@pytest.mark.parametrize(
    "key",
    [
        new_key(),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "P-384", "RSA", "Ed25519"],
)
async def test_a_certificate_is_for_the_key_and_builds_a_chain(key: PrivateKey) -> None:
    """An independent verifier accepts it below the root of the CA."""
    async with ordering() as (ca, client, order):
        done = await issue(client, order, key)
        chain = await client.post(done["certificate"])
        leaf, *above = x509.load_pem_x509_certificates(chain.body)
    assert leaf.public_key() == key.public_key()
    root = x509.load_pem_x509_certificate(ca.issuing_root_pem)
    store = verification.Store([root])
    verifier = verification.PolicyBuilder().store(store).build_server_verifier(DNS)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        assert len(verifier.verify(leaf, above)) == 3
    leaf.verify_directly_issued_by(above[0])
    above[0].verify_directly_issued_by(root)
    assert ca.certificates[0].serial == leaf.serial_number


async def test_the_profile_shapes_the_certificate() -> None:
    """Life, start, subject, names, copied extensions, usages and the CRL."""
    now = Hands()
    profile = Profile(
        lifetime=timedelta(hours=2),
        backdate=timedelta(minutes=5),
        extra_names=ExtraNames.KEEP,
        critical_names=True,
        copy_subject=True,
        copied_extensions=frozenset({NF_TYPES.dotted_string}),
        usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
        crl_url="http://ca.example/crl",
    )
    types = x509.UnrecognizedExtension(NF_TYPES, bytes.fromhex("30051603414d46"))
    csr = request(DNS, URN, common=NAME, more=(types,))
    async with ordering(replace(READY, now=now, profile=profile)) as (
        ca,
        client,
        order,
    ):
        await client.finalize(order, csr)
    leaf = ca.certificates[0].leaf
    assert leaf.not_valid_before_utc == now() - timedelta(minutes=5)
    assert leaf.not_valid_after_utc == now() + timedelta(hours=2)
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (found.critical, list(found.value)) == (True, [DNS, URN])
    assert leaf.extensions.get_extension_for_oid(NF_TYPES).value == types
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name == [
        x509.UniformResourceIdentifier("http://ca.example/crl")
    ]


async def test_names_that_no_order_proves_can_be_dropped() -> None:
    """As some packaged CAs do without a word."""
    profile = Profile(extra_names=ExtraNames.DROP)
    async with ordering(replace(READY, profile=profile)) as (ca, client, order):
        await client.finalize(order, request(DNS, URN))
    leaf = ca.certificates[0].leaf
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(found.value) == [DNS]


async def test_a_common_name_alone_names_the_order() -> None:
    """RFC 8555 7.4: subject or alternative names; the certificate has both."""
    profile = Profile(extra_names=ExtraNames.KEEP)
    async with ordering(replace(READY, profile=profile)) as (ca, client, order):
        await client.finalize(order, request(common=NAME))
    leaf = ca.certificates[0].leaf
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(found.value) == [DNS]


async def test_alternate_chains_are_linked_and_end_in_other_roots() -> None:
    """RFC 8555 7.4.2: the same leaf below another root."""
    config = replace(READY, alternate_chains=2, include_root=True)
    async with ordering(config) as (ca, client, order):
        done = await issue(client, order, new_key())
        default = await client.post(done["certificate"])
        links = default.headers.getall("Link")
        urls = [link[1:].partition(">")[0] for link in links if "alternate" in link]
        others = [await client.post(url) for url in urls]
        missing = await client.post(done["certificate"] + "/3")
    assert len(urls) == 2
    assert missing.status == 404
    chains = [x509.load_pem_x509_certificates(r.body) for r in (default, *others)]
    assert len({chain[0] for chain in chains}) == 1
    roots = [chain[-1].public_bytes(Encoding.PEM) for chain in chains]
    assert roots == [ca.issuing_root_pem, *ca.alternate_root_pems]
    for leaf, issuer, root in chains:
        leaf.verify_directly_issued_by(issuer)
        issuer.verify_directly_issued_by(root)


async def test_a_certificate_is_revoked_by_its_account_once() -> None:
    """RFC 8555 7.6: 200 without a body, then alreadyRevoked."""
    async with ordering() as (ca, client, order):
        await issue(client, order, new_key())
        issued, url = ca.certificates[0], client.directory["revokeCert"]
        payload = {"certificate": b64(issued.der), "reason": 4}
        first, second = [await client.post(url, payload) for _ in range(2)]
    assert (first.status, first.body) == (200, b"")
    assert (second.status, second.problem) == (400, "alreadyRevoked")
    assert ca.revoked[issued.serial].reason == 4


async def test_a_certificate_is_revoked_by_its_own_key() -> None:
    """RFC 8555 7.6: with jwk, when the account is lost; no other key will do."""
    key = new_key()
    async with ordering() as (ca, client, order):
        await issue(client, order, key)
        url = client.directory["revokeCert"]
        payload = {"certificate": b64(ca.certificates[0].der)}
        client.kid = ""
        replies = []
        for signer in (new_key(), key):
            header = {"alg": "ES256", "jwk": jwk_of(signer), "url": url}
            header["nonce"] = await client.nonce()
            replies.append(await client.send(url, jws(signer, header, payload)))
    assert (replies[0].status, replies[0].problem) == (403, "unauthorized")
    assert replies[1].status == 200
    assert len(ca.revoked) == 1


@pytest.mark.parametrize(("holds", "status"), [(False, 403), (True, 200)])
async def test_another_account_revokes_only_when_it_holds_all_names(
    holds: bool, status: int
) -> None:
    """RFC 8555 7.6: an account with valid authorizations for all of them."""
    async with ordering() as (ca, client, order):
        await issue(client, order, new_key())
        payload = {"certificate": b64(ca.certificates[0].der)}
        async with RawClient(ca.directory_url, ca.transport_root_pem) as other:
            await other.register()
            await other.order(NAME if holds else "b.example")
            reply = await other.post(other.directory["revokeCert"], payload)
    assert reply.status == status


BAD: list[tuple[dict[str, Any], str]] = [
    ({"reason": 8}, "badRevocationReason"),
    ({"reason": 7}, "badRevocationReason"),
    ({"reason": "1"}, "malformed"),
    ({"reason": True}, "malformed"),
    ({"certificate": "AAAA"}, "malformed"),
    ({"certificate": "A==="}, "malformed"),
    ({"certificate": None}, "malformed"),
]


@pytest.mark.parametrize(("change", "kind"), BAD)
async def test_a_wrong_revocation_is_refused(change: dict[str, Any], kind: str) -> None:
    """And nothing is revoked."""
    async with ordering() as (ca, client, order):
        await issue(client, order, new_key())
        payload = {"certificate": b64(ca.certificates[0].der), **change}
        reply = await client.post(client.directory["revokeCert"], payload)
        assert (reply.status, reply.problem) == (400, kind)
        assert not ca.revoked
