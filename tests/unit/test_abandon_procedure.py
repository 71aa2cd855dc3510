"""How authorizations are deactivated, with a real CA over HTTPS."""

from pathlib import Path

import pytest

from agent.acme.errors import ProblemError
from agent.jobs.abandon import Deactivate
from agent.jobs.step import Performed
from agent.procedures.abandon import AbandonProcedure
from tests.ca import Fault, actions
from tests.fakes.desk import Desk, desk, order_record


def procedure(at: Desk) -> AbandonProcedure:
    """Return the procedure with the desk's keys."""
    return AbandonProcedure(at.client, at.keys)


async def test_a_pending_authorization_is_deactivated(tmp_path: Path) -> None:
    """After it was looked at; its order is over then."""
    async with desk(tmp_path) as at:
        url, _ = (await at.create()).order.authorizations
        done = await procedure(at).perform(Deactivate(url), at.ordering.account)
        assert done == Performed()
        states = [a.status for a in at.ca.orders[0].authorizations]
        assert states == ["deactivated", "pending"]
        assert at.ca.log.count("authz") == 2
        again = await procedure(at).perform(Deactivate(url), at.ordering.account)
        assert again == Performed()
        assert at.ca.log.count("authz") == 3


async def test_a_valid_authorization_is_left_alone(tmp_path: Path) -> None:
    """The next order may need no proof."""
    async with desk(tmp_path) as at:
        seen = await at.create()
        await at.prove(order_record(seen))
        for url in seen.order.authorizations:
            await procedure(at).perform(Deactivate(url), at.ordering.account)
        states = {a.status for a in at.ca.orders[0].authorizations}
        assert states == {"valid"}


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    """The job decides what follows."""
    async with desk(tmp_path) as at:
        url, _ = (await at.create()).order.authorizations
        at.ca.faults.add(Fault(resource="authz", action=actions.rate_limited(), nth=2))
        with pytest.raises(ProblemError):
            await procedure(at).perform(Deactivate(url), at.ordering.account)
