"""Each fault of the test CA does what it says, when its line says so."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from tests.ca import Authorizations, Config, Fault, Problem, TestCA, actions
from tests.ca.faults import Action
from tests.ca.harness import running
from tests.ca.raw_client import RawClient, Reply

READY = Config(authorizations=Authorizations.NONE)
NAME = "a.example"


async def order_once(action: Action) -> tuple[TestCA, Reply]:
    """Strike a newOrder, and return its answer with the CA."""
    async with running(READY) as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource="newOrder", action=action))
        reply = await client.order(NAME)
        # The script is at its end: the next order is answered as usual.
        assert (await client.order(NAME)).status == 201
        return ca, reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault, what a client sees of it, and whether the CA did its work."""

    action: Action
    sees: Callable[[Reply], bool]
    orders: int


SOON = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
CAA = Problem(type="caa", detail="no", members={"instance": "https://ca.example/why"})
ROWS: dict[str, Row] = {
    "another media type": Row(
        action=actions.ContentType("text/plain"),
        sees=lambda r: r.status == 201 and r.headers["Content-Type"] == "text/plain",
        orders=2,
    ),
    "HTML": Row(
        action=actions.Html(503),
        sees=lambda r: (
            r.status == 503
            and r.headers["Content-Type"] == "text/html"
            and r.body.startswith(b"<html>")
            and "Replay-Nonce" not in r.headers
        ),
        orders=1,
    ),
    "a problem": Row(
        action=actions.Refuse(problem=CAA, headers=(("X-Why", "x"),)),
        sees=lambda r: (
            (r.status, r.problem, r.headers["X-Why"]) == (403, "caa", "x")
            and r.json["instance"] == "https://ca.example/why"
            and r.headers["Content-Type"] == "application/problem+json"
            and "Replay-Nonce" in r.headers
        ),
        orders=1,
    ),
    "a server error": Row(
        action=actions.Refuse(problem=Problem(type="about:blank", status=500)),
        sees=lambda r: r.status == 500 and r.json["type"] == "about:blank",
        orders=1,
    ),
    "a rate limit in seconds": Row(
        action=actions.rate_limited(90),
        sees=lambda r: (
            (r.status, r.problem, r.headers["Retry-After"])
            == (429, "rateLimited", "90")
        ),
        orders=1,
    ),
    "a rate limit until a date": Row(
        action=actions.rate_limited(SOON),
        sees=lambda r: r.headers["Retry-After"] == "Tue, 06 May 2031 07:08:09 GMT",
        orders=1,
    ),
    "a rate limit without a word": Row(
        action=actions.rate_limited(None),
        sees=lambda r: r.status == 429 and "Retry-After" not in r.headers,
        orders=1,
    ),
    "a redirect": Row(
        action=actions.Redirect("https://evil.example/"),
        sees=lambda r: (r.status, r.location) == (307, "https://evil.example/"),
        orders=1,
    ),
    "no Location": Row(
        action=actions.WithoutHeader("Location"),
        sees=lambda r: r.status == 201 and "Location" not in r.headers,
        orders=2,
    ),
    "no Replay-Nonce": Row(
        action=actions.WithoutHeader("Replay-Nonce"),
        sees=lambda r: r.status == 201 and "Replay-Nonce" not in r.headers,
        orders=2,
    ),
    "a wrong Replay-Nonce": Row(
        action=actions.WithHeader("Replay-Nonce", "not base64url!"),
        sees=lambda r: r.headers.getall("Replay-Nonce") == ["not base64url!"],
        orders=2,
    ),
    "another body": Row(
        action=actions.Body(b"[1]"), sees=lambda r: r.body == b"[1]", orders=2
    ),
    "a huge body": Row(
        action=actions.Huge(),
        sees=lambda r: len(r.body) > 10 * 1024 * 1024,
        orders=2,
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_a_struck_answer_looks_as_the_table_says(row: Row) -> None:
    """And the CA has done, or has not done, what it was asked."""
    ca, reply = await order_once(row.action)
    assert row.sees(reply)
    assert len(ca.orders) == row.orders
    assert ca.log.of("newOrder")[0].faults == (type(row.action).__name__,)


@pytest.mark.parametrize(
    ("action", "orders"), [(actions.DropBefore(), 0), (actions.DropAfter(), 1)]
)
async def test_a_dropped_connection_loses_the_request_or_only_the_answer(
    action: Action, orders: int
) -> None:
    """The order exists only when the answer alone was lost; the log says 0."""
    async with running(READY) as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource="newOrder", action=action))
        with pytest.raises(aiohttp.ClientError):
            await client.order(NAME)
        assert len(ca.orders) == orders
        assert ca.log.of("newOrder")[0].status == 0
        assert ca.answered_orders == 0


async def test_a_truncated_body_ends_before_its_length() -> None:
    """The client can tell, and the order exists."""
    async with running(READY) as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource="newOrder", action=actions.Truncate(keep=10)))
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.order(NAME)
        assert len(ca.orders) == 1


async def test_a_client_that_does_not_read_a_huge_body_does_no_harm() -> None:
    """It closes, and the CA goes on."""
    async with running(READY) as (ca, client):
        ca.faults.add(Fault(resource="directory", action=actions.Huge(1 << 30)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.plain("GET", client.directory_url)
        assert (await client.plain("GET", client.directory_url)).status == 200


async def test_a_delay_delays_and_is_bounded() -> None:
    """Real seconds, thirty at most."""
    async with running() as (ca, client):
        ca.faults.add(Fault(resource="newNonce", action=actions.Delay(0.2)))
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await client.nonce()
        assert 0.2 <= loop.time() - begin < 5
    with pytest.raises(ValueError, match="at most 30"):
        actions.Delay(31)


async def test_a_closing_ca_ends_its_delays() -> None:
    """Leaving the context does not wait for them."""
    loop = asyncio.get_running_loop()
    async with running() as (ca, client), asyncio.TaskGroup() as group:
        ca.faults.add(Fault(resource="newNonce", action=actions.Delay(30)))
        task = group.create_task(client.plain("HEAD", ca.urls.new_nonce))
        async with asyncio.timeout(5):
            while not ca.log.of("newNonce"):
                await asyncio.sleep(0.01)
        begin = loop.time()
        await ca.__aexit__(None, None, None)
        assert (await task).status == 200
    assert loop.time() - begin < 5


async def test_a_bad_nonce_costs_the_nonce_and_brings_a_fresh_one() -> None:
    """The same JWS again is a replay; with the nonce of the error it works."""
    async with running() as (ca, client):
        ca.faults.add(Fault(resource="newAccount", action=actions.bad_nonce()))
        url, nonce = client.directory["newAccount"], await client.nonce()
        first = await client.post(url, {}, nonce=nonce)
        replay = await client.post(url, {}, nonce=nonce)
        good = await client.post(url, {}, nonce=first.headers["Replay-Nonce"])
    assert (first.status, first.problem) == (400, "badNonce")
    assert replay.problem == "badNonce"
    assert good.status == 201


async def test_a_wrong_date_is_off_by_its_offset() -> None:
    """From the time of the CA, not of the host."""
    config = Config(now=lambda: SOON)
    async with running(config) as (ca, client):
        offset = timedelta(hours=-3)
        ca.faults.add(Fault(resource="newNonce", action=actions.WrongDate(offset)))
        url = client.directory["newNonce"]
        dates = [(await client.plain("HEAD", url)).headers["Date"] for _ in range(2)]
    assert [parsedate_to_datetime(date) for date in dates] == [SOON + offset, SOON]


LINES: list[tuple[dict[str, int | None], str]] = [
    ({}, "x......."),
    ({"nth": 3}, "..x....."),
    ({"times": 3}, "xxx....."),
    ({"nth": 2, "times": 2}, ".xx....."),
    ({"times": None}, "xxxxxxxx"),
    ({"every": 2, "times": None}, "x.x.x.x."),
    ({"nth": 2, "every": 3, "times": 2}, ".x..x..."),
]


@pytest.mark.parametrize(("line", "pattern"), LINES)
async def test_a_line_strikes_the_requests_it_counts(
    line: dict[str, int | None], pattern: str
) -> None:
    """nth, every and times, over eight requests."""
    async with running() as (ca, client):
        armed = ca.faults.add(
            Fault(resource="newNonce", action=actions.Html(500), **line)  # type: ignore[arg-type]  # a table of three integers
        )
        url = client.directory["newNonce"]
        seen = [(await client.plain("HEAD", url)).status for _ in pattern]
    assert "".join("x" if status == 500 else "." for status in seen) == pattern
    assert (armed.seen, armed.struck) == (len(pattern), pattern.count("x"))


async def test_lines_match_method_and_any_resource_and_can_be_taken_out() -> None:
    """None matches all; two lines act together."""
    async with running() as (ca, client):
        url = client.directory["newNonce"]
        get_only = Fault(
            resource=None, method="GET", action=actions.WithHeader("X", "1"), times=None
        )
        armed = ca.faults.add(get_only)
        ca.faults.add(Fault(resource="directory", action=actions.Html(500)))
        head = await client.plain("HEAD", url)
        get = await client.plain("GET", url)
        both = await client.plain("GET", client.directory_url)
        ca.faults.remove(armed)
        plain = await client.plain("GET", url)
        ca.faults.clear()
    assert ("X" in head.headers, get.headers["X"]) == (False, "1")
    assert (both.status, both.headers["X"]) == (500, "1")
    assert "X" not in plain.headers


@pytest.mark.parametrize(
    "line",
    [{"resource": "newCert"}, {"nth": 0}, {"every": 0}, {"times": 0}],
)
def test_a_line_that_could_never_strike_is_refused(line: dict[str, object]) -> None:
    """A script with a slip must not pass as a test without faults."""
    with pytest.raises(ValueError, match=r"no resource|count from 1"):
        Fault(**{"resource": None, "action": actions.DropBefore(), **line})  # type: ignore[arg-type]  # wrong on purpose


STEPS: dict[str, Callable[[RawClient], Awaitable[Reply]]] = {
    "directory": lambda c: c.plain("GET", c.directory_url),
    "newNonce": lambda c: c.plain("HEAD", c.directory["newNonce"]),
    "newAccount": lambda c: c.post(c.directory["newAccount"], {}),
    "account": lambda c: c.post(c.kid),
    "orders": lambda c: c.post(c.kid + "/orders"),
    "newOrder": lambda c: c.order(NAME),
    "order": lambda c: c.post(c.directory["newOrder"].replace("new-order", "order/x")),
    "finalize": lambda c: c.post(c.kid.replace("account", "order") + "/finalize"),
    "authz": lambda c: c.post(c.kid.replace("account", "authz")),
    "challenge": lambda c: c.post(c.kid.replace("account", "challenge")),
    "certificate": lambda c: c.post(c.kid.replace("account", "certificate")),
    "revokeCert": lambda c: c.post(c.directory["revokeCert"], {}),
    "keyChange": lambda c: c.post(c.directory["keyChange"], {}),
}


@pytest.mark.parametrize("resource", STEPS)
async def test_every_resource_can_be_struck_by_its_name(resource: str) -> None:
    """The thirteen names of the script, and the log uses the same."""
    async with running() as (ca, client):
        await client.register()
        ca.faults.add(Fault(resource=resource, action=actions.Html(599)))
        reply = await STEPS[resource](client)
    assert reply.status == 599
    assert ca.log[-1].resource == resource
