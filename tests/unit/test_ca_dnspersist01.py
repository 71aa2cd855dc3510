"""dns-account-01 and dns-persist-01 of the test CA: the account decides."""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests.ca import Config
from tests.ca.harness import key_authorization, running, settled
from tests.ca.raw_client import Members, RawClient
from tests.fakes.dns import FakeDns, serving

NAME = "a.example"
PERSIST = f"_validation-persist.{NAME}"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
TYPES = ("dns-account-01", "dns-persist-01")


@pytest.fixture
async def server() -> AsyncIterator[FakeDns]:
    """Serve nothing yet."""
    async with serving(FakeDns()) as fake:
        yield fake


def config(server: FakeDns) -> Config:
    """Return a CA that asks the server."""
    return Config(dns=(server.host, server.port), dns_types=TYPES, now=lambda: NOW)


async def challenge_of(client: RawClient, name: str, kind: str) -> tuple[str, Members]:
    """Return the authorization's URL and its challenge of a type."""
    (url,) = (await client.order(name)).json["authorizations"]
    offered = (await client.post(url)).json["challenges"]
    return url, next(c for c in offered if c["type"] == kind)


@pytest.mark.parametrize("own", [True, False])
async def test_the_record_of_the_account_is_looked_at(
    server: FakeDns, own: bool
) -> None:
    """The label is a digest of the account's URL; another account's is no proof."""
    async with running(config(server)) as (_, client):
        await client.register()
        account = (client.kid or "") + ("" if own else "x")
        digest = hashlib.sha256(account.encode()).digest()[:10]
        label = base64.b32encode(digest).decode().lower()
        url, challenge = await challenge_of(client, NAME, "dns-account-01")
        proof = hashlib.sha256(key_authorization(client, challenge).encode()).digest()
        value = base64.urlsafe_b64encode(proof).decode().rstrip("=")
        server.records[f"_{label}._acme-challenge.{NAME}", "TXT"] = [value]
        await client.post(challenge["url"], {})
        status = (await settled(client, url))["status"]
    assert status == ("valid" if own else "invalid")


@pytest.mark.parametrize(
    ("record", "name", "status"),
    [
        ("ca.example; accounturi={account}", NAME, "valid"),
        ("ca.example; accounturi={account}", f"*.{NAME}", "invalid"),
        ("CA.example;accounturi={account};policy=WILDCARD", f"*.{NAME}", "valid"),
        ("ca.example; accounturi={account}; persistUntil=1893456001", NAME, "valid"),
        ("ca.example; accounturi={account}; persistUntil=1893456000", NAME, "invalid"),
        ("ca.example; accounturi={account}; persistUntil=soon", NAME, "invalid"),
        ("ca.example; accounturi={account}x", NAME, "invalid"),
        ("other.example; accounturi={account}", NAME, "invalid"),
        ("ca.example; policy=wildcard", NAME, "invalid"),
        (
            "ca.example; accounturi={account}; accounturi={account}",
            NAME,
            "invalid",
        ),
    ],
)
async def test_the_record_must_permit_the_account(
    server: FakeDns, record: str, name: str, status: str
) -> None:
    """Issuer, account, policy and end, as the draft has them."""
    async with running(config(server)) as (_, client):
        await client.register()
        url, challenge = await challenge_of(client, name, "dns-persist-01")
        assert challenge["issuer-domain-names"] == ["ca.example"]
        assert "token" not in challenge
        server.records[PERSIST, "TXT"] = [record.format(account=client.kid)]
        await client.post(challenge["url"], {})
        authz = await settled(client, url)
    assert authz["status"] == status


async def test_a_missing_record_and_a_wrong_payload(server: FakeDns) -> None:
    """Nothing at the name, and an answer that is no empty object."""
    async with running(config(server)) as (_, client):
        await client.register()
        url, challenge = await challenge_of(client, NAME, "dns-persist-01")
        refused = await client.post(challenge["url"], {"a": 1})
        assert refused.status == 400
        await client.post(challenge["url"], {})
        authz = await settled(client, url)
    assert authz["status"] == "invalid"
