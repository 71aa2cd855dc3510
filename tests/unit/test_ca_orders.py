"""Orders of the test CA: authorizations, http-01 for real, states over time."""

from datetime import timedelta
from typing import Any

import pytest

from tests.ca import Authorizations, Config
from tests.ca.harness import (
    Hands,
    key_authorization,
    prove,
    responding,
    running,
    settled,
)
from tests.ca.raw_client import csr_for, new_key


async def test_a_whole_run_with_http_01() -> None:
    """From the directory to the chain, with a real connection to the responder."""
    async with responding() as responder:
        resolve = {"a.example": ("127.0.0.1", responder.port)}
        async with running(Config(resolve=resolve)) as (ca, client):
            await client.register()
            order = await client.order("a.example")
            assert (order.status, order.json["status"]) == (201, "pending")
            early = await client.finalize(order.json, csr_for(new_key(), "a.example"))
            await prove(client, responder, order.json)
            ready = (await client.post(order.location)).json
            done = await client.finalize(ready, csr_for(new_key(), "a.example"))
            chain = await client.post(done.json["certificate"])
            listed = await client.post(ca.urls.orders(ca.accounts[0].id))
    assert (early.status, early.problem) == (403, "orderNotReady")
    assert ready["status"] == "ready"
    assert done.json["status"] == "valid"
    assert chain.headers["Content-Type"] == "application/pem-certificate-chain"
    assert chain.body.count(b"BEGIN CERTIFICATE") == 2
    assert listed.json == {"orders": [order.location]}
    assert responder.hosts == ["a.example"]
    assert responder.agents == ["test-ca-validator"]
    assert [o.account.id for o in ca.orders] == [ca.accounts[0].id]
    assert ca.certificates[0].order == ca.orders[0].id
    assert ca.answered_orders == 1


async def test_the_connection_goes_where_a_callable_says() -> None:
    """A resolver may be a function; whitespace at the end of a proof is ignored."""
    async with responding() as responder:
        config = Config(resolve=lambda _: ("127.0.0.1", responder.port))
        async with running(config) as (_, client):
            await client.register()
            order = (await client.order("a.example", "b.example")).json
            for url in order["authorizations"]:
                challenge = (await client.post(url)).json["challenges"][0]
                proof = key_authorization(client, challenge) + " \n"
                responder.proofs[challenge["token"]] = proof
                await client.post(challenge["url"], {})
                assert (await settled(client, url))["status"] == "valid"
    assert responder.hosts == ["a.example", "b.example"]


async def test_an_address_is_proven_by_http_01() -> None:
    """RFC 8738: the Host header is the address."""
    async with responding() as responder:
        config = Config(resolve=lambda _: ("127.0.0.1", responder.port))
        async with running(config) as (_, client):
            await client.register()
            identifiers = [{"type": "ip", "value": "192.0.2.7"}]
            url = client.directory["newOrder"]
            order = (await client.post(url, {"identifiers": identifiers})).json
            await prove(client, responder, order)
    assert responder.hosts == ["192.0.2.7"]


@pytest.mark.parametrize(
    ("proof", "problem"),
    [
        (None, "incorrectResponse"),
        ("wrong", "incorrectResponse"),
        ("{good}x", "incorrectResponse"),
        (" {good}", "incorrectResponse"),
    ],
)
async def test_a_wrong_proof_makes_challenge_authorization_and_order_invalid(
    proof: str | None, problem: str
) -> None:
    """One failed challenge is the end of the order, which says why."""
    async with responding() as responder:
        resolve = {"a.example": ("127.0.0.1", responder.port)}
        async with running(Config(resolve=resolve)) as (_, client):
            await client.register()
            order = await client.order("a.example")
            url = order.json["authorizations"][0]
            challenge = (await client.post(url)).json["challenges"][0]
            if proof is not None:
                text = proof.format(good=key_authorization(client, challenge))
                responder.proofs[challenge["token"]] = text
            await client.post(challenge["url"], {})
            authz = await settled(client, url)
            final = (await client.post(order.location)).json
    assert authz["status"] == authz["challenges"][0]["status"] == "invalid"
    assert authz["challenges"][0]["error"]["type"].endswith(problem)
    assert final["status"] == "invalid"
    assert final["error"]["type"].endswith(problem)
    subproblem = final["error"]["subproblems"][0]
    assert subproblem["identifier"] == {"type": "dns", "value": "a.example"}


@pytest.mark.parametrize(
    ("resolve", "problem"),
    [({}, "dns"), ({"a.example": ("127.0.0.1", 1)}, "connection")],
)
async def test_a_name_that_cannot_be_reached_is_a_problem_of_its_own(
    resolve: dict[str, tuple[str, int]], problem: str
) -> None:
    """No address, and no listener."""
    async with running(Config(resolve=resolve)) as (_, client):
        await client.register()
        order = (await client.order("a.example")).json
        url = order["authorizations"][0]
        challenge = (await client.post(url)).json["challenges"][0]
        answer = await client.post(challenge["url"], {})
        authz = await settled(client, url)
    assert f'<{url}>;rel="up"' in answer.headers.getall("Link")
    assert authz["challenges"][0]["error"]["type"].endswith(problem)


async def test_the_response_to_http_01_is_the_empty_object() -> None:
    """Reading leaves the challenge pending; another object is malformed."""
    async with running() as (_, client):
        await client.register()
        order = (await client.order("a.example")).json
        authz = (await client.post(order["authorizations"][0])).json
        url = authz["challenges"][0]["url"]
        read = await client.post(url)
        odd = await client.post(url, {"keyAuthorization": "x"})
        after = await client.post(url)
    assert (read.json["status"], odd.problem) == ("pending", "malformed")
    assert after.json["status"] == "pending"


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "malformed"),
    ({"identifiers": []}, "malformed"),
    ({"identifiers": ["a.example"]}, "malformed"),
    ({"identifiers": [{"type": "dns"}]}, "malformed"),
    ({"identifiers": [{"type": "dns", "value": "A.example"}]}, "malformed"),
    ({"identifiers": [{"type": "dns", "value": "a.example."}]}, "malformed"),
    ({"identifiers": [{"type": "dns", "value": "a..example"}]}, "malformed"),
    ({"identifiers": [{"type": "dns", "value": "a.example"}] * 2}, "malformed"),
    ({"identifiers": [{"type": "dns", "value": "*.example"}]}, "rejectedIdentifier"),
    ({"identifiers": [{"type": "dns", "value": "no.example"}]}, "rejectedIdentifier"),
    ({"identifiers": [{"type": "ip", "value": "1.2.3"}]}, "malformed"),
    ({"identifiers": [{"type": "ip", "value": "::0:1"}]}, "malformed"),
    ({"identifiers": [{"type": "email", "value": "a"}]}, "unsupportedIdentifier"),
    (
        {
            "identifiers": [{"type": "dns", "value": "a.example"}],
            "notAfter": "2031-01-01T00:00:00Z",
        },
        "malformed",
    ),
]


@pytest.mark.parametrize(("payload", "kind"), BAD)
async def test_a_wrong_new_order_is_refused(payload: dict[str, Any], kind: str) -> None:
    """RFC 8555 7.4, each with its problem; no order comes of it."""
    config = Config(rejected_names=frozenset({"no.example"}))
    async with running(config) as (ca, client):
        await client.register()
        reply = await client.post(client.directory["newOrder"], payload)
        assert (reply.status, reply.problem) == (400, kind)
        assert not ca.orders


async def test_dates_are_honoured_when_the_ca_allows_them() -> None:
    """RFC 8555 7.4: notBefore and notAfter, with any offset."""
    config = Config(authorizations=Authorizations.NONE, validity_dates=True)
    async with running(config) as (ca, client):
        await client.register()
        dates = {
            "notBefore": "2030-01-01T04:00:00+04:00",
            "notAfter": "2031-01-01T00:00:00Z",
        }
        order = (await client.order("a.example", **dates)).json
        await client.finalize(order, csr_for(new_key(), "a.example"))
        for odd in ("tomorrow", "2031-01-01T00:00:00"):
            reply = await client.order("a.example", notAfter=odd)
            assert reply.problem == "malformed"
    assert order["notBefore"] == "2030-01-01T00:00:00Z"
    leaf = ca.certificates[0].leaf
    assert leaf.not_valid_before_utc.isoformat() == "2030-01-01T00:00:00+00:00"
    assert leaf.not_valid_after_utc.isoformat() == "2031-01-01T00:00:00+00:00"


async def test_unknown_extensions_of_an_order_are_ignored_and_not_echoed() -> None:
    """So that a client can tell that they are not supported."""
    async with running() as (_, client):
        await client.register()
        more = {"profile": "nf", "replaces": "a.b", "auto-renewal": {"lifetime": 1}}
        reply = await client.order("a.example", **more)
    assert reply.status == 201
    assert not reply.json.keys() & more.keys()


@pytest.mark.parametrize(
    ("switch", "listed"), [(Authorizations.BORN_VALID, 1), (Authorizations.NONE, 0)]
)
async def test_orders_may_be_born_ready(switch: Authorizations, listed: int) -> None:
    """With authorizations that are valid already, or with none."""
    async with running(Config(authorizations=switch)) as (_, client):
        await client.register()
        order = (await client.order("a.example")).json
        states = [
            (await client.post(u)).json["status"] for u in order["authorizations"]
        ]
    assert order["status"] == "ready"
    assert states == ["valid"] * listed


@pytest.mark.parametrize(("reuse", "status"), [(False, "pending"), (True, "ready")])
async def test_valid_authorizations_are_reused_only_on_request(
    reuse: bool, status: str
) -> None:
    """Off by default; when on, until they expire."""
    now = Hands()
    async with responding() as responder:
        config = Config(
            resolve={"a.example": ("127.0.0.1", responder.port)},
            reuse_authorizations=reuse,
            now=now,
        )
        async with running(config) as (_, client):
            await client.register()
            await prove(client, responder, (await client.order("a.example")).json)
            second = (await client.order("a.example")).json
            now.move(config.authorization_lifetime)
            third = (await client.order("a.example")).json
    assert (second["status"], third["status"]) == (status, "pending")


async def test_time_ends_orders_and_authorizations() -> None:
    """Pending ones become invalid, a proof expires; the order says why."""
    now = Hands()
    config = Config(
        now=now,
        authorizations=Authorizations.BORN_VALID,
        authorization_lifetime=timedelta(hours=1),
        order_lifetime=timedelta(hours=2),
    )
    async with running(config) as (ca, client):
        await client.register()
        order = await client.order("a.example")
        now.move(timedelta(hours=1))
        late = await client.finalize(order.json, csr_for(new_key(), "a.example"))
        authz = (await client.post(order.json["authorizations"][0])).json
        final = await client.post(order.location)
        listed = await client.post(ca.urls.orders(ca.accounts[0].id))
    assert order.json["expires"] == "2030-01-01T02:00:00Z"
    assert late.problem == "orderNotReady"
    assert authz["status"] == "expired"
    assert final.json["status"] == "invalid"
    assert listed.json == {"orders": []}
    assert final.headers["Date"] == "Tue, 01 Jan 2030 01:00:00 GMT"


async def test_an_order_that_is_left_alone_expires() -> None:
    """Its pending authorizations become invalid with it."""
    now = Hands()
    config = Config(now=now, order_lifetime=timedelta(hours=1))
    async with running(config) as (_, client):
        await client.register()
        order = await client.order("a.example")
        now.move(timedelta(hours=1))
        final = (await client.post(order.location)).json
        authz = (await client.post(order.json["authorizations"][0])).json
        answer = await client.post(authz["challenges"][0]["url"], {})
    assert (final["status"], authz["status"]) == ("invalid", "invalid")
    assert answer.json["status"] == "pending"


async def test_an_authorization_is_given_up_and_takes_its_order_along() -> None:
    """RFC 8555 7.5.2: {"status": "deactivated"} and nothing else."""
    async with running() as (_, client):
        await client.register()
        order = await client.order("a.example")
        url = order.json["authorizations"][0]
        odd = await client.post(url, {"status": "valid"})
        gone = await client.post(url, {"status": "deactivated"})
        final = (await client.post(order.location)).json
    assert odd.problem == "malformed"
    assert gone.json["status"] == "deactivated"
    assert final["status"] == "invalid"


async def test_a_ca_may_take_its_time_with_every_order_and_challenge() -> None:
    """Processing for the number of polls that the configuration says."""
    async with responding() as responder:
        config = Config(
            resolve={"a.example": ("127.0.0.1", responder.port)},
            order_polls=2,
            challenge_polls=1,
            retry_after=3,
        )
        async with running(config) as (_, client):
            await client.register()
            order = await client.order("a.example")
            await prove(client, responder, order.json)
            done = await client.finalize(order.json, csr_for(new_key(), "a.example"))
            polls = [await client.post(order.location) for _ in range(3)]
    states = [reply.json["status"] for reply in (done, *polls)]
    assert states == ["processing", "processing", "processing", "valid"]
    waits = [reply.headers.get("Retry-After") for reply in (done, *polls)]
    assert waits == ["3", "3", "3", None]


async def test_orders_are_not_listed_by_a_ca_that_does_not() -> None:
    """The account then has no `orders` member."""
    async with running(Config(orders_list=False)) as (_, client):
        assert "orders" not in (await client.register()).json


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("4ace9d34-2c69-4f99-92d5-a73a3fe8e23b", 201),
        ("4ACE9D34-2C69-4F99-92D5-A73A3FE8E23B", 400),
        ("4ace9d34-2c69-1f99-92d5-a73a3fe8e23b", 400),
        ("amf1", 400),
    ],
)
async def test_an_nf_is_ordered_by_its_instance_id(value: str, status: int) -> None:
    """TS 33.310 annex J: a UUID of version 4, which the tests want in lower case."""
    config = Config(
        identifier_types=frozenset({"NfInstanceId"}),
        authorizations=Authorizations.BORN_VALID,
    )
    async with running(config) as (ca, client):
        await client.register()
        identifiers = [{"type": "NfInstanceId", "value": value}]
        url = client.directory["newOrder"]
        reply = await client.post(url, {"identifiers": identifiers})
        assert reply.status == status
        for order in ca.orders:
            (name,) = (i.general_name() for i in order.identifiers)
            assert name.value == f"urn:uuid:{value}"
