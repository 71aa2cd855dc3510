"""The daemon is killed around every durable write, and nothing is lost or doubled.

The writes are enumerated from the store of a run that nobody kills. Then there is one
run for each write and each of two instants: right after the write, and right before its
rename. Half of the runs serve a key of a file, half a key in a SoftHSM2 token through a
real nginx; the account key is in the token in all of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.integration.killing import (
    FILE,
    NGINX_REASON,
    TOKEN,
    Arm,
    Journey,
    Run,
    all_wrong,
    count,
)
from tests.integration.scene import Daemon, Status
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
ENROLLED, RENEWED = 1, 2


class Renewal(Journey):
    """An enrolment and a renewal with deployment."""

    orders: ClassVar[int] = 2

    def step(self, daemon: Daemon, status: Status) -> bool:
        """Renew once, and see the old key go."""
        shown = status.certificate("web")
        if status.deployed("web", RENEWED):
            # One of the certificate and one of the account: the old one is gone.
            return len(daemon.ask("keys")["keys"]) == 2
        if status.deployed("web", ENROLLED) and shown["publication"] == ENROLLED:
            daemon.ask("renew", "web")
        return False


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[Arm, int]:
    """Count the writes of a journey that nobody disturbs, in each arm."""
    arms = (FILE,) if NGINX_REASON else (FILE, TOKEN)
    return {
        arm: count(tmp_path_factory.mktemp("whole"), Run(journey=Renewal, arm=arm))
        for arm in arms
    }


def _runs(counts: dict[Arm, int], option: str, half: int) -> Iterator[Run]:
    """Yield a run for every other write; both arms come to each write in some test."""
    arms = [*counts, FILE][:2]
    arm = arms[(half + (option == "--kill-before")) % 2]
    for number in range(1 + half, counts[arm] + 1, 2):
        yield Run(journey=Renewal, arm=arm, options=(option, str(number)))


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("option", ["--kill-after", "--kill-before"])
def test_a_kill_at_every_durable_write_loses_and_doubles_nothing(
    tmp_path: Path, counts: dict[Arm, int], option: str, half: int
) -> None:
    """Killed anywhere, it ends with one certificate, its key, and no order too many."""
    assert not all_wrong(tmp_path, list(_runs(counts, option, half)))
