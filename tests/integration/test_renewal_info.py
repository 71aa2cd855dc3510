"""Renewals at the time that the CA suggests (RFC 9773), with a real daemon and CA."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.ca import Authorizations, Config, Fault, Problem, Suggestion, actions
from tests.ca.renewal import name_of
from tests.integration.scene import (
    Daemon,
    Scene,
    Status,
    View,
    certificate_table,
    scene,
)

pytestmark = pytest.mark.integration

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
URL = "https://ca.example/why"


@contextmanager
def offering(home: Path, **switches: object) -> Iterator[Scene]:
    """Make a scene whose CA offers renewal information and asks for no proof."""
    config = Config(
        authorizations=Authorizations.NONE,
        renewal_info=True,
        **switches,  # type: ignore[arg-type]  # a test's own keywords
    )
    with scene(home, config) as place:
        place.configure(certificate_table("web"))
        yield place


def told(status: Status) -> View:
    """Return what the CA suggests; empty before it was asked."""
    found: View = status.certificate("web").get("suggestion") or {}
    return found


def enrolled(daemon: Daemon, publication: int = 1) -> Status:
    """Wait for a certificate, and for what the CA says of it."""
    return daemon.wait(lambda s: s.deployed("web", publication) and told(s))


def move(place: Scene, start: timedelta, end: timedelta, explanation: str = "") -> None:
    """Let the CA suggest a window from now on."""
    now = place.clock.now()
    window = Suggestion(start=now + start, end=now + end, explanation=explanation)
    place.ca.suggest(place.ca.certificates[-1], window)


def test_a_renewal_begins_inside_the_window_and_says_what_it_replaces(
    tmp_path: Path,
) -> None:
    """Not before the instant that was drawn, whatever our own rule would be."""
    with offering(tmp_path) as place, place.daemon() as daemon:
        status = enrolled(daemon)
        assert place.ca.log.count("renewalInfo", status=200) == 1
        certificate = status.certificate("web")
        pick = datetime.fromisoformat(told(status)["pick"])
        assert certificate["rule"] == "renewal-information"
        assert datetime.fromisoformat(certificate["renew_at"]) == pick
        assert told(status)["start"] <= told(status)["pick"] <= told(status)["end"]
        samples = place.metrics()
        label = '{certificate="web"}'
        start = samples[f"nfcertd_ari_window_start_timestamp_seconds{label}"]
        end = samples[f"nfcertd_ari_window_end_timestamp_seconds{label}"]
        assert start <= pick.timestamp() <= end
        place.clock.push(pick - place.clock.now() - HOUR)
        daemon.wait(lambda s: told(s) and not s.certificate("web")["jobs"])
        assert place.ca.answered_orders == 1
        place.clock.push(HOUR)
        enrolled(daemon, 2)
        first = name_of(place.ca.certificates[0].leaf)
        assert [order.replaces for order in place.ca.orders] == ["", first]
        urls = [entry.url for entry in place.ca.log.of("renewalInfo")]
        assert name_of(place.ca.certificates[1].leaf) in urls[-1]


def test_neither_a_restart_nor_another_question_moves_the_instant(
    tmp_path: Path,
) -> None:
    """It stands in the record; the CA is not asked again before its time."""
    with offering(tmp_path, ask_again=2 * HOUR) as place:
        with place.daemon() as daemon:
            pick = told(enrolled(daemon))["pick"]
            daemon.kill()
        with place.daemon() as daemon:
            assert told(enrolled(daemon))["pick"] == pick
            assert place.ca.log.count("renewalInfo") == 1
            place.clock.push(2 * HOUR + timedelta(minutes=1))
            daemon.wait(lambda _: place.ca.log.count("renewalInfo", status=200) == 2)
            assert told(enrolled(daemon))["pick"] == pick
        assert place.ca.answered_orders == 1


def test_an_incident_is_followed_within_the_hour_and_explained(
    tmp_path: Path,
) -> None:
    """A window in the past means now; the operator sees where the CA explains it."""
    with offering(tmp_path) as place, place.daemon() as daemon:
        enrolled(daemon)
        move(place, -DAY, -HOUR, URL)
        place.clock.push(6 * HOUR + timedelta(minutes=1))
        daemon.wait(lambda s: s.deployed("web", 2))
        assert URL in place.log()
        assert place.ca.answered_orders == 2


def test_a_window_is_never_followed_into_the_emergency(tmp_path: Path) -> None:
    """The last instants of a life are ours, whatever the CA suggests."""
    with offering(tmp_path) as place, place.daemon() as daemon:
        enrolled(daemon)
        ends = place.ca.certificates[0].leaf.not_valid_after_utc
        window = Suggestion(start=ends - DAY, end=ends, explanation=URL)
        place.ca.suggest(place.ca.certificates[0], window)
        place.clock.push(6 * HOUR + timedelta(minutes=1))
        status = daemon.wait(lambda s: told(s).get("explanation"))
        assert status.certificate("web")["rule"] == "emergency-margin"
        at = datetime.fromisoformat(status.certificate("web")["renew_at"])
        assert ends - at >= 4 * DAY


def test_without_an_answer_our_own_rule_holds(tmp_path: Path) -> None:
    """Errors are backed off from, in few requests, and nobody is alarmed by one."""
    with offering(tmp_path) as place:
        failing = Fault(
            resource="renewalInfo",
            action=actions.Refuse(problem=Problem(type="serverInternal")),
            times=None,
        )
        place.ca.faults.add(failing)
        with place.daemon() as daemon:
            status = daemon.wait(
                lambda s: (
                    s.job("web", "renewal-info").get("failure")
                    and s.certificate("web")["plan"]["next"] == "renew"
                )
            )
            assert status.certificate("web")["rule"] == "two-thirds"
            assert status.alarms("web") == {}
            assert status.certificate("web")["deployed"]
            place.clock.push(2 * DAY)
            daemon.wait(lambda _: place.ca.log.count("renewalInfo") >= 2)
        assert place.ca.log.count("renewalInfo") <= 4


def test_a_lost_order_that_holds_the_place_is_passed_by(tmp_path: Path) -> None:
    """The answer to newOrder was lost and the CA lists nothing: 409, then without."""
    with offering(tmp_path, orders_list=False) as place, place.daemon() as daemon:
        enrolled(daemon)
        place.ca.faults.add(Fault(resource="newOrder", action=actions.DropAfter()))
        daemon.ask("renew", "web")
        daemon.settle(lambda s: s.deployed("web", 2))
        first = name_of(place.ca.certificates[0].leaf)
        assert [order.replaces for order in place.ca.orders] == ["", first, ""]
        answers = [entry.status for entry in place.ca.log.of("newOrder")]
        assert answers == [201, 0, 409, 201]
