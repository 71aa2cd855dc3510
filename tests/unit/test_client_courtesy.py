"""What the client says with every request, and what it notices of the CA's clock."""

import pytest

from agent.client import AcmeClient
from tests.fakes.acme import BASE, DIRECTORY, SIGNER, Ca, Ears, answer
from tests.fakes.clock import FakeClock


async def asked(ca: Ca) -> Ears:
    """Post once, and return what was heard."""
    ears = Ears()
    client = AcmeClient(
        name="test",
        directory_url=f"{BASE}/directory",
        transport=ca,
        clock=FakeClock(),
        observer=ears,
    )
    await client.post(DIRECTORY["newOrder"], {}, SIGNER, "newOrder")
    return ears


async def test_every_request_asks_for_one_language() -> None:
    """Also the unsigned ones (6.1): what a CA says is for the operator."""
    ca = Ca()
    await asked(ca)
    assert {r.headers["Accept-Language"] for r in ca.requests} == {"en"}
    assert {r.method for r in ca.requests} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("date", "skews"),
    [
        ("Thu, 01 Jan 2026 00:02:00 GMT", [("test", 120.0)]),
        ("Wed, 31 Dec 2025 23:00:00 GMT", [("test", -3600.0)]),
        ("sometime", []),
    ],
)
async def test_the_clock_of_the_ca_is_compared(
    date: str, skews: list[tuple[str, float]]
) -> None:
    """By the Date of its answers; rubbish says nothing."""
    ca = Ca()
    ca.replies = [answer(200, {}, "fresh", date=date)]
    assert (await asked(ca)).skews == skews
