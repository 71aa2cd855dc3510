"""Orders that are given up leave no pending authorization behind, on real parts."""

from pathlib import Path

import pytest

from tests.ca import Config, Fault, Problem, actions
from tests.integration.scene import Scene, certificate_table, scene

pytestmark = pytest.mark.integration

TWO = ("one.example", "two.example")
REFUSAL = actions.TurnInvalid(problem=Problem(type="dns", detail="by the script"))


def states(place: Scene) -> list[list[str]]:
    """Return the states of the authorizations of every order."""
    return [[a.status for a in order.authorizations] for order in place.ca.orders]


def strike(place: Scene) -> None:
    """Let the first challenge fail, and let the second one never end."""
    place.configure(certificate_table("web", names=TWO))
    place.ca.faults.add(Fault(resource="challenge", action=REFUSAL))
    never = actions.Processing(polls=1000)
    place.ca.faults.add(Fault(resource="challenge", action=never, nth=2))


def test_the_other_names_of_a_failed_order_are_deactivated(tmp_path: Path) -> None:
    """One challenge fails, the other one never ends; the next attempt succeeds."""
    with scene(tmp_path) as place:
        strike(place)
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
        assert sorted(states(place)[0]) == ["deactivated", "invalid"]
        assert states(place)[1:] == [["valid", "valid"]]


@pytest.mark.parametrize("death", ["--kill-during", "--kill-ending"])
def test_what_is_left_is_not_forgotten_by_a_crash(tmp_path: Path, death: str) -> None:
    """Before the CA is asked, or with its answer: the next process does it."""
    with scene(tmp_path) as place:
        strike(place)
        with place.daemon(death, "web:deactivate-authorization") as daemon:
            daemon.ended()
            assert daemon.died()
        assert len(states(place)) == 1
        with place.daemon() as daemon:
            daemon.settle_deployed("web")
        assert sorted(states(place)[0]) == ["deactivated", "invalid"]
        assert states(place)[1:] == [["valid", "valid"]]


def test_a_changed_configuration_leaves_nothing_pending(tmp_path: Path) -> None:
    """The order for the old name is given up by a reload."""
    with scene(tmp_path, Config(challenge_polls=1000)) as place:
        place.configure(certificate_table("web", names=("old.example",)))
        with place.daemon() as daemon:
            daemon.wait(lambda _: place.ca.log.count("challenge", status=200))
            place.configure(certificate_table("web", names=("new.example",)))
            daemon.ask("reload")
            daemon.settle(lambda _: states(place)[0] == ["deactivated"])
