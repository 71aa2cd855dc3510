"""The daemon is killed around every durable write of a roll-over, in a real token.

The writes are enumerated from the store of a roll-over that nobody disturbs. Then there
is one roll-over for each write and each of two instants: right after the write, and
right before its rename. All of them happen to one account, one after the other: each
begins with what the one before has left.
"""

from pathlib import Path

import pytest

from agent.control.verbs import ControlError
from agent.records.slots import jobs
from tests.integration.offices import Office, has_key_other_than, is_quiet, office
from tests.integration.scene import Daemon
from tests.integration.striking import Writes, require_most
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]


def roll(daemon: Daemon, key: str) -> bool:
    """Ask for a roll-over and wait for its end; False where the daemon died."""
    try:
        daemon.ask("account-roll", "test")
        daemon.settle(lambda status: has_key_other_than(status, key))
    except ControlError:
        daemon.ended()
        return False
    return True


def count(place: Office) -> int:
    """Return how many writes a roll-over makes that nobody disturbs."""
    writes = Writes(place.place)
    writes.forget()
    with place.place.daemon(*writes.options) as daemon:
        assert roll(daemon, place.key.id)
    return len(writes.lines)


def kill_and_resume(place: Office, option: str, number: int) -> bool:
    """Do a roll-over that is killed and resumed; return whether it was killed."""
    before, orders = place.key.id, place.place.ca.answered_orders
    writes = Writes(place.place)
    writes.forget()
    with place.place.daemon(*writes.options, option, str(number)) as first:
        arrived = first.answers() and roll(first, before)
    killed = writes.killed(first, number, arrived=arrived)
    asked = place.record.roll_asked is not None
    begun = place.key.id != before or asked or bool(jobs(place.record))
    with place.place.daemon() as second:
        if begun:
            second.settle(lambda status: has_key_other_than(status, before))
        second.settle(is_quiet)
        second.ask("renew", "web")
        publication = second.status().certificate("web")["publication"]
        second.settle_deployed("web", publication + 1)
    assert place.place.ca.answered_orders == orders + 1
    return killed


@pytest.mark.parametrize("option", ["--kill-after", "--kill-before"])
def test_a_kill_at_every_write_of_a_roll_over_leaves_one_key(
    tmp_path: Path, option: str
) -> None:
    """Token, record and CA agree on one key, and the next order succeeds."""
    with office(tmp_path / "office") as place:
        place.configure()
        with place.place.daemon() as daemon:
            daemon.settle_deployed("web")
        writes = count(place)
        print(f"{writes} writes of a roll-over")
        assert list(place.wrong()) == []
        killed = 0
        for number in range(1, writes + 1):
            killed += kill_and_resume(place, option, number)
            assert list(place.wrong()) == [], number
        require_most(killed, writes)
