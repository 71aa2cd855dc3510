"""A CA that is slow, or never comes to an end, or is ill for days: bounded, and stated.

What strikes here never stops by itself. The daemon asks ever less often, says what it
waits for and until when, and goes on when the CA has recovered.
"""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.ca import Config, Fault, Problem, actions
from tests.ca.faults import Action, Armed
from tests.integration.test_every_fault import check_nothing_is_left, check_waits, homes
from tests.integration.world import World, world

pytestmark = pytest.mark.integration

DAYS: Final = timedelta(days=2)
A_DAY: Final = 60
"""Requests that an ill CA gets in a day, whatever its illness is."""
HOUR: Final = timedelta(hours=1)
POLLED: Final = 160
"""Requests of an order that is polled for an hour, every thirty seconds at the end."""
FOR_EVER: Final = 1 << 30
ILL: Final[dict[str, Action]] = {
    "drops every connection": actions.DropBefore(),
    "drops every answer": actions.DropAfter(),
    "answers in html": actions.Html(),
    "answers with a page that says yes": actions.Html(200),
    "has an internal error": actions.Refuse(problem=Problem(type="serverInternal")),
    "refuses everything": actions.Refuse(problem=Problem(type="unauthorized")),
    "limits without a date": actions.rate_limited(None),
    "refuses every nonce": actions.bad_nonce(),
    "gives no nonce": actions.WithoutHeader("Replay-Nonce"),
    "sends json of another shape": actions.Body(b'{"status": 5}'),
}
AT: Final = (None, "newAccount", "newOrder", "authz", "challenge", "finalize")


def ill(place: World, resource: str | None, action: Action) -> Armed:
    """Let every request, or every one of a resource, be struck from now on."""
    return place.ca.faults.add(Fault(resource=resource, action=action, times=None))


@pytest.mark.parametrize("name", ILL)
def test_a_ca_that_stays_ill_is_asked_ever_less(name: str) -> None:
    """Two days of it cost few requests; after its recovery the certificate comes."""

    async def endure(resource: str | None, home: Path) -> None:
        async with world(home, Config(order_polls=1)) as place:
            armed = ill(place, resource, ILL[name])
            begun = place.clock.now()
            await place.daemon.until(
                lambda: place.deployed(1) or place.clock.now() - begun > DAYS
            )
            cost = len(place.ca.log)
            assert cost <= DAYS.days * A_DAY, (resource, cost)
            check_waits(place)
            place.ca.faults.remove(armed)
            await place.daemon.until(lambda: place.deployed(1))
            check_nothing_is_left(place, 1)

    with homes() as home:
        for resource in AT:
            asyncio.run(endure(resource, home()))


@pytest.mark.parametrize("resource", ["challenge", "finalize"])
def test_a_ca_that_never_ends_loses_its_order(resource: str) -> None:
    """The order expires, the next one succeeds; the polls in between are counted."""

    async def wait(home: Path) -> None:
        async with world(home, Config(order_lifetime=HOUR)) as place:
            stuck = actions.Processing(polls=FOR_EVER)
            place.ca.faults.add(Fault(resource=resource, action=stuck))
            begun = place.clock.now()
            await place.daemon.until(lambda: place.deployed(1))
            assert HOUR < place.clock.now() - begun < 2 * HOUR
            assert len(place.ca.orders) == 2
            assert len(place.ca.log) <= POLLED
            check_waits(place)
            check_nothing_is_left(place, 1)

    with homes() as home:
        asyncio.run(wait(home()))


def test_a_late_validation_costs_polls_and_nothing_else() -> None:
    """Twenty looks at the challenge and twenty at the order, as the CA paces them."""
    late = Config(challenge_polls=20, order_polls=20, retry_after=60)

    async def wait(home: Path) -> None:
        async with world(home, late) as place:
            begun = place.clock.now()
            await place.daemon.until(lambda: place.deployed(1))
            assert place.clock.now() - begun >= timedelta(minutes=38)
            assert len(place.ca.orders) == 1
            assert place.ca.log.count("challenge") == 1
            check_nothing_is_left(place, 1)

    with homes() as home:
        asyncio.run(wait(home()))
