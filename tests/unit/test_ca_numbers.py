"""Telephone numbers at the test CA: ordered, attested and certified (RFC 9448)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.ca import Authorizations, Config, TestCA
from tests.ca.harness import running, settled
from tests.ca.raw_client import RawClient, Reply, b64, csr_for, new_key
from tests.oam import Oam, Script
from tests.unit.test_ca_tkauth01 import fingerprint

OID = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
DER = bytes.fromhex("3008a006160431323334")
LISTED = {"type": "TNAuthList", "value": "MAigBhYEMTIzNA"}
READY = Config(
    authorizations=Authorizations.NONE,
    identifier_types=frozenset({"dns", "TNAuthList"}),
    signer_url="https://ca.example/signer.pem",
)


def csr(der: bytes | None) -> bytes:
    """Return a request for a list, or for nothing."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if der is not None:
        extension = x509.UnrecognizedExtension(OID, der)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.DER)


@asynccontextmanager
async def ordering(config: Config = READY) -> AsyncIterator[tuple[TestCA, RawClient]]:
    """Run a CA with an account."""
    async with running(config) as (ca, client):
        await client.register()
        yield ca, client


async def ask(client: RawClient, *values: str) -> Reply:
    """Order lists."""
    identifiers = [{"type": "TNAuthList", "value": value} for value in values]
    return await client.post(client.directory["newOrder"], {"identifiers": identifiers})


async def test_a_list_is_certified_as_it_was_ordered() -> None:
    """In its extension and in no name; the order then says who signed."""
    async with ordering() as (ca, client):
        order = (await ask(client, LISTED["value"])).json
        done = (await client.finalize(order, csr(DER))).json
        leaf = ca.certificates[0].leaf
    assert order["identifiers"] == [LISTED]
    assert "x5u" not in order
    assert done["x5u"] == READY.signer_url
    extension = leaf.extensions.get_extension_for_oid(OID)
    assert extension.value.public_bytes() == DER
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "der", [None, bytes.fromhex("3008a006160431323335")], ids=["nothing", "another"]
)
async def test_a_request_for_something_else_is_refused(der: bytes | None) -> None:
    """RFC 8555 7.4: the exact identifiers of the order."""
    async with ordering() as (_, client):
        order = (await ask(client, LISTED["value"])).json
        bad = await client.finalize(order, csr(der))
        named = (await client.order("a.example")).json
        worse = await client.finalize(named, csr(DER))
        usual = await client.finalize(named, csr_for(new_key(), "a.example"))
    assert (bad.status, bad.problem) == (400, "badCSR")
    assert (worse.status, worse.problem) == (400, "badCSR")
    assert usual.status == 200


BAD = {
    "no base64url": "MAig=",
    "nothing": "",
    "an empty list": "3000",
    "more than a list": "3008a0061604313233340500",
    "too short": "3009a006160431323334",
    "implicit tags": "3006800431323334",
    "an unknown entry": "3008a306160431323334",
    "a code that is no ia5": "3008a0060c0431323334",
    "letters in a number": "3007a2051603616263",
    "too long a number": "3014a2121610" + "31" * 16,
    "a range of one": "300aa1083006160131020101",
    "an entry with more": "300aa0081604313233340500",
    "a length that is too long": "308108a006160431323334",
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
async def test_what_is_no_list_is_malformed(value: str) -> None:
    """And no order comes of it."""
    digits = set(value) <= set("0123456789abcdef") and value
    async with ordering() as (ca, client):
        reply = await ask(client, b64(bytes.fromhex(value)) if digits else value)
        assert not ca.orders
    assert (reply.status, reply.problem) == (400, "malformed")


async def test_there_is_one_list_in_a_certificate() -> None:
    """Two of them could not both be its extension."""
    async with ordering() as (_, client):
        reply = await ask(
            client, LISTED["value"], b64(bytes.fromhex("3008a006160431323335"))
        )
    assert (reply.status, reply.problem) == (400, "malformed")


@pytest.mark.parametrize("value", [LISTED["value"], "MAigBhYEMTIzNQ"])
async def test_the_authority_attests_the_very_list(tmp_path: Path, value: str) -> None:
    """A token for another list proves nothing, though it is signed well."""
    script = Script(
        accounts={"nf-1": {("TNAuthList", value)}}, bearer={"nf-1": "credential"}
    )
    async with Oam(tmp_path, script) as oam:
        config = Config(
            token_authorities=(oam.token_root,), identifier_types=READY.identifier_types
        )
        async with ordering(config) as (_, client):
            order = (await ask(client, LISTED["value"])).json
            [challenge] = (await client.post(order["authorizations"][0])).json[
                "challenges"
            ]
            asked = {
                "tktype": "TNAuthList",
                "tkvalue": value,
                "ca": False,
                "fingerprint": fingerprint(client.key),  # type: ignore[arg-type]  # EC
            }
            headers = {"Authorization": "Bearer credential"}
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    oam.url("nf-1"), json=asked, headers=headers, ssl=False
                ) as answer,
            ):
                token = (await answer.json())["token"]
            await client.post(challenge["url"], {"tkauth": token})
            done = await settled(client, challenge["url"])
    assert challenge["type"] == "tkauth-01"
    assert (done["status"] == "valid") is (value == LISTED["value"])


async def test_a_ca_may_leave_the_list_out() -> None:
    """By a switch: some would."""
    config = Config(
        authorizations=Authorizations.NONE,
        identifier_types=READY.identifier_types,
        certifies_numbers=False,
    )
    async with ordering(config) as (ca, client):
        order = (await ask(client, LISTED["value"])).json
        await client.finalize(order, csr(DER))
        leaf = ca.certificates[0].leaf
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_oid(OID)
