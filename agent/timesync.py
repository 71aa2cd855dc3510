"""Whether the wall clock may be believed.

A host without a battery-backed clock starts in the past; acting then would order
certificates for nothing, or judge a good one expired.
"""

import ctypes
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

MARKER: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it when the clock has been set once."""
LONGEST_HOLD: Final = timedelta(minutes=10)
TOLERANCE: Final = timedelta(minutes=1)
_TIME_ERROR: Final = 5


def synchronised() -> bool | None:
    """Tell whether the clock is synchronised; None where nobody can say."""
    if MARKER.exists():
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    # struct timex is 208 octets; zeroed, `modes` asks for nothing but the state.
    state = libc.adjtimex(ctypes.create_string_buffer(256))
    if state < 0:
        # Sandboxes without @clock refuse even to read it.
        return None
    return bool(state != _TIME_ERROR)


def hold_until(
    now: datetime, started: datetime, high_water: datetime, *, synced: bool | None
) -> datetime | None:
    """Return until when nothing may be done, None where the clock may be believed.

    Below the latest instant ever seen the clock is wrong for certain. Above it, an
    unsynchronised clock is waited for during 10 minutes at most.

    Args:
        now: The wall time.
        started: The wall time at the start of the process.
        high_water: The latest wall time that a record holds.
        synced: What `synchronised` says, or True where the configuration assumes it.
    """
    if now < high_water - TOLERANCE:
        return high_water - TOLERANCE
    if synced is False and now < started + LONGEST_HOLD:
        return min(started + LONGEST_HOLD, now + timedelta(seconds=15))
    return None
