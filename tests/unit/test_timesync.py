"""The wall clock is believed when it may be, and waited for within bounds."""

from datetime import datetime, timedelta

import pytest

from agent.timesync import LONGEST_HOLD, TOLERANCE, hold_until, synchronised

STARTED = datetime.fromisoformat("2026-01-01T00:00:00Z")
SECOND = timedelta(seconds=1)
SLICE = timedelta(seconds=15)


@pytest.mark.parametrize(
    ("now", "high_water", "synced", "held"),
    [
        # Believed, or nobody can say: it goes on.
        (STARTED, STARTED, True, None),
        (STARTED, STARTED, None, None),
        (STARTED, STARTED - timedelta(days=9), True, None),
        # Not synchronised: asked again every 15 s, for 10 minutes at most.
        (STARTED, STARTED, False, STARTED + SLICE),
        (STARTED + SLICE, STARTED, False, STARTED + 2 * SLICE),
        (
            STARTED + LONGEST_HOLD - SECOND,
            STARTED,
            False,
            STARTED + LONGEST_HOLD,
        ),
        (STARTED + LONGEST_HOLD, STARTED, False, None),
        (STARTED + timedelta(days=400), STARTED, False, None),
        # Below what was seen before it is wrong, whatever anybody says.
        *(
            (
                STARTED,
                STARTED + timedelta(days=9),
                synced,
                STARTED + timedelta(days=9) - TOLERANCE,
            )
            for synced in (True, False, None)
        ),
        # A small step back is none.
        (STARTED, STARTED + TOLERANCE, True, None),
        (STARTED, STARTED + TOLERANCE + SECOND, True, STARTED + SECOND),
    ],
)
def test_until_when_nothing_may_be_done(
    now: datetime, high_water: datetime, synced: bool | None, held: datetime | None
) -> None:
    """Each row is a situation at the start of a host, or later."""
    assert hold_until(now, STARTED, high_water, synced=synced) == held


@pytest.mark.parametrize("synced", [True, False, None])
@pytest.mark.parametrize("hours", [-30, -1, 0, 1, 30])
def test_a_hold_is_always_in_the_future(synced: bool | None, hours: int) -> None:
    """The manager sleeps until it: an instant that is past would be a loop."""
    now = STARTED + timedelta(hours=hours)
    held = hold_until(now, STARTED, STARTED, synced=synced)
    assert held is None or held > now


def test_the_host_says_yes_no_or_nothing() -> None:
    """The kernel and systemd are asked, and nothing is changed."""
    before = synchronised()
    assert before in {True, False, None}
    assert synchronised() == before
