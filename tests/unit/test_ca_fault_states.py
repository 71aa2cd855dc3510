"""Faults of the test CA that bend states and chains."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest
from cryptography import x509

from tests.ca import Authorizations, Config, Fault, Problem, actions
from tests.ca.faults import Action
from tests.ca.harness import responding, running, settled
from tests.ca.raw_client import Reply, csr_for, new_key

READY = Config(authorizations=Authorizations.NONE)
NAME = "a.example"
CAA = Problem(type="caa", detail="policy of the owner forbids it")


async def finalized(
    action: Action, polls: int, resource: str = "finalize"
) -> list[Reply]:
    """Strike a finalize; return its answer and those of some looks at the order."""
    async with running(READY) as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource=resource, action=action))
        order = await client.order(NAME)
        done = await client.finalize(order.json, csr_for(new_key(), NAME))
        return [done, *[await client.post(order.location) for _ in range(polls)]]


async def test_an_order_is_processing_for_as_many_looks_as_the_script_says() -> None:
    """With Retry-After meanwhile, and the certificate only at the end."""
    action = actions.Processing(polls=2, retry_after=7)
    replies = await finalized(action, polls=3)
    states = [reply.json["status"] for reply in replies]
    assert states == ["processing", "processing", "processing", "valid"]
    assert [r.headers.get("Retry-After") for r in replies] == ["7", "7", "7", None]
    assert ["certificate" in r.json for r in replies] == [False, False, False, True]


@pytest.mark.parametrize(
    ("action", "states"),
    [
        (actions.TurnInvalid(problem=CAA), ["invalid", "invalid"]),
        (actions.Processing(polls=0, then=CAA), ["invalid", "invalid"]),
        (actions.Processing(polls=1, then=CAA), ["processing", "processing"]),
    ],
)
async def test_an_order_turns_invalid_at_finalize(
    action: Action, states: list[str]
) -> None:
    """At once, or after some looks; the order says why."""
    replies = await finalized(action, polls=2)
    assert [reply.json["status"] for reply in replies[:2]] == states
    assert replies[-1].json["status"] == "invalid"
    assert replies[-1].json["error"]["type"].endswith(":caa")


@pytest.mark.parametrize(
    "action",
    [actions.TurnInvalid(problem=CAA), actions.Processing(polls=2, then=CAA)],
)
async def test_a_challenge_turns_invalid(action: Action) -> None:
    """At once or after some looks, without anybody being asked for a proof."""
    async with running() as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource="challenge", action=action))
        url = (await client.order(NAME)).json["authorizations"][0]
        challenge = (await client.post(url)).json["challenges"][0]
        await client.post(challenge["url"], {})
        authz = await settled(client, url)
    assert authz["status"] == "invalid"
    assert authz["challenges"][0]["error"]["type"].endswith(":caa")


async def test_a_challenge_is_processing_for_as_many_looks_as_the_script_says() -> None:
    """However fast the proof was seen."""
    async with responding() as responder:
        config = Config(resolve={NAME: ("127.0.0.1", responder.port)})
        async with running(config) as (ca, client):
            await client.register()
            action = actions.Processing(polls=2, retry_after=5)
            ca.faults.add(Fault(resource="challenge", action=action))
            url = (await client.order(NAME)).json["authorizations"][0]
            challenge = (await client.post(url)).json["challenges"][0]
            await client.post(challenge["url"], {})
            async with asyncio.timeout(5):
                while not responder.hosts:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            replies = [await client.post(url) for _ in range(3)]
    states = [reply.json["challenges"][0]["status"] for reply in replies]
    assert states == ["processing", "processing", "invalid"]
    assert [r.headers.get("Retry-After") for r in replies] == ["5", "5", None]


CHAINS: dict[str, tuple[Action, Callable[[bytes, object, datetime], bool]]] = {
    "garbage": (
        actions.GarbageChain(),
        lambda body, _, __: body.startswith(b"-----BEGIN") and b"bm90" in body,
    ),
    "a private key": (
        actions.ChainWithPrivateKey(),
        lambda body, key, _: b"PRIVATE KEY" in body and leaf_of(body)[0] == key,
    ),
    "another key": (
        actions.ChainForAnotherKey(),
        lambda body, key, _: leaf_of(body)[0] != key and leaf_of(body)[1] == [NAME],
    ),
    "wrong names": (
        actions.ChainWithWrongNames("b.example"),
        lambda body, key, _: leaf_of(body)[:2] == (key, ["b.example"]),
    ),
    "expired": (
        actions.ExpiredChain(),
        lambda body, key, now: leaf_of(body)[0] == key and leaf_of(body)[2] < now,
    ),
}


def leaf_of(body: bytes) -> tuple[object, list[str], datetime]:
    """Return key, names and end of the leaf, which has to be signed by the next."""
    certificates = body.partition(b"-----BEGIN PRIVATE KEY")[0]
    leaf, issuer = x509.load_pem_x509_certificates(certificates)
    leaf.verify_directly_issued_by(issuer)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = names.get_values_for_type(x509.DNSName)
    return leaf.public_key(), found, leaf.not_valid_after_utc


@pytest.mark.parametrize(("action", "holds"), list(CHAINS.values()), ids=CHAINS.keys())
async def test_a_chain_is_wrong_in_the_way_the_table_says(
    action: Action, holds: Callable[[bytes, object, datetime], bool]
) -> None:
    """Once; the next download is the right chain."""
    key = new_key()
    async with running(READY) as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource="certificate", action=action))
        order = (await client.order(NAME)).json
        done = (await client.finalize(order, csr_for(key, NAME))).json
        bad, good = [await client.post(done["certificate"]) for _ in range(2)]
        now = ca.config.now()
    assert bad.headers["Content-Type"] == "application/pem-certificate-chain"
    assert holds(bad.body, key.public_key(), now)
    assert leaf_of(good.body)[:2] == (key.public_key(), [NAME])
