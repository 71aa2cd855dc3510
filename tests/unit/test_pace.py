"""Requests to a CA keep their configured rate."""

import asyncio
from datetime import timedelta

import pytest

from agent.client import Pace
from tests.fakes.clock import FakeClock


@pytest.mark.parametrize(
    ("rate", "requests", "seconds"),
    [(10.0, 10, 0.0), (10.0, 11, 0.1), (10.0, 30, 2.0), (0.5, 1, 0.0), (0.5, 3, 4.0)],
)
async def test_a_second_s_worth_goes_at_once(
    rate: float, requests: int, seconds: float
) -> None:
    """Then one after another; slower than one a second nothing goes at once."""
    clock = FakeClock(auto=True)
    begun, pace = clock.monotonic(), Pace(clock, rate)
    for _ in range(requests):
        await pace.turn()
    assert clock.monotonic() - begun == pytest.approx(seconds)


async def test_turns_are_given_in_the_order_of_asking() -> None:
    """Who came first goes first; nothing is saved up over a pause."""
    clock = FakeClock(auto=True)
    pace, order = Pace(clock, 2.0), list[int]()

    async def ask(number: int) -> None:
        await pace.turn()
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(ask(number))
    assert order == list(range(6))
    clock.advance(timedelta(hours=1))
    begun = clock.monotonic()
    for _ in range(4):
        await pace.turn()
    assert clock.monotonic() - begun == pytest.approx(1.0)
