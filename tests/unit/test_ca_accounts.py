"""Accounts of the test CA: newAccount, EAB, update, deactivation, key roll-over."""

from typing import Any

import pytest

from tests.ca import Authorizations, Config, Fault
from tests.ca.actions import action_required, not_done
from tests.ca.harness import running
from tests.ca.raw_client import (
    RawClient,
    binding,
    csr_for,
    jwk_of,
    jws,
    new_key,
)

MAC_KEY = bytes(range(32))
EAB = Config(eab_keys={"nf-1": MAC_KEY}, eab_required=True)


async def test_an_account_is_made_once_and_found_again() -> None:
    """RFC 8555 7.3: 201, then 200 with the same Location and the old object."""
    async with running() as (ca, client):
        first = await client.register(contact=["mailto:a@example.org"])
        client.kid = ""
        second = await client.register(contact=["mailto:b@example.org"])
        client.kid = ""
        only = await client.register(onlyReturnExisting=True)
        orders = (await client.post(first.json["orders"])).json
    assert [first.status, second.status, only.status] == [201, 200, 200]
    assert first.location == second.location == only.location
    assert second.json["contact"] == ["mailto:a@example.org"]
    assert second.json["status"] == "valid"
    assert orders == {"orders": []}
    assert len(ca.accounts) == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"onlyReturnExisting": True}, "accountDoesNotExist"),
    ({"onlyReturnExisting": "yes"}, "malformed"),
    ({"contact": "mailto:a@example.org"}, "malformed"),
    ({"contact": ["tel:+123"]}, "unsupportedContact"),
    ({"contact": ["mailto:a@example.org,b@example.org"]}, "invalidContact"),
    ({"contact": ["mailto:a@example.org?subject=x"]}, "invalidContact"),
    ({"contact": ["mailto:nobody"]}, "invalidContact"),
]


@pytest.mark.parametrize(("payload", "kind"), BAD)
async def test_a_wrong_new_account_is_refused(
    payload: dict[str, Any], kind: str
) -> None:
    """RFC 8555 7.3, each with its problem."""
    async with running() as (ca, client):
        reply = await client.register(**payload)
        assert (reply.status, reply.problem) == (400, kind)
        assert not ca.accounts


async def test_terms_have_to_be_agreed_to_when_there_are_some() -> None:
    """RFC 8555 7.3.3: userActionRequired, until the client says true."""
    async with running(Config(terms="https://ca.example/terms")) as (_, client):
        refused = await client.register()
        agreed = await client.register(termsOfServiceAgreed=True)
    assert (refused.status, refused.problem) == (403, "userActionRequired")
    assert (agreed.status, agreed.json["termsOfServiceAgreed"]) == (201, True)


async def test_an_account_is_read_changed_and_closed() -> None:
    """RFC 8555 7.3.2 and 7.3.6: a closed account gets 401 from then on."""
    async with running() as (_, client):
        await client.register()
        changed = await client.post(client.kid, {"contact": ["mailto:c@example.org"]})
        read = await client.post(client.kid)
        odd = await client.post(client.kid, {"status": "revoked"})
        closed = await client.post(client.kid, {"status": "deactivated"})
        late = await client.post(client.kid)
        client.kid = ""
        again = await client.register()
    assert changed.json == read.json
    assert read.json["contact"] == ["mailto:c@example.org"]
    assert odd.problem == "malformed"
    assert closed.json["status"] == "deactivated"
    for reply in (late, again):
        assert (reply.status, reply.problem) == (401, "unauthorized")


async def test_nobody_reads_the_account_of_another() -> None:
    """Neither the account, nor its orders, nor what belongs to them."""
    async with running(Config(authorizations=Authorizations.BORN_VALID)) as (ca, one):
        await one.register()
        order = await one.order("a.example")
        done = await one.finalize(order.json, csr_for(new_key(), "a.example"))
        authz = order.json["authorizations"][0]
        challenge = (await one.post(authz)).json["challenges"][0]["url"]
        urls = [
            one.kid,
            ca.urls.orders(ca.accounts[0].id),
            order.location,
            authz,
            challenge,
            done.json["certificate"],
        ]
        async with RawClient(ca.directory_url, ca.transport_root_pem) as two:
            await two.register()
            replies = [await two.post(url) for url in urls]
            stolen = await two.finalize(order.json, b"")
    for reply in (*replies, stolen):
        assert (reply.status, reply.problem) == (403, "unauthorized")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_a_good_binding_is_verified_and_echoed(alg: str) -> None:
    """RFC 8555 7.3.4, with each MAC."""
    async with running(EAB) as (ca, client):
        url = client.directory["newAccount"]
        bound = binding(MAC_KEY, "nf-1", url, jwk_of(client.key), alg)
        reply = await client.register(externalAccountBinding=bound)
    assert reply.status == 201
    assert reply.json["externalAccountBinding"] == bound
    assert ca.accounts[0].eab_kid == "nf-1"
    assert MAC_KEY.hex() not in repr(ca.config)


async def test_a_binding_may_be_good_for_one_account_only() -> None:
    """Another key with the same key identifier is refused."""
    config = Config(eab_keys={"nf-1": MAC_KEY}, eab_required=True, eab_once=True)
    async with running(config) as (ca, client):
        url = client.directory["newAccount"]
        replies = []
        for _ in range(2):
            bound = binding(MAC_KEY, "nf-1", url, jwk_of(client.key))
            replies.append(await client.register(externalAccountBinding=bound))
            client.key, client.kid = new_key(), ""
        assert [reply.status for reply in replies] == [201, 403]
        assert len(ca.accounts) == 1


async def test_changed_terms_are_linked_beside_the_index() -> None:
    """RFC 8555 7.3.3: 403 with the instance, and a second Link header."""
    async with running() as (ca, client):
        await client.register()
        action = action_required("https://ca.example/terms/2", "https://ca.example/me")
        ca.faults.add(Fault(resource="newOrder", action=action))
        refused = await client.order("a.example")
        assert (refused.status, refused.problem) == (403, "userActionRequired")
        assert refused.json["instance"] == "https://ca.example/me"
        links = refused.headers.getall("Link")
        assert '<https://ca.example/terms/2>;rel="terms-of-service"' in links
        assert len(links) == 2


async def test_a_key_change_can_be_advertised_and_not_done() -> None:
    """The key stays, as at a CA that has the resource in its directory only."""
    async with running() as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource="keyChange", action=not_done()))
        new, url = new_key(), client.directory["keyChange"]
        header = {"alg": "ES256", "jwk": jwk_of(new), "url": url}
        payload = {"account": client.kid, "oldKey": jwk_of(client.key)}
        refused = await client.post(url, jws(new, header, payload))
        assert (refused.status, refused.problem) == (501, "notImplemented")
        assert ca.accounts[0].jwk.members == jwk_of(client.key)


async def test_a_ca_without_binding_keys_ignores_a_binding() -> None:
    """And does not echo it, so that the client can tell."""
    async with running() as (_, client):
        url = client.directory["newAccount"]
        bound = binding(MAC_KEY, "nf-1", url, jwk_of(client.key))
        reply = await client.register(externalAccountBinding=bound)
    assert reply.status == 201
    assert "externalAccountBinding" not in reply.json


async def test_a_wrong_binding_is_refused() -> None:
    """No binding, wrong MAC key, unknown kid, other url, other key, other algorithm."""
    async with running(EAB) as (ca, client):
        url, jwk = client.directory["newAccount"], jwk_of(client.key)
        table: list[tuple[Any, int, str]] = [
            (None, 403, "externalAccountRequired"),
            ("text", 400, "malformed"),
            (binding(bytes(32), "nf-1", url, jwk), 403, "unauthorized"),
            (binding(MAC_KEY, "nf-2", url, jwk), 403, "unauthorized"),
            (binding(MAC_KEY, "nf-1", url + "/", jwk), 400, "malformed"),
            (binding(MAC_KEY, "nf-1", url, jwk_of(new_key())), 400, "malformed"),
            (jws(client.key, {"alg": "ES256", "kid": "nf-1"}, jwk), 400, "malformed"),
            (
                jws(client.key, {"alg": "ES256", "kid": "nf-1", "url": url}, jwk),
                400,
                "malformed",
            ),
        ]
        for bound, status, kind in table:
            payload = {} if bound is None else {"externalAccountBinding": bound}
            reply = await client.register(**payload)
            assert (reply.status, reply.problem) == (status, kind)
        assert not ca.accounts


async def test_a_key_is_rolled_and_the_old_one_is_dead() -> None:
    """RFC 8555 7.3.5: the account keeps its URL and its orders."""
    async with running() as (ca, client):
        await client.register()
        order = await client.order("a.example")
        old, new = client.key, new_key()
        url = client.directory["keyChange"]
        inner = jws(
            new,
            {"alg": "ES256", "jwk": jwk_of(new), "url": url},
            {"account": client.kid, "oldKey": jwk_of(old)},
        )
        rolled = await client.post(url, inner)
        dead = await client.post(client.kid)
        client.key = new
        alive = await client.post(order.location)
        client.kid = ""
        found = await client.register(onlyReturnExisting=True)
        client.key, client.kid = old, ""
        lost = await client.register(onlyReturnExisting=True)
    assert (rolled.status, alive.status) == (200, 200)
    assert dead.problem == "malformed"
    assert found.location == ca.urls.account(ca.accounts[0].id)
    assert lost.problem == "accountDoesNotExist"


async def test_a_wrong_key_change_is_refused() -> None:
    """RFC 8555 7.3.5, each of its checks."""
    async with running() as (ca, client):
        await client.register()
        new, url = new_key(), client.directory["keyChange"]
        header = {"alg": "ES256", "jwk": jwk_of(new), "url": url}
        payload = {"account": client.kid, "oldKey": jwk_of(client.key)}
        table = [
            jws(client.key, header, payload),
            jws(new, header | {"nonce": "AAAA"}, payload),
            jws(new, header | {"url": url + "x"}, payload),
            jws(new, {"alg": "ES256", "url": url}, payload),
            jws(new, header, payload | {"account": client.kid + "x"}),
            jws(new, header, payload | {"oldKey": jwk_of(new)}),
            jws(new, header, {}),
            {},
        ]
        for inner in table:
            reply = await client.post(url, inner)
            assert (reply.status, reply.problem) == (400, "malformed")
        assert ca.accounts[0].jwk.members == jwk_of(client.key)


async def test_a_key_in_use_is_a_conflict_that_names_its_account() -> None:
    """RFC 8555 7.3.5: 409 with Location."""
    async with running() as (ca, client):
        await client.register()
        async with RawClient(ca.directory_url, ca.transport_root_pem) as other:
            await other.register()
            url = client.directory["keyChange"]
            inner = jws(
                other.key,
                {"alg": "ES256", "jwk": jwk_of(other.key), "url": url},
                {"account": client.kid, "oldKey": jwk_of(client.key)},
            )
            reply = await client.post(url, inner)
            assert (reply.status, reply.location) == (409, other.kid)


async def test_the_key_of_a_certificate_makes_no_account() -> None:
    """RFC 8555 11.1."""
    async with running(Config(authorizations=Authorizations.NONE)) as (_, client):
        await client.register()
        key = new_key()
        order = (await client.order("a.example")).json
        assert (await client.finalize(order, csr_for(key, "a.example"))).status == 200
        url = client.directory["keyChange"]
        inner = jws(
            key,
            {"alg": "ES256", "jwk": jwk_of(key), "url": url},
            {"account": client.kid, "oldKey": jwk_of(client.key)},
        )
        rolled = await client.post(url, inner)
        client.key, client.kid = key, ""
        reply = await client.register()
    for refused in (rolled, reply):
        assert (refused.status, refused.problem) == (400, "badPublicKey")


async def test_a_ca_that_forgets_everything_knows_no_account() -> None:
    """As a CA in memory does when it restarts; its roots stay."""
    async with running() as (ca, client):
        await client.register()
        root = ca.issuing_root_pem
        ca.forget_everything()
        reply = await client.post(client.kid)
        assert (reply.status, reply.problem) == (400, "accountDoesNotExist")
        assert ca.issuing_root_pem == root
        client.kid = ""
        assert (await client.register()).status == 201
