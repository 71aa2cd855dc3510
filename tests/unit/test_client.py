"""The ACME client asks for no more than it must, and signs what it says."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from agent.acme.errors import ProblemError, ProtocolError
from agent.acme.messages import Order
from agent.client import (
    DIRECTORY_LIFE,
    MAX_NONCE_TRIES,
    MAX_NONCES,
    NONCE_LIFE,
    AcmeClient,
    Signer,
)
from agent.transport import TransportError
from tests.fakes.acme import (
    ACCOUNT,
    BASE,
    DIRECTORY,
    SIGNER,
    Ca,
    Ears,
    answer,
    members,
    problem,
    protected,
    sign,
    unpacked,
)
from tests.fakes.clock import FakeClock
from tests.unit.vectors import RFC7515_A3_SPKI


@pytest.fixture
def ca() -> Ca:
    """Return a CA."""
    return Ca()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that a test moves."""
    return FakeClock()


@pytest.fixture
def ears() -> Ears:
    """Return an observer."""
    return Ears()


@pytest.fixture
def client(ca: Ca, clock: FakeClock, ears: Ears) -> AcmeClient:
    """Return a client of that CA."""
    return AcmeClient(
        name="test",
        directory_url=f"{BASE}/directory",
        transport=ca,
        clock=clock,
        observer=ears,
    )


async def post(client: AcmeClient, payload: dict[str, object] | None = None) -> Any:
    """Post to newOrder and return the reply."""
    return await client.post(DIRECTORY["newOrder"], payload, SIGNER, "newOrder")


async def test_a_first_request_costs_a_directory_and_a_nonce(
    ca: Ca, client: AcmeClient
) -> None:
    """Afterwards each answer brings the nonce of the next request."""
    await post(client)
    await post(client)
    assert ca.sequence == ["GET /directory", "HEAD /nonce", *["POST /order"] * 2]
    assert ca.nonces == ["nonce-1", "nonce-2"]


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [(None, b""), ({}, b"{}"), ({"csr": "AA"}, b'{"csr":"AA"}')],
)
async def test_a_request_is_signed_as_it_is_sent(
    ca: Ca, client: AcmeClient, payload: dict[str, object] | None, encoded: bytes
) -> None:
    """No payload is POST-as-GET (6.3): the empty text, and not the empty object."""
    await post(client, payload)
    request = ca.requests[-1]
    jws = members(request)
    assert unpacked(jws["payload"]) == encoded
    signed = f"{jws['protected']}.{jws['payload']}".encode()
    assert unpacked(jws["signature"]) == hashlib.sha256(signed).digest()
    assert protected(request) == {
        "alg": "ES256",
        "kid": ACCOUNT,
        "nonce": "nonce-1",
        "url": DIRECTORY["newOrder"],
    }
    assert request.headers["Content-Type"] == "application/jose+json"


async def test_who_has_no_account_url_signs_with_the_key_itself(
    ca: Ca, client: AcmeClient
) -> None:
    """NewAccount carries `jwk`; `jwk` and `kid` exclude each other (6.2)."""
    signer = Signer(public=RFC7515_A3_SPKI, sign=sign, account_url=None)
    await client.post(DIRECTORY["newAccount"], {}, signer, "newAccount")
    header = protected(ca.requests[-1])
    assert header["jwk"]["kty"] == "EC"
    assert "kid" not in header


async def test_a_refused_nonce_is_replaced_by_that_of_the_refusal(
    ca: Ca, client: AcmeClient
) -> None:
    """The same payload is signed again with the very nonce of the error (6.5)."""
    await post(client)
    ca.replies = [problem("badNonce", nonce="given"), answer(201, {}, "next")]
    assert (await post(client, {"a": 1})).status == 201
    first, second = ca.requests[-2:]
    assert ca.nonces[-2:] == ["nonce-2", "given"]
    assert members(first)["payload"] == members(second)["payload"]
    assert members(first)["signature"] != members(second)["signature"]
    await post(client)
    assert ca.nonces[-1] == "next"


async def test_a_refusal_without_a_nonce_costs_one_more_request(
    ca: Ca, client: AcmeClient
) -> None:
    """A new one is fetched, and the request goes again."""
    ca.replies = [problem("badNonce")]
    await post(client)
    assert ca.sequence[1:] == ["HEAD /nonce", "POST /order"] * 2


async def test_nonces_are_refused_a_bounded_number_of_times(
    ca: Ca, client: AcmeClient
) -> None:
    """A CA that refuses for ever is a broken one, not a loop."""
    ca.replies = [problem("badNonce", nonce=f"n{n}") for n in range(50)]
    with pytest.raises(ProtocolError, match="refused 5 fresh nonces"):
        await post(client)
    assert ca.sequence.count("POST /order") == MAX_NONCE_TRIES


async def test_another_refusal_is_not_repeated(ca: Ca, client: AcmeClient) -> None:
    """Its nonce is kept for the next request."""
    ca.replies = [problem("malformed", nonce="kept")]
    with pytest.raises(ProblemError, match="malformed"):
        await post(client)
    await post(client)
    assert ca.nonces == ["nonce-1", "kept"]


@pytest.mark.parametrize("nonce", ["not base64url!", "a=", "é", "x" * 5000])
async def test_an_invalid_nonce_is_ignored(
    ca: Ca, client: AcmeClient, nonce: str
) -> None:
    """Clients MUST ignore it (6.5.1): the next request fetches one."""
    ca.replies = [answer(200, {}, nonce)]
    await post(client)
    await post(client)
    assert ca.sequence[1:] == ["HEAD /nonce", "POST /order"] * 2


async def test_old_nonces_are_dropped(
    ca: Ca, client: AcmeClient, clock: FakeClock
) -> None:
    """A refused one would cost as much as a new one."""
    await post(client)
    clock.advance(NONCE_LIFE - timedelta(seconds=1))
    await post(client)
    clock.advance(NONCE_LIFE + timedelta(seconds=1))
    await post(client)
    assert ca.sequence[1:].count("HEAD /nonce") == 2


async def test_the_pool_of_nonces_is_bounded(ca: Ca, client: AcmeClient) -> None:
    """However many answers come side by side, few nonces are kept."""
    signers: list[Signer] = []

    async def nested(data: bytes) -> bytes:
        if signers:
            await client.post(DIRECTORY["newOrder"], None, signers.pop(), "newOrder")
        return await sign(data)

    signer = Signer(public=RFC7515_A3_SPKI, sign=nested, account_url=ACCOUNT)
    signers += [signer] * (MAX_NONCES + 9)
    await client.post(DIRECTORY["newOrder"], None, signer, "newOrder")
    begun = len(ca.requests)
    signers += [signer] * (MAX_NONCES + 9)
    await client.post(DIRECTORY["newOrder"], None, signer, "newOrder")
    assert ca.sequence[begun:].count("HEAD /nonce") == 10


async def test_a_lost_answer_costs_its_nonce(ca: Ca, client: AcmeClient) -> None:
    """It may have arrived: the nonce is not used again, and nothing is repeated."""
    ca.replies = [TransportError("no answer from ca.example in time")]
    with pytest.raises(TransportError):
        await post(client)
    await post(client)
    assert ca.nonces == ["nonce-1", "nonce-2"]


async def test_the_directory_is_asked_for_once_a_day(
    ca: Ca, client: AcmeClient, clock: FakeClock
) -> None:
    """Its life is measured by monotonic time."""
    for _ in range(4):
        await client.directory()
        clock.advance(DIRECTORY_LIFE / 2)
    assert ca.sequence == ["GET /directory"] * 2


async def test_a_resource_that_is_gone_makes_the_directory_doubtful(
    ca: Ca, client: AcmeClient
) -> None:
    """After a 404 it is fetched before it is used again."""
    ca.replies = [answer(404, {}, "kept")]
    with pytest.raises(ProblemError, match="status 404"):
        await post(client)
    await client.directory()
    assert ca.sequence[-1] == "GET /directory"
    assert ca.sequence.count("GET /directory") == 2


async def test_a_new_nonce_that_is_gone_makes_the_directory_doubtful(
    ca: Ca, client: AcmeClient
) -> None:
    """A CA that has moved is found again at the next attempt, not the next day."""
    ca.heads = [answer(404)]
    with pytest.raises(ProblemError, match="status 404"):
        await post(client)
    await post(client)
    assert ca.sequence.count("GET /directory") == 2


async def test_a_new_nonce_that_is_refused_says_when_to_come_back(
    ca: Ca, client: AcmeClient, clock: FakeClock
) -> None:
    """Status and Retry-After of the HEAD reach the back-off."""
    ca.heads = [answer(503, b"", retry_after="120")]
    with pytest.raises(ProblemError) as caught:
        await post(client)
    assert caught.value.status == 503
    assert caught.value.retry_at == clock.now() + timedelta(minutes=2)


async def test_an_answer_without_a_nonce_is_a_broken_ca(
    ca: Ca, client: AcmeClient
) -> None:
    """A success of newNonce without its header is no success."""
    ca.heads = [answer(204, b"")]
    with pytest.raises(ProtocolError, match="no usable nonce"):
        await post(client)


async def test_a_problem_keeps_what_the_ca_said(
    ca: Ca, client: AcmeClient, clock: FakeClock
) -> None:
    """Type, status, URL and Retry-After are data; the words are one clause."""
    ca.replies = [problem("rateLimited", 429, retry_after="90")]
    with pytest.raises(ProblemError) as caught:
        await post(client)
    error = caught.value
    assert (error.problem.token, error.status) == ("rateLimited", 429)
    assert error.url == DIRECTORY["newOrder"]
    assert error.retry_at == clock.now() + timedelta(seconds=90)
    assert str(error) == (
        "the ca refused: rateLimited: by the script (http status 429)"
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"\xff\x00", b"[]", b'{"type": 7}']
)
async def test_an_error_without_a_document_keeps_its_status(
    ca: Ca, client: AcmeClient, body: bytes
) -> None:
    """A proxy in between never becomes a decoding error."""
    ca.replies = [answer(502, body)]
    with pytest.raises(ProblemError, match="status 502") as caught:
        await post(client)
    assert caught.value.status == 502
    assert caught.value.problem.token == "about:blank"


async def test_a_page_of_something_in_between_is_no_success(
    ca: Ca, client: AcmeClient
) -> None:
    """A portal says yes to anything; a CA that only mislabels its JSON is heard."""
    page = b"<html><body>welcome</body></html>"
    ca.replies = [
        answer(200, page, content_type="text/html; charset=utf-8"),
        answer(200, b"{}", content_type="text/html"),
    ]
    with pytest.raises(ProtocolError, match="html"):
        await post(client)
    assert (await post(client)).body == b"{}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_refusal(ca: Ca, client: AcmeClient, status: int) -> None:
    """Nothing is sent to where it points."""
    ca.replies = [answer(status, b"", location="https://evil.example/")]
    with pytest.raises(ProblemError, match=f"status {status}"):
        await post(client)
    assert all(request.url.startswith(BASE) for request in ca.requests)


async def test_a_reply_has_what_its_reader_needs(
    ca: Ca, client: AcmeClient, clock: FakeClock
) -> None:
    """Location byte for byte, media type without parameters, Retry-After as instant."""
    order = {"status": "ready", "finalize": f"{BASE}/f"}
    ca.replies = [
        answer(
            201,
            order,
            "n",
            location=f"{BASE}/Order/%41?x",
            content_type="Application/JSON; charset=utf-8",
            retry_after="5",
        )
    ]
    reply = await post(client)
    assert reply.location == f"{BASE}/Order/%41?x"
    assert reply.content_type == "application/json"
    assert reply.retry_at == clock.now() + timedelta(seconds=5)
    assert reply.read(Order, "order").status == "ready"


async def test_a_body_of_another_kind_names_what_was_expected(
    ca: Ca, client: AcmeClient
) -> None:
    """The member at fault stands in the clause."""
    ca.replies = [answer(200, {"status": 7}, "n")]
    with pytest.raises(ProtocolError, match="unusable order"):
        (await post(client)).read(Order, "order")


@pytest.mark.parametrize("kind", ["", "text/html", "application/json"])
async def test_a_certificate_comes_as_what_it_is(
    ca: Ca, client: AcmeClient, kind: str
) -> None:
    """Another media type is refused, and named (7.4.2)."""
    ca.replies = [answer(200, b"PEM", "n", content_type=kind)]
    with pytest.raises(ProtocolError, match=f"as {kind or 'nothing'}"):
        await client.download(f"{BASE}/cert/1", SIGNER)


async def test_a_certificate_is_fetched_by_post_as_get(
    ca: Ca, client: AcmeClient
) -> None:
    """The octets come back as they were."""
    pem = answer(200, b"PEM", "n", content_type="application/pem-certificate-chain")
    ca.replies = [pem]
    reply = await client.download(f"{BASE}/cert/1", SIGNER)
    assert (reply.body, reply.alternates) == (b"PEM", ())
    assert members(ca.requests[-1])["payload"] == ""


async def test_every_request_is_observed(
    ca: Ca, client: AcmeClient, ears: Ears
) -> None:
    """Also one that no answer came to, with status 0."""
    ca.replies = [
        problem("badNonce", nonce="a"),
        TransportError("no answer from ca.example in time"),
    ]
    with pytest.raises(TransportError):
        await post(client)
    assert ears.heard == [
        ("test", "directory", 200),
        ("test", "newNonce", 200),
        ("test", "newOrder", 400),
        ("test", "newOrder", 0),
    ]


async def test_rest_reaches_the_transport(ca: Ca, client: AcmeClient) -> None:
    """An idle daemon keeps no connection."""
    await client.rest()
    assert ca.rested == 1
