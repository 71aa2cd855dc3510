"""How a CA is asked for renewal information, and what newOrder says of the last one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.acme.errors import ProtocolError, RenewalInfoError, ReplacesRefusedError
from agent.errors import AgentError
from agent.jobs.issue import effects
from agent.jobs.renewal_info import AskRenewalInfo
from agent.procedures.renewal_info import RenewalInfoProcedure
from tests.ca import Authorizations, Fault, Suggestion, actions
from tests.ca.renewal import name_of
from tests.fakes.desk import Desk, desk, order_record

URL = "https://ca.example/why"
DAY = timedelta(days=1)


async def issued(at: Desk) -> tuple[str, datetime]:
    """Issue one certificate; return its name and its end."""
    seen = await at.create()
    await at.perform(effects.Finalize("k", order_record(seen)))
    leaf = at.ca.certificates[0].leaf
    return name_of(leaf), leaf.not_valid_after_utc


async def test_a_window_is_asked_for_and_told(tmp_path: Path) -> None:
    """Unsigned, with the CA's explanation and its Retry-After, in UTC."""
    async with desk(
        tmp_path, authorizations=Authorizations.NONE, renewal_info=True
    ) as at:
        name, ends = await issued(at)
        told = Suggestion(start=ends - 9 * DAY, end=ends - 8 * DAY, explanation=URL)
        at.ca.suggest(at.ca.certificates[0], told)
        procedure = RenewalInfoProcedure(at.client)
        before = datetime.now(UTC)
        found = await procedure.perform(AskRenewalInfo(name), ends)
        assert (found.start, found.end) == (told.start, told.end)
        assert found.explanation == URL
        assert found.retry_at is not None
        assert found.retry_at - before >= timedelta(hours=6)
        (entry,) = at.ca.log.of("renewalInfo")
        assert (entry.method, entry.status) == ("GET", 200)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (-8 * DAY, -8 * DAY),
        (-8 * DAY, -9 * DAY),
        (-DAY, timedelta(seconds=1)),
        (-900_000 * DAY / 10, -DAY),
    ],
)
async def test_a_window_that_is_none_is_refused(
    tmp_path: Path, start: timedelta, end: timedelta
) -> None:
    """It ends before it begins, after the certificate, or began in another age."""
    async with desk(
        tmp_path, authorizations=Authorizations.NONE, renewal_info=True
    ) as at:
        name, ends = await issued(at)
        told = Suggestion(start=ends + start, end=ends + end)
        at.ca.suggest(at.ca.certificates[0], told)
        with pytest.raises(RenewalInfoError):
            await RenewalInfoProcedure(at.client).perform(AskRenewalInfo(name), ends)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"suggestedWindow": {"start": "2026-01-01T00:00:00Z"}}',
        (
            b'{"suggestedWindow": {"start": "2026-01-01T00:00:00", '
            b'"end": "2026-01-02T00:00:00Z"}}'
        ),
        b"<html>",
        b"[" * 100_000,
    ],
)
async def test_an_object_that_cannot_be_read_is_refused(
    tmp_path: Path, body: bytes
) -> None:
    """Whatever it is, in bounded words."""
    async with desk(
        tmp_path, authorizations=Authorizations.NONE, renewal_info=True
    ) as at:
        name, ends = await issued(at)
        at.ca.faults.add(Fault(resource="renewalInfo", action=actions.Body(body)))
        with pytest.raises(ProtocolError) as caught:
            await RenewalInfoProcedure(at.client).perform(AskRenewalInfo(name), ends)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "explanation",
    ["7", '"javascript:alert(1)"', '"https://ca.example/' + "x" * 4000 + '"', "null"],
)
async def test_an_explanation_that_cannot_be_shown_is_left_out(
    tmp_path: Path, explanation: str
) -> None:
    """The window is worth more than its explanation."""
    async with desk(
        tmp_path, authorizations=Authorizations.NONE, renewal_info=True
    ) as at:
        name, ends = await issued(at)
        window = f'{{"start": "{ends - 3 * DAY:%FT%TZ}", "end": "{ends:%FT%TZ}"}}'
        body = f'{{"suggestedWindow": {window}, "explanationURL": {explanation}}}'
        fault = Fault(resource="renewalInfo", action=actions.Body(body.encode()))
        at.ca.faults.add(fault)
        found = await RenewalInfoProcedure(at.client).perform(
            AskRenewalInfo(name), ends
        )
        assert found.explanation == ""


async def test_a_ca_that_no_longer_offers_it_is_told(tmp_path: Path) -> None:
    """Nothing is asked of a resource that is not in the directory."""
    async with desk(tmp_path) as at:
        with pytest.raises(RenewalInfoError, match="no longer"):
            await RenewalInfoProcedure(at.client).perform(
                AskRenewalInfo("a.b"), datetime.now(UTC)
            )
        assert at.ca.log.count("renewalInfo") == 0


async def test_an_order_says_what_it_replaces_where_that_is_offered(
    tmp_path: Path,
) -> None:
    """And not a word of it elsewhere."""
    for offered in (True, False):
        home = tmp_path / str(offered)
        async with desk(
            home, authorizations=Authorizations.NONE, renewal_info=offered
        ) as at:
            name, _ = await issued(at)
            extras = effects.Extras(replaces=name)
            seen = await at.perform(effects.CreateOrder("k", extras))
            assert isinstance(seen, effects.OrderSeen)
            assert seen.order.replaces == (name if offered else None)
            assert at.ca.orders[-1].replaces == (name if offered else "")


async def test_a_second_successor_is_refused_with_its_own_error(
    tmp_path: Path,
) -> None:
    """So that it is asked once more without; a limit of the CA is no such refusal."""
    async with desk(
        tmp_path, authorizations=Authorizations.NONE, renewal_info=True
    ) as at:
        name, _ = await issued(at)
        order = effects.CreateOrder("k", effects.Extras(replaces=name))
        await at.perform(order)
        with pytest.raises(ReplacesRefusedError):
            await at.perform(order)
        at.ca.faults.add(Fault(resource="newOrder", action=actions.rate_limited()))
        with pytest.raises(AgentError) as caught:
            await at.perform(order)
        assert not isinstance(caught.value, ReplacesRefusedError)
        record = replace(order_record(await at.create()))
        assert record.url
