"""Short-term, automatically renewed certificates of the test CA (RFC 8739)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from cryptography import x509

from tests.ca import (
    Authorizations,
    AutoRenewal,
    Config,
    Fault,
    Problem,
    TestCA,
    actions,
    star_actions,
)
from tests.ca.faults import Action
from tests.ca.harness import Hands, running
from tests.ca.raw_client import Members, RawClient, Reply, b64, csr_for, new_key

NAME = "a.example"
START = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ASKED: Members = {
    "end-date": "2030-12-31T00:00:00Z",
    "lifetime": 4 * 86400,
    "lifetime-adjust": 3 * 86400,
    "allow-certificate-get": True,
}


def speaking(star: AutoRenewal | None = None, now: Hands | None = None) -> Config:
    """Return a CA that speaks STAR, whose orders have nothing to prove."""
    return Config(
        authorizations=Authorizations.NONE,
        auto_renewal=star or AutoRenewal(),
        now=now or Hands(),
    )


@asynccontextmanager
async def series(
    star: AutoRenewal | None = None, changes: Members | None = None
) -> AsyncIterator[tuple[TestCA, RawClient, Hands, Members]]:
    """Run a CA with one STAR order that is finalized, and give its object."""
    hands = Hands()
    async with running(speaking(star, hands)) as (ca, client):
        await client.register()
        asked = {k: v for k, v in (ASKED | (changes or {})).items() if v is not None}
        reply = await client.order(NAME, **{"auto-renewal": asked})
        done = await client.finalize(reply.json, csr_for(new_key(), NAME))
        yield ca, client, hands, {**done.json, "url": reply.location}


def leaf_of(reply: Reply) -> x509.Certificate:
    """Return the first certificate of a chain."""
    assert reply.status == 200, reply.body
    assert reply.headers["Content-Type"] == "application/pem-certificate-chain"
    return x509.load_pem_x509_certificates(reply.body)[0]


def span(leaf: x509.Certificate) -> tuple[datetime, datetime]:
    """Return when a certificate is valid."""
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc


async def test_a_series_is_advertised_agreed_and_fetched() -> None:
    """The order shows `star-certificate`, the answer when its certificate is valid."""
    async with series() as (ca, client, _, order):
        assert client.directory["meta"]["auto-renewal"] == {
            "min-lifetime": 3600,
            "max-duration": 366 * 86400,
            "allow-certificate-get": True,
        }
        reply = await client.post(order["star-certificate"])
        leaf = leaf_of(reply)
        assert len(ca.series) == 1
    assert order["status"] == "valid"
    assert "certificate" not in order
    agreed = order["auto-renewal"]
    assert datetime.fromisoformat(agreed.pop("end-date")) == START + 364 * DAY
    assert agreed == {k: v for k, v in ASKED.items() if k != "end-date"}
    assert span(leaf) == (START, START + 4 * DAY)
    dated = [
        parsedate_to_datetime(reply.headers[name])
        for name in ("Cert-Not-Before", "Cert-Not-After")
    ]
    assert dated == [*span(leaf)]


async def test_one_certificate_follows_another_for_the_same_key() -> None:
    """A year passes; only what is looked at was ever signed."""
    async with series() as (ca, client, hands, order):
        url = order["star-certificate"]
        first = leaf_of(await client.post(url))
        assert leaf_of(await client.post(url)) == first
        hands.move(2 * DAY)
        second = leaf_of(await client.post(url))
        hands.move(361 * DAY)
        last = leaf_of(await client.post(url))
        signed = len(ca.certificates)
        hands.move(DAY)
        over = await client.post(url)
        state = (await client.post(order["url"])).json["status"]
    assert span(second) == (START + DAY, START + 8 * DAY)
    assert span(last)[1] == START + 364 * DAY
    assert first.public_key() == second.public_key() == last.public_key()
    assert len({c.serial_number for c in (first, second, last)}) == signed == 3
    assert (over.status, over.problem) == (403, "autoRenewalExpired")
    assert state == "valid"


async def test_a_start_in_the_future_dates_the_first_certificate() -> None:
    """It is issued at once, and valid from the date that was asked for."""
    async with series(changes={"start-date": "2030-02-01T00:00:00+00:00"}) as (
        _,
        client,
        _,
        order,
    ):
        leaf = leaf_of(await client.post(order["star-certificate"]))
    starts = datetime(2030, 2, 1, tzinfo=UTC)
    assert span(leaf) == (starts, starts + 4 * DAY)
    assert datetime.fromisoformat(order["auto-renewal"]["start-date"]) == starts


WRONG: dict[str, Members] = {
    "no end": {"end-date": None},
    "an end without an offset": {"end-date": "2030-12-31T00:00:00"},
    "an end that is no date": {"end-date": "soon"},
    "an end that is over": {"end-date": "2029-12-31T00:00:00Z"},
    "an end before the start": {
        "start-date": "2030-03-02T00:00:00Z",
        "end-date": "2030-03-01T00:00:00Z",
    },
    "too long a series": {"end-date": "2031-06-01T00:00:00Z"},
    "no lifetime": {"lifetime": None},
    "no life at all": {"lifetime": 0},
    "too short a life": {"lifetime": 3599},
    "too long a life": {"lifetime": 366 * 86400 + 1},
    "a life beyond time": {"lifetime": 10**30},
    "half a second": {"lifetime": 7200.5},
    "a life in words": {"lifetime": "7200"},
    "a life that is true": {"lifetime": True},
    "a negative adjustment": {"lifetime-adjust": -1},
    "permission in words": {"allow-certificate-get": "yes"},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
async def test_what_cannot_be_agreed_is_malformed(changes: Members) -> None:
    """And no order comes of it."""
    asked = {k: v for k, v in (ASKED | changes).items() if v is not None}
    async with running(speaking()) as (ca, client):
        await client.register()
        reply = await client.order(NAME, **{"auto-renewal": asked})
        assert not ca.orders
    assert (reply.status, reply.problem) == (400, "malformed")


@pytest.mark.parametrize("more", ["notBefore", "notAfter"])
async def test_dates_of_a_usual_order_do_not_go_with_it(more: str) -> None:
    """RFC 8739 3.1.1, even where the CA takes them otherwise."""
    config = replace(speaking(), validity_dates=True)
    async with running(config) as (_, client):
        await client.register()
        dated = {"auto-renewal": ASKED, more: "2030-01-02T00:00:00Z"}
        reply = await client.order(NAME, **dated)
        strange = await client.order(NAME, **{"auto-renewal": "yes"})
    assert (reply.status, reply.problem) == (400, "malformed")
    assert (strange.status, strange.problem) == (400, "malformed")


async def test_the_ca_may_change_what_was_asked_for() -> None:
    """The order shows what it made of it, and the certificates are so."""
    star = AutoRenewal(longest=2 * DAY, latest=30 * DAY, grants_get=False)
    async with series(star) as (_, client, hands, order):
        url = order["star-certificate"]
        leaf = leaf_of(await client.post(url))
        plain = await client.plain("GET", url)
        hands.move(30 * DAY)
        over = await client.post(url)
    agreed = order["auto-renewal"]
    assert agreed["lifetime"] == 2 * 86400
    assert datetime.fromisoformat(agreed["end-date"]) == START + 30 * DAY
    assert agreed["allow-certificate-get"] is False
    assert span(leaf) == (START, START + 2 * DAY)
    assert (plain.status, plain.problem) == (405, "malformed")
    assert over.problem == "autoRenewalExpired"


@pytest.mark.parametrize(
    ("star", "told"),
    [
        (None, False),
        (AutoRenewal(ignored=True), True),
        (AutoRenewal(ignored=True, advertised=False), False),
    ],
    ids=["does not know it", "advertises and ignores it", "ignores it"],
)
async def test_a_ca_may_take_the_order_as_a_usual_one(
    star: AutoRenewal | None, *, told: bool
) -> None:
    """Nothing is echoed, and one certificate comes of it."""
    config = replace(speaking(), auto_renewal=star)
    async with running(config) as (ca, client):
        await client.register()
        reply = await client.order(NAME, **{"auto-renewal": ASKED})
        done = (await client.finalize(reply.json, csr_for(new_key(), NAME))).json
        assert ("auto-renewal" in client.directory.get("meta", {})) is told
        assert not ca.series
    assert reply.status == 201
    assert "auto-renewal" not in reply.json
    assert "certificate" in done
    assert "star-certificate" not in done


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_anybody_may_get_where_it_was_agreed(method: str) -> None:
    """HEAD has the dates and no body."""
    async with series() as (_, client, _, order):
        reply = await client.plain(method, order["star-certificate"])
        posted = await client.post(order["star-certificate"])
    assert reply.status == 200
    assert reply.body == (posted.body if method == "GET" else b"")
    assert reply.headers["Cert-Not-After"] == posted.headers["Cert-Not-After"]


@pytest.mark.parametrize("asked", [None, False])
async def test_nobody_may_get_where_it_was_not_asked_for(asked: object) -> None:
    """RFC 8555 6.3 then holds as for every resource."""
    async with series(changes={"allow-certificate-get": asked}) as (
        _,
        client,
        _,
        order,
    ):
        reply = await client.plain("GET", order["star-certificate"])
    assert (reply.status, reply.problem) == (405, "malformed")
    assert order["auto-renewal"].get("allow-certificate-get") is asked


async def test_only_the_account_of_the_order_fetches_and_cancels() -> None:
    """By a signed request; and only read where nothing is canceled."""
    async with series() as (ca, client, _, order):
        url = order["star-certificate"]
        async with RawClient(ca.directory_url, ca.transport_root_pem) as stranger:
            await stranger.register()
            fetched = await stranger.post(url)
            stopped = await stranger.post(order["url"], {"status": "canceled"})
        odd = await client.post(order["url"], {"status": "cancelled"})
        written = await client.post(url, {})
        nothing = await client.post(ca.urls.star("nothing"))
    assert (fetched.status, fetched.problem) == (403, "unauthorized")
    assert (stopped.status, stopped.problem) == (403, "unauthorized")
    assert (odd.status, odd.problem) == (400, "malformed")
    assert (written.status, written.problem) == (400, "malformed")
    assert (nothing.status, nothing.problem) == (404, "malformed")


async def test_a_canceled_order_gives_no_more_certificates() -> None:
    """RFC 8739 3.1.2: once, and it stays so; it has a new end."""
    async with series() as (_, client, hands, order):
        hands.move(DAY)
        done = await client.post(order["url"], {"status": "canceled"})
        posted = await client.post(order["star-certificate"])
        plain = await client.plain("GET", order["star-certificate"])
        again = await client.post(order["url"], {"status": "canceled"})
        later = (await client.post(order["url"])).json
    assert (done.status, done.json["status"]) == (200, "canceled")
    assert done.json["expires"] == "2030-01-09T00:00:00Z" != order["expires"]
    assert "star-certificate" not in done.json
    assert (posted.status, posted.problem) == (403, "autoRenewalCanceled")
    assert (plain.status, plain.problem) == (403, "autoRenewalCanceled")
    assert (again.status, again.problem) == (400, "autoRenewalCancellationInvalid")
    assert later["status"] == "canceled"


async def test_what_is_not_valid_or_no_series_cannot_be_canceled() -> None:
    """The first with the error of the RFC, the second as any payload there."""
    async with running(speaking()) as (_, client):
        await client.register()
        early = await client.order(NAME, **{"auto-renewal": ASKED})
        usual = await client.order(NAME)
        replies = [
            await client.post(order.location, {"status": "canceled"})
            for order in (early, usual)
        ]
    assert [r.status for r in replies] == [400, 400]
    assert [r.problem for r in replies] == [
        "autoRenewalCancellationInvalid",
        "malformed",
    ]


async def test_certificates_of_a_series_are_not_revoked() -> None:
    """Those of usual orders are, at the same CA."""
    async with series() as (ca, client, _, order):
        usual = (await client.order(NAME)).json
        await client.finalize(usual, csr_for(new_key(), NAME))
        revoke, replies = client.directory["revokeCert"], []
        for issued in ca.certificates:
            payload = {"certificate": b64(issued.der)}
            replies.append(await client.post(revoke, payload))
        still = await client.post(order["star-certificate"])
        assert len(ca.revoked) == 1
    assert (replies[0].status, replies[0].problem) == (
        403,
        "autoRenewalRevocationNotSupported",
    )
    assert (replies[1].status, still.status) == (200, 200)


async def test_an_order_that_is_processing_has_no_certificate_yet() -> None:
    """It opens at the URL when the order is valid."""
    config = replace(speaking(), order_polls=1)
    async with running(config) as (ca, client):
        await client.register()
        reply = await client.order(NAME, **{"auto-renewal": ASKED})
        done = (await client.finalize(reply.json, csr_for(new_key(), NAME))).json
        early = await client.post(ca.urls.star(ca.orders[0].certificate))
        await client.post(reply.location)
        valid = (await client.post(reply.location)).json
        fetched = await client.post(valid["star-certificate"])
    assert (done["status"], early.status) == ("processing", 404)
    assert "star-certificate" not in done
    assert fetched.status == 200


async def struck(action: Action, after: timedelta) -> tuple[Reply, Reply]:
    """Fetch once with a fault and once without, some time after the beginning."""
    async with series() as (ca, client, hands, order):
        hands.move(after)
        ca.faults.add(Fault(resource="starCertificate", action=action))
        url = order["star-certificate"]
        return await client.plain("GET", url), await client.plain("GET", url)


async def test_a_fetch_can_fail_as_any_request() -> None:
    """The next one is answered."""
    problem = Problem(type="serverInternal", detail="by the script")
    failed, good = await struck(actions.Refuse(problem=problem), DAY)
    assert (failed.status, good.status) == (500, 200)


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        (star_actions.PublishLate(by=DAY), (START, START + 4 * DAY)),
        (star_actions.PublishLate(by=400 * DAY), (START, START + 4 * DAY)),
        (star_actions.EarlierCertificate(), (START, START + 4 * DAY)),
        (star_actions.EarlierCertificate(back=9), (START, START + 4 * DAY)),
    ],
    ids=repr,
)
async def test_a_certificate_can_come_late_or_be_an_old_one(
    action: Action, shown: Any
) -> None:
    """While the one that should be there is another."""
    late, good = await struck(action, 2 * DAY)
    assert span(leaf_of(late)) == shown
    assert span(leaf_of(good)) == (START + DAY, START + 8 * DAY)


async def test_headers_can_disagree_with_the_certificate() -> None:
    """The certificate is the right one."""
    wrong, good = await struck(star_actions.WrongCertDates(offset=DAY), DAY)
    assert leaf_of(wrong) == leaf_of(good)
    told = parsedate_to_datetime(wrong.headers["Cert-Not-After"])
    assert told == leaf_of(wrong).not_valid_after_utc + DAY
    begins = parsedate_to_datetime(wrong.headers["Cert-Not-Before"])
    assert begins == leaf_of(wrong).not_valid_before_utc + DAY


async def test_a_series_can_show_a_certificate_for_another_key() -> None:
    """The faults of chains strike here too."""
    other, good = await struck(actions.ChainForAnotherKey(), DAY)
    assert leaf_of(other).public_key() != leaf_of(good).public_key()
