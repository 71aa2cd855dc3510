"""The effects of an order, against a CA that speaks real HTTP over TLS."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.acme.errors import (
    ChallengeUnavailableError,
    KeyReuseError,
    OrderMismatchError,
    ProblemError,
    ProtocolError,
)
from agent.jobs.issue import effects
from agent.pki.chain import ChainError
from agent.procedures.issue import MAX_LISTED
from agent.records.phases import AuthorizationRecord
from agent.transport import TransportError
from tests.ca import Fault, actions
from tests.fakes.desk import NAMES, WEB, Desk, answered, desk, order_record, wish


async def test_an_order_from_its_key_to_its_chain(tmp_path: Path) -> None:
    """Each effect by itself; what is downloaded has been checked."""
    async with desk(tmp_path) as place:
        made = await place.perform(effects.MakeKey("k"))
        assert made == effects.KeyExists(place.ordering.key.public, "")
        order = order_record(await place.create())
        await place.prove(order)
        seen = await place.perform(effects.Finalize("k", order))
        assert isinstance(seen, effects.OrderSeen)
        assert (seen.url, seen.order.status) == (order.url, "valid")
        assert seen.order.certificate is not None
        done = await place.perform(effects.Download("k", seen.order.certificate))
    assert isinstance(done, effects.Downloaded)
    assert done.chain.names == NAMES
    assert done.chain.pem.count("BEGIN CERTIFICATE") == 2


async def test_an_order_is_looked_at_again(tmp_path: Path) -> None:
    """POST-as-GET of its URL shows its state and the CA's Retry-After."""
    async with desk(tmp_path, order_polls=2, retry_after=3) as place:
        order = order_record(await place.create())
        await place.prove(order)
        await place.perform(effects.Finalize("k", order))
        seen = await place.perform(effects.FetchOrder(order))
    assert isinstance(seen, effects.OrderSeen)
    assert seen.order.status == "processing"
    assert seen.retry_at is not None


def _order_of(*names: str, **more: object) -> bytes:
    identifiers = [{"type": "dns", "value": name} for name in names]
    base = "https://127.0.0.1"
    order = {"status": "pending", "finalize": f"{base}/f", "identifiers": identifiers}
    return json.dumps(order | more).encode()


@pytest.mark.parametrize(
    "body",
    [
        _order_of("web.example"),
        _order_of(*NAMES, "evil.example"),
        _order_of("web.example", "evil.example"),
        _order_of(*NAMES, identifiers=[{"type": "ip", "value": n} for n in NAMES]),
    ],
)
async def test_an_order_for_other_names_is_refused(tmp_path: Path, body: bytes) -> None:
    """What came back is compared with what was asked for (RFC 8555 7.4)."""
    async with desk(tmp_path) as place:
        place.ca.faults.add(Fault(resource="newOrder", action=actions.Body(body)))
        with pytest.raises(OrderMismatchError, match="for other names"):
            await place.create()


@pytest.mark.parametrize(
    "body",
    [
        _order_of(*reversed(NAMES)),
        _order_of(*(name.upper() for name in NAMES)),
        _order_of(identifiers=[]),
    ],
)
async def test_an_order_for_the_same_names_is_taken(
    tmp_path: Path, body: bytes
) -> None:
    """Neither order nor case matter; some CAs leave the names out."""
    async with desk(tmp_path) as place:
        place.ca.faults.add(Fault(resource="newOrder", action=actions.Body(body)))
        assert (await place.create()).order.status == "pending"


async def test_an_order_without_a_location_is_refused(tmp_path: Path) -> None:
    """Nothing could be resumed without it."""
    async with desk(tmp_path) as place:
        fault = actions.WithoutHeader("Location")
        place.ca.faults.add(Fault(resource="newOrder", action=fault))
        with pytest.raises(ProtocolError, match="without a location"):
            await place.create()


async def test_a_refused_order_keeps_the_words_of_the_ca(tmp_path: Path) -> None:
    """Which name is at fault stands in the clause."""
    async with desk(tmp_path, rejected_names=frozenset({"www.example"})) as place:
        with pytest.raises(ProblemError, match=r"rejectedIdentifier.*"):
            await place.create()


def _authorization(
    name: str = NAMES[0], status: str = "pending", *challenges: dict[str, str]
) -> bytes:
    identifier = {"type": "dns", "value": name}
    document = {"identifier": identifier, "status": status, "challenges": challenges}
    return json.dumps(document).encode()


def _challenge(kind: str = "http-01", token: str | None = "aB_-9") -> dict[str, str]:
    found = {"type": kind, "url": "https://127.0.0.1/c", "status": "pending"}
    return found if token is None else found | {"token": token}


async def _show(place: Desk, body: bytes) -> effects.AuthorizationSeen:
    url = (await place.create()).order.authorizations[0]
    place.ca.faults.add(Fault(resource="authz", action=actions.Body(body)))
    return await place.fetch(AuthorizationRecord(url=url))


async def test_an_authorization_of_a_foreign_name_is_refused(tmp_path: Path) -> None:
    """We never prove what nobody ordered."""
    async with desk(tmp_path) as place:
        with pytest.raises(OrderMismatchError, match="a name not ordered"):
            await _show(place, _authorization("evil.example", "pending", _challenge()))


@pytest.mark.parametrize(
    "challenges",
    [
        (),
        (_challenge("dns-01"),),
        (_challenge("dns-01"), _challenge("quantum-01")),
        (_challenge(token=""),),
        (_challenge(token="../../etc/passwd"),),
        (_challenge(token="a b"),),
        (_challenge(token="a\r\nX: y"),),
        (_challenge(token="aé"),),
        (_challenge(token="a="),),
        (_challenge(token="abc\n"),),
    ],
)
async def test_a_challenge_that_cannot_be_answered_is_none(
    tmp_path: Path, challenges: tuple[dict[str, str], ...]
) -> None:
    """Of another type, or with a token that would become a path (8.3)."""
    async with desk(tmp_path) as place:
        with pytest.raises(ChallengeUnavailableError, match="no http-01 for web"):
            await _show(place, _authorization(NAMES[0], "pending", *challenges))
        assert place.board.entered == []


async def test_the_challenge_of_our_type_is_chosen(tmp_path: Path) -> None:
    """Unknown types beside it do no harm."""
    offered = (_challenge("quantum-01", None), _challenge("dns-01"), _challenge())
    async with desk(tmp_path) as place:
        seen = await _show(place, _authorization("WEB.example", "pending", *offered))
    assert (seen.challenge, seen.token) == ("https://127.0.0.1/c", "aB_-9")
    assert seen.challenge_status == "pending"


@pytest.mark.parametrize("status", ["valid", "invalid", "expired", "paused"])
async def test_a_decided_authorization_needs_no_challenge(
    tmp_path: Path, status: str
) -> None:
    """What it means is decided by the job."""
    async with desk(tmp_path) as place:
        seen = await _show(place, _authorization(NAMES[0], status))
    assert (seen.authorization.status, seen.challenge) == (status, "")


async def test_a_challenge_stays_presented_until_it_is_finished(tmp_path: Path) -> None:
    """The CA may validate at any moment between the answer and the end."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        wanted = [await place.challenge(url) for url in order.authorizations]
        for one in wanted:
            await place.perform(effects.Answer(one))
        tokens = {one.token for one in wanted}
        assert place.board.up == tokens
        for one in wanted:
            await place.fetch(answered(one))
        assert place.board.entered == [one.token for one in wanted]
        await place.issue.finished("another")
        assert place.board.up == tokens
        await place.issue.finished(WEB)
        assert place.board.up == set()
        await place.issue.finished(WEB)
        assert sorted(place.board.left) == sorted(tokens)


async def test_an_answered_challenge_is_presented_again_after_a_restart(
    tmp_path: Path,
) -> None:
    """What another process presented is gone; the CA may still be about to look."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        wanted = await place.challenge(order.authorizations[0])
        await place.fetch(wanted)
        assert place.board.up == set()
        await place.fetch(answered(wanted))
        assert place.board.up == {wanted.token}


async def test_closing_takes_down_what_is_presented(tmp_path: Path) -> None:
    """At the end of the process nothing is left on the port."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        for url in order.authorizations:
            await place.perform(effects.Answer(await place.challenge(url)))
        await place.issue.aclose()
        assert place.board.up == set()


async def test_an_account_without_a_key_presents_nothing(tmp_path: Path) -> None:
    """Jobs are not run before it has one; a bug says so."""
    async with desk(tmp_path) as place:
        wanted = AuthorizationRecord(url="https://127.0.0.1/a", token="t")
        account = msgspec.structs.replace(place.ordering.account, key=None)
        with pytest.raises(ProtocolError, match="the account has no key"):
            await place.perform(effects.Answer(wanted), account=account)


async def _lose(place: Desk) -> None:
    place.ca.faults.add(Fault(resource="newOrder", action=actions.DropAfter()))
    with pytest.raises(TransportError):
        await place.create()


async def test_a_lost_order_is_found_in_the_list_of_the_account(tmp_path: Path) -> None:
    """The newest open one with exactly our names."""
    async with desk(tmp_path) as place:
        older = await place.create()
        await _lose(place)
        await place.perform(effects.CreateOrder("k"), wish=wish("other.example"))
        found = await place.perform(effects.FindOrder("k"))
    assert isinstance(found, effects.OrderSeen)
    assert found.url != older.url
    assert {i.value for i in found.order.identifiers} == set(NAMES)


async def test_an_order_that_is_over_is_not_found(tmp_path: Path) -> None:
    """One that was finalized by the last renewal has our names too."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        await place.prove(order)
        await place.perform(effects.Finalize("k", order))
        assert await place.perform(effects.FindOrder("k")) == effects.OrderNotFound()


@pytest.mark.parametrize("orders", [True, False])
async def test_without_a_list_nothing_is_found(tmp_path: Path, orders: bool) -> None:
    """Many CAs have none, although the account MUST have one (7.1.2)."""
    async with desk(tmp_path, orders_list=orders) as place:
        begun = len(place.ca.log)
        assert await place.perform(effects.FindOrder("k")) == effects.OrderNotFound()
        assert len(place.ca.log) - begun == int(orders)


async def test_only_the_end_of_a_long_list_is_looked_at(tmp_path: Path) -> None:
    """An account of years costs a bounded number of requests."""
    async with desk(tmp_path) as place:
        await place.create()
        for _ in range(MAX_LISTED):
            await place.perform(effects.CreateOrder("k"), wish=wish("other.example"))
        assert await place.perform(effects.FindOrder("k")) == effects.OrderNotFound()
        assert place.ca.log.count("order") == MAX_LISTED


async def test_the_key_of_the_account_certifies_nothing(tmp_path: Path) -> None:
    """RFC 8555 11.1 forbids it, and nothing is sent."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        begun = len(place.ca.log)
        with pytest.raises(KeyReuseError):
            await place.perform(
                effects.Finalize("k", order), key=place.ordering.account.key
            )
        assert len(place.ca.log) == begun


@pytest.mark.parametrize(
    "forge",
    [
        actions.GarbageChain,
        actions.ChainForAnotherKey,
        actions.ChainWithWrongNames,
        actions.ExpiredChain,
        actions.ChainWithPrivateKey,
    ],
)
async def test_a_wrong_chain_is_not_downloaded(
    tmp_path: Path, forge: Callable[[], actions.Chain]
) -> None:
    """It ends as an error before anybody could publish it."""
    async with desk(tmp_path) as place:
        order = order_record(await place.create())
        await place.prove(order)
        seen = await place.perform(effects.Finalize("k", order))
        assert isinstance(seen, effects.OrderSeen)
        place.ca.faults.add(Fault(resource="certificate", action=forge()))
        with pytest.raises(ChainError):
            await place.perform(effects.Download("k", seen.order.certificate or ""))


async def test_a_challenge_is_presented_anew_under_another_account_key(
    tmp_path: Path,
) -> None:
    """What was presented holds the thumbprint of a key that is in force no more."""
    async with desk(tmp_path) as place:
        wanted = await place.challenge((await place.create()).order.authorizations[0])
        await place.perform(effects.Answer(wanted))
        another = place.ordering.key
        account = msgspec.structs.replace(place.ordering.account, key=another)
        with pytest.raises(ProblemError):
            # The CA knows the old key only; it is presented before that is heard.
            await place.perform(effects.Answer(wanted), account=account)
        assert place.board.left == [wanted.token]
        assert place.board.entered == [wanted.token] * 2
