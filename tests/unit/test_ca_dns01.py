"""dns-01 of the test CA: offered with a server only, wildcards with it only."""

import base64
import hashlib
from collections.abc import AsyncIterator

import dns.rcode
import pytest

from tests.ca import Config
from tests.ca.harness import key_authorization, running, settled
from tests.ca.raw_client import Members, RawClient, csr_for, new_key
from tests.fakes.dns import FakeDns, serving

RECORD = "_acme-challenge.a.example"


@pytest.fixture
async def server() -> AsyncIterator[FakeDns]:
    """Serve nothing yet."""
    async with serving(FakeDns()) as fake:
        yield fake


def config(server: FakeDns) -> Config:
    """Return a CA that asks the server."""
    return Config(dns=(server.host, server.port))


def digest(client: RawClient, challenge: Members) -> str:
    """Return what the record must hold."""
    raw = hashlib.sha256(key_authorization(client, challenge).encode()).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_base_and_wildcard_have_one_name_and_two_values(server: FakeDns) -> None:
    """Both authorizations name the base; one says that it is for the wildcard."""
    names = ("a.example", "*.a.example")
    values = server.records.setdefault((RECORD, "TXT"), [])
    async with running(config(server)) as (_, client):
        await client.register()
        order = await client.order(*names)
        seen = []
        for url in order.json["authorizations"]:
            authz = (await client.post(url)).json
            kinds = [c["type"] for c in authz["challenges"]]
            seen.append((authz["identifier"], authz.get("wildcard"), kinds))
            challenge = authz["challenges"][-1]
            values.append(digest(client, challenge))
            await client.post(challenge["url"], {})
            assert (await settled(client, url))["status"] == "valid"
        done = await client.finalize(order.json, csr_for(new_key(), *names))
    base = {"type": "dns", "value": "a.example"}
    assert seen == [(base, None, ["http-01", "dns-01"]), (base, True, ["dns-01"])]
    assert done.json["status"] == "valid"


@pytest.mark.parametrize(
    ("values", "rcode", "problem"),
    [
        ([], dns.rcode.NOERROR, "dns"),
        ([], dns.rcode.NXDOMAIN, "dns"),
        (["wrong"], dns.rcode.NOERROR, "incorrectResponse"),
    ],
)
async def test_a_record_without_the_value_proves_nothing(
    server: FakeDns, values: list[str], rcode: dns.rcode.Rcode, problem: str
) -> None:
    """What is wrong is said."""
    server.records[RECORD, "TXT"] = values
    server.rcode = rcode
    async with running(config(server)) as (_, client):
        await client.register()
        url = (await client.order("*.a.example")).json["authorizations"][0]
        challenge = (await client.post(url)).json["challenges"][0]
        refused = await client.post(challenge["url"], {"x": 1})
        await client.post(challenge["url"], {})
        authz = await settled(client, url)
    assert refused.problem == "malformed"
    assert authz["status"] == "invalid"
    assert authz["challenges"][0]["error"]["type"].endswith(f":{problem}")


async def test_an_alias_is_followed(server: FakeDns) -> None:
    """The value may stand in another zone."""
    server.records[RECORD, "CNAME"] = ["x.acme.test."]
    async with running(config(server)) as (_, client):
        await client.register()
        url = (await client.order("*.a.example")).json["authorizations"][0]
        challenge = (await client.post(url)).json["challenges"][0]
        server.records["x.acme.test", "TXT"] = [digest(client, challenge)]
        await client.post(challenge["url"], {})
        assert (await settled(client, url))["status"] == "valid"


async def test_without_a_server_there_are_no_wildcards() -> None:
    """Nothing else could prove them; two stars prove nothing at all."""
    async with running(Config()) as (_, client):
        await client.register()
        assert (await client.order("*.a.example")).problem == "rejectedIdentifier"
        assert (await client.order("*.*.a.example")).status == 400
