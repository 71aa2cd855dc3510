"""Many renewals due at the same moment: the CA's rate is kept, and nobody starves."""

from pathlib import Path
from typing import Final

import pytest

from tests.integration.burst import Load, burst

pytestmark = pytest.mark.integration

LOAD: Final = Load(count=24, rate=12.0, concurrency=4)


def test_a_burst_keeps_the_rate_and_the_order(tmp_path: Path) -> None:
    """Those that end first are begun first, and every one of them is renewed.

    A second's worth of requests goes at once; the rest takes its time, however fast the
    machine is. `python -m tests.tools.burst` shows the same for 200.
    """
    seen = burst(tmp_path, LOAD, within=120)
    assert len(seen.renewed) == LOAD.count
    assert seen.begun == seen.by_end
    assert seen.at_once <= LOAD.concurrency
    # newOrder, finalize, certificate; one directory, and nonces to begin with.
    assert seen.requests <= 3 * LOAD.count + 1 + LOAD.concurrency
    assert seen.seconds >= (seen.requests - LOAD.rate) / LOAD.rate - 1
