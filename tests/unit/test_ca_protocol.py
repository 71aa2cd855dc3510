"""The rules that every request to the test CA has to keep (RFC 8555 6)."""

import io
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.ca import Config, PayloadKind, TestCA
from tests.ca.harness import running
from tests.ca.raw_client import PrivateKey, RawClient, b64, jws, new_key

JOSE = {"Content-Type": "application/jose+json"}


async def test_the_directory_lists_every_resource_and_the_meta() -> None:
    """RFC 8555 7.1.1, with the members that a test adds."""
    config = Config(
        terms="https://ca.example/terms",
        eab_required=True,
        meta={"website": "https://ca.example"},
        directory={"Zufall-7": "https://ca.example/ignored"},
    )
    async with running(config) as (ca, client):
        directory = client.directory
    assert set(directory) == {
        "newNonce",
        "newAccount",
        "newOrder",
        "revokeCert",
        "keyChange",
        "meta",
        "Zufall-7",
    }
    assert directory["meta"] == {
        "website": "https://ca.example",
        "termsOfService": "https://ca.example/terms",
        "externalAccountRequired": True,
    }
    assert ca.log.sequence == ["GET directory"]


async def test_nonces_come_by_head_and_get_and_are_not_stored() -> None:
    """RFC 8555 7.2: 200 to HEAD, 204 to GET, both with a fresh nonce."""
    async with running() as (ca, client):
        url = client.directory["newNonce"]
        head = await client.plain("HEAD", url)
        get = await client.plain("GET", url)
    assert (head.status, get.status) == (200, 204)
    assert head.headers["Replay-Nonce"] != get.headers["Replay-Nonce"]
    assert head.headers["Cache-Control"] == "no-store"
    assert head.headers["Link"] == f'<{ca.directory_url}>;rel="index"'


async def test_every_answer_to_a_post_has_a_nonce_and_the_index_link() -> None:
    """Good ones and bad ones; the directory itself has no index link."""
    async with running() as (ca, client):
        good = await client.register()
        bad = await client.post(client.directory["newOrder"], {})
        lost = await client.post(f"{ca.urls.base}/nothing", {})
        directory = await client.plain("GET", client.directory_url)
        read = await client.post(client.directory_url)
    for reply, status in ((good, 201), (bad, 400), (lost, 404)):
        assert reply.status == status
        assert reply.headers["Replay-Nonce"]
        assert reply.headers["Link"] == f'<{ca.directory_url}>;rel="index"'
    assert bad.headers["Content-Type"] == "application/problem+json"
    assert "Link" not in directory.headers
    assert read.json == directory.json


async def test_get_is_refused_everywhere_else() -> None:
    """RFC 8555 6.3: 405 with type malformed."""
    async with running() as (_, client):
        await client.register()
        order = (await client.order("a.example")).json
        urls = [client.kid, order["finalize"], *order["authorizations"]]
        names = ("newAccount", "newOrder", "revokeCert", "keyChange")
        urls += [client.directory[name] for name in names]
        replies = [await client.plain("GET", url) for url in urls]
    assert {(reply.status, reply.problem) for reply in replies} == {(405, "malformed")}


async def test_a_request_without_user_agent_is_malformed() -> None:
    """RFC 8555 6.1: clients MUST send one."""
    async with running() as (_, client):
        reply = await client.plain("GET", client.directory_url, agent="")
    assert (reply.status, reply.problem) == (400, "malformed")


HEADERS: list[tuple[str, dict[str, Any], int, str]] = [
    ("no alg", {"alg": None}, 400, "badSignatureAlgorithm"),
    ("alg none", {"alg": "none"}, 400, "badSignatureAlgorithm"),
    ("a MAC", {"alg": "HS256"}, 400, "badSignatureAlgorithm"),
    ("another alg", {"alg": "RS256"}, 400, "badSignatureAlgorithm"),
    ("no nonce", {"nonce": None}, 400, "badNonce"),
    ("an invented nonce", {"nonce": "AAAAAAAAAAAAAAAAAAAAAA"}, 400, "badNonce"),
    ("no url", {"url": None}, 401, "unauthorized"),
    ("another url", {"url": "https://127.0.0.1/new-order"}, 401, "unauthorized"),
    ("neither jwk nor kid", {"kid": None}, 400, "malformed"),
    ("both jwk and kid", {"jwk": {}}, 400, "malformed"),
    ("jwk where kid belongs", {"kid": None, "jwk": {}}, 400, "malformed"),
    ("an unknown kid", {"kid": "https://127.0.0.1/x"}, 400, "accountDoesNotExist"),
]


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [row[1:] for row in HEADERS],
    ids=[row[0] for row in HEADERS],
)
async def test_a_wrong_protected_header_is_refused(
    changes: dict[str, Any], status: int, kind: str
) -> None:
    """RFC 8555 6.2, each with its problem."""
    async with running() as (ca, client):
        await client.register()
        url = client.directory["newOrder"]
        wanted = {"identifiers": [{"type": "dns", "value": "a.example"}]}
        reply = await client.post(url, wanted, **{"url": url, **changes})
        assert (reply.status, reply.problem) == (status, kind)
        assert reply.headers["Replay-Nonce"]
        assert not ca.orders


async def test_kid_is_refused_where_jwk_belongs() -> None:
    """RFC 8555 6.2: newAccount carries a jwk."""
    async with running() as (_, client):
        await client.register()
        reply = await client.post(client.directory["newAccount"], {})
    assert (reply.status, reply.problem) == (400, "malformed")


async def test_a_nonce_is_good_once_and_the_error_brings_the_next() -> None:
    """RFC 8555 6.5: a replay is badNonce, and the nonce that comes with it works."""
    async with running() as (ca, client):
        nonce = await client.nonce()
        url = client.directory["newAccount"]
        first = await client.post(url, {}, nonce=nonce)
        again = await client.post(url, {}, nonce=nonce)
        fresh = again.headers["Replay-Nonce"]
        third = await client.post(url, {}, nonce=fresh)
        ca.forget_nonces()
        late = await client.post(url, {}, nonce=third.headers["Replay-Nonce"])
    assert (first.status, again.problem, third.status) == (201, "badNonce", 200)
    assert late.problem == "badNonce"
    assert ca.log[3].replay_nonce == ca.log[4].nonce == fresh


BODIES: list[tuple[str, bytes, dict[str, str], int]] = [
    ("another media type", b"{}", {"Content-Type": "application/json"}, 415),
    ("no JSON", b"{", JOSE, 400),
    ("an array", b"[]", JOSE, 400),
    ("no body", b"", JOSE, 400),
    ("a compact JWS", b'"e30.e30.AA"', JOSE, 400),
]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [row[1:] for row in BODIES],
    ids=[row[0] for row in BODIES],
)
async def test_a_body_that_is_no_flattened_jws_is_malformed(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    """Whatever it is instead; another media type is 415."""
    async with running() as (_, client):
        url = client.directory["newAccount"]
        reply = await client.plain("POST", url, data=body, headers=headers)
    assert (reply.status, reply.problem) == (status, "malformed")


async def test_a_signature_by_another_key_is_malformed() -> None:
    """The key of the account is what counts."""
    async with running() as (_, client):
        await client.register()
        url = client.directory["newOrder"]
        reply = await client.send(url, jws(new_key(), await client.header(url), {}))
    assert (reply.status, reply.problem) == (400, "malformed")


async def test_post_as_get_is_the_empty_payload_and_nothing_else() -> None:
    """RFC 8555 6.3: an object on a resource that is only read is refused."""
    async with running() as (ca, client):
        await client.register()
        url = (await client.order("a.example")).location
        replies = [await client.post(url, payload) for payload in (None, {}, {"a": 1})]
    assert [reply.status for reply in replies] == [200, 400, 400]
    kinds = [entry.payload_kind for entry in ca.log.of("order")]
    assert kinds == [PayloadKind.POST_AS_GET, PayloadKind.EMPTY, PayloadKind.OBJECT]


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ],
    ids=["EdDSA", "RS256"],
)
async def test_other_kinds_of_account_keys_work(key: PrivateKey) -> None:
    """As far as the CA is configured to take them."""
    async with running(key=key) as (_, client):
        assert (await client.register()).status == 201
    async with running(Config(algorithms=("ES256",)), key) as (_, client):
        reply = await client.register()
    assert reply.problem == "badSignatureAlgorithm"
    assert reply.json["algorithms"] == ["ES256"]


async def test_the_log_tells_the_exact_sequence() -> None:
    """In the order of arrival, with URL, status and problem."""
    async with running() as (ca, client):
        await client.register()
        await client.order("A.example")
    assert ca.log.sequence == [
        "GET directory",
        "HEAD newNonce",
        "POST newAccount",
        "HEAD newNonce",
        "POST newOrder",
    ]
    assert [entry.status for entry in ca.log] == [200, 200, 201, 200, 400]
    assert ca.log[4].problem == "urn:ietf:params:acme:error:malformed"
    assert ca.log[4].url == ca.urls.new_order
    assert (len(ca.log), ca.log.count("newNonce"), ca.answered_orders) == (5, 2, 0)


async def test_a_ca_in_its_own_transport_root_is_not_trusted_by_its_issuing_root() -> (
    None
):
    """TLS and issuing have nothing to do with each other."""
    async with TestCA() as ca:
        assert ca.issuing_root_pem != ca.transport_root_pem
        client = RawClient(ca.directory_url, ca.issuing_root_pem)
        with pytest.raises(OSError, match="certificate verify failed"):
            async with client:
                pass


async def test_padding_in_the_envelope_is_refused_over_the_wire() -> None:
    """RFC 8555 6.1: a value with padding is badly encoded."""
    async with running() as (_, client):
        url = client.directory["newAccount"]
        body = jws(client.key, await client.header(url), {})
        padded = body | {"payload": body["payload"] + "="}
        reply = await client.send(url, padded)
        unprotected = await client.send(url, body | {"header": {}})
        big = json.dumps(body | {"padding": b64(bytes(2_000_000))}).encode()
        large = await client.plain("POST", url, data=io.BytesIO(big), headers=JOSE)
    assert (reply.problem, unprotected.problem) == ("malformed", "malformed")
    assert large.status == 413
