"""Renewal information of the test CA, and what replaces what (RFC 9773)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tests.ca import Authorizations, Config, Suggestion, TestCA
from tests.ca.harness import Hands, running
from tests.ca.raw_client import RawClient, csr_for, new_key
from tests.ca.renewal import name_of

BASE = Config(authorizations=Authorizations.NONE, renewal_info=True)


@asynccontextmanager
async def issued(config: Config = BASE) -> AsyncIterator[tuple[TestCA, RawClient, str]]:
    """Run a CA that has issued one certificate, and give its name."""
    async with running(config) as (ca, client):
        await client.register()
        order = (await client.order("a.example")).json
        await client.finalize(order, csr_for(new_key(), "a.example"))
        yield ca, client, name_of(ca.certificates[0].leaf)


async def test_anybody_may_ask_without_a_signature() -> None:
    """By GET; the window lies in the last third of the life, seconds say when next."""
    async with issued() as (ca, client, name):
        base = client.directory["renewalInfo"]
        reply = await client.plain("GET", f"{base}/{name}")
        posted = await client.post(f"{base}/{name}")
        leaf = ca.certificates[0].leaf
    window = reply.json["suggestedWindow"]
    start, end = (datetime.fromisoformat(window[k]) for k in ("start", "end"))
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert start == leaf.not_valid_before_utc + life * 2 / 3
    assert start < end < leaf.not_valid_after_utc
    assert reply.headers["Retry-After"] == "21600"
    assert posted.status == 404


async def test_a_script_says_what_is_suggested() -> None:
    """The window, the page that explains it, and the next question as a date."""
    hands = Hands()
    config = Config(
        authorizations=Authorizations.NONE,
        renewal_info=True,
        ask_again=timedelta(hours=2),
        now=hands,
    )
    start = datetime(2030, 2, 1, tzinfo=UTC)
    async with issued(config) as (ca, client, name):
        url = "https://ca.example/why"
        told = Suggestion(start=start, end=start - timedelta(days=1), explanation=url)
        ca.suggest(ca.certificates[0], told)
        reply = await client.plain("GET", f"{client.directory['renewalInfo']}/{name}")
    assert reply.json == {
        "suggestedWindow": {
            "start": "2030-02-01T00:00:00+00:00",
            "end": "2030-01-31T00:00:00+00:00",
        },
        "explanationURL": url,
    }
    asked = parsedate_to_datetime(reply.headers["Retry-After"])
    assert asked == hands() + timedelta(hours=2)


async def test_unknown_names_and_a_ca_without_it_are_404() -> None:
    """A name that cannot be one is told apart."""
    async with issued() as (_, client, name):
        base = client.directory["renewalInfo"]
        strange = await client.plain("GET", f"{base}/a.b")
        padded = await client.plain("GET", f"{base}/{name}==")
    async with running(Config()) as (ca, client):
        assert "renewalInfo" not in client.directory
        without = await client.plain("GET", f"{ca.urls.renewal_info}/a.b")
    assert (strange.status, without.status) == (404, 404)
    assert (padded.status, padded.problem) == (400, "malformed")


async def test_one_order_alive_replaces_a_certificate() -> None:
    """It is echoed; the second one is 409; an invalid one gives the place back."""
    async with issued() as (ca, client, name):
        first = await client.order("a.example", replaces=name)
        second = await client.order("a.example", replaces=name)
        ca.orders[-1].status = "invalid"
        third = await client.order("a.example", replaces=name)
    assert (first.status, first.json["replaces"]) == (201, name)
    assert (second.status, second.problem) == (409, "alreadyReplaced")
    assert third.status == 201


async def test_who_may_replace_is_checked() -> None:
    """The account that ordered it, for one of its names, by a name that is one."""
    async with issued() as (ca, client, name):
        answers = [
            await client.order("b.example", replaces=name),
            await client.order("a.example", replaces="nothing"),
            await client.order("a.example", replaces=7),
        ]
        async with RawClient(ca.directory_url, ca.transport_root_pem) as stranger:
            await stranger.register()
            other = await stranger.order("a.example", replaces=name)
    assert [a.problem for a in answers] == ["malformed"] * 3
    assert (other.status, other.problem) == (403, "unauthorized")


async def test_a_ca_that_does_not_offer_it_ignores_and_does_not_echo() -> None:
    """As real ones do."""
    async with running(Config(authorizations=Authorizations.NONE)) as (_, client):
        await client.register()
        reply = await client.order("a.example", replaces="a.b")
    assert reply.status == 201
    assert "replaces" not in reply.json
