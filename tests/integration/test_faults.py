"""A CA that misbehaves at any request of an enrolment, and a disk that is full.

The daemon ends with a certificate, or waits with a reason and an instant; requests are
bounded, and an order that can go on is never ordered again.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.ca import Config, Fault, Problem, actions
from tests.ca.faults import Action
from tests.integration.scene import (
    Daemon,
    Scene,
    Status,
    View,
    certificate_table,
    is_root,
    scene,
)

pytestmark = pytest.mark.integration

SPEED: Final = 20
BEFORE: Final = ("directory", "newNonce", "newAccount")
POINTS: Final = (
    ("newOrder", 1),
    ("authz", 1),
    ("challenge", 1),
    ("authz", 2),
    ("finalize", 1),
    ("order", 1),
    ("certificate", 1),
)
"""The requests of an order, each by its resource and its number."""
REQUESTS: Final = len(POINTS) + 1
SERVER: Final = Problem(type="serverInternal", detail="by the script")
PASSING: Final[dict[str, Action]] = {
    "dropped before it arrives": actions.DropBefore(),
    "dropped before the answer": actions.DropAfter(),
    "an internal error": actions.Refuse(problem=SERVER),
    "a rate limit": actions.rate_limited(90),
    "html of a proxy": actions.Html(),
    "an answer cut short": actions.Truncate(),
    "another content type": actions.ContentType(),
    "eleven mebibytes": actions.Huge(),
    "no location": actions.WithoutHeader("Location"),
    "no nonce": actions.WithoutHeader("Replay-Nonce"),
    "a refused nonce": actions.bad_nonce(),
}
NEITHER_NOR: Final[dict[str, Action]] = {
    "json of another shape": actions.Body(b'{"status": 5}'),
    "no body": actions.Body(b""),
}
"""As a body they pass, except where a chain is expected."""
ENDING: Final[dict[str, tuple[str, Action]]] = {
    "an order that turns invalid": ("finalize", actions.TurnInvalid()),
    "a challenge that turns invalid": ("challenge", actions.TurnInvalid()),
    "a redirect": ("authz", actions.Redirect("https://127.0.0.1:1/elsewhere")),
    "a forbidding proxy": ("authz", actions.Html(status=403)),
    "a chain of garbage": ("certificate", actions.GarbageChain()),
    "a chain with a private key": ("certificate", actions.ChainWithPrivateKey()),
    "a chain for another key": ("certificate", actions.ChainForAnotherKey()),
    "a chain for another name": ("certificate", actions.ChainWithWrongNames()),
    "a chain that has ended": ("certificate", actions.ExpiredChain()),
}
BACKED_OFF: Final = {"an order that turns invalid", "a challenge that turns invalid"}
"""What is tried again by itself in a minute; the others need an operator."""
GOES_ON: Final = {"a redirect", "a forbidding proxy"}
"""What says nothing of the order: the same one is looked at once more."""


@dataclass(slots=True)
class Diary:
    """What an issue job said of itself while it was under way.

    Attributes:
        name: The certificate.
        publication: The one that is waited for.
        waits: Job views that had failed and waited.
    """

    name: str
    publication: int
    waits: list[View] = field(default_factory=list)

    def __call__(self, status: Status) -> bool:
        """Keep what the job says; tell whether the certificate is there."""
        job = status.job(self.name, "issue")
        if job and job["failure"] and not job["running"]:
            self.waits.append(job)
        return status.deployed(self.name, self.publication)

    def check(self) -> None:
        """Make sure that whoever waited said why and until when."""
        for job in self.waits:
            waits = " " in job["next"]
            assert not waits or job["at"], job

    @property
    def failures(self) -> set[str]:
        """Return when each failure happened."""
        return {job["failure"]["at"] for job in self.waits}


@contextmanager
def enrolled(
    home: Path, before: Action | None = None
) -> Iterator[tuple[Scene, Daemon]]:
    """Enrol one certificate; what comes before the first order may be struck."""
    with scene(home, Config(order_polls=1), speed=SPEED) as place:
        place.configure(certificate_table("web"))
        for resource in BEFORE if before is not None else ():
            assert before is not None
            place.ca.faults.add(Fault(resource=resource, action=before))
        with place.daemon() as daemon:
            daemon.settle(lambda status: status.deployed("web"))
            assert len(place.ca.accounts) == 1
            assert len(place.ca.orders) == 1
            yield place, daemon


def renew_struck(
    place: Scene, daemon: Daemon, number: int, fault: Fault
) -> tuple[int, int]:
    """Renew under a fault; return how many requests and orders that took."""
    requests, orders = len(place.ca.log), len(place.ca.orders)
    armed = place.ca.faults.add(fault)
    daemon.ask("renew", "web")
    diary = Diary("web", number)
    daemon.settle(diary)
    diary.check()
    place.ca.faults.clear()
    assert armed.struck == 1, fault
    return len(place.ca.log) - requests, len(place.ca.orders) - orders


@pytest.mark.parametrize("name", [*PASSING, *NEITHER_NOR])
def test_a_passing_fault_at_any_request_costs_no_second_order(
    tmp_path: Path, name: str
) -> None:
    """The order goes on where it was; what it costs is a handful of requests."""
    action = (PASSING | NEITHER_NOR)[name]
    with enrolled(tmp_path, action) as (place, daemon):
        for number, (resource, nth) in enumerate(POINTS, start=2):
            fault = Fault(resource=resource, action=action, nth=nth)
            requests, orders = renew_struck(place, daemon, number, fault)
            refused = name in NEITHER_NOR and resource == "certificate"
            assert orders == (2 if refused else 1), fault
            assert requests <= orders * REQUESTS + 6, fault


@pytest.mark.parametrize("name", ENDING)
def test_a_fault_that_does_not_pass_waits_before_the_next_attempt(
    tmp_path: Path, name: str
) -> None:
    """One failure, one order more at most, not before the instant that was stated."""
    resource, action = ENDING[name]
    with enrolled(tmp_path) as (place, daemon):
        place.ca.faults.add(Fault(resource=resource, action=action))
        daemon.ask("renew", "web")
        alarmed = name not in BACKED_OFF
        # The alarm is raised in the turn that follows the failure.
        status = daemon.wait(
            lambda s: (
                s.job("web", "issue").get("failure")
                and alarmed <= bool(s.alarms("web"))
            )
        )
        job = status.job("web", "issue")
        failed = datetime.fromisoformat(job["failure"]["at"])
        wait = datetime.fromisoformat(job["at"]) - failed
        least = timedelta(seconds=50) if name in BACKED_OFF else timedelta(hours=20)
        assert wait >= least
        assert ("issue-failing" in status.alarms("web")) == alarmed
        begun = len(place.ca.log)
        place.clock.push(wait - timedelta(seconds=20))
        daemon.wait(lambda _: place.clock.now() < failed + wait)
        assert len(place.ca.log) == begun
        status = daemon.settle(lambda s: s.deployed("web", 2))
        orders = 2 if name in GOES_ON else 3
        assert len(place.ca.orders) == orders
        assert not status.alarms("web")
        assert status.certificate("web")["orders"] == place.ca.answered_orders == orders


def test_retry_after_is_remembered_across_a_kill(tmp_path: Path) -> None:
    """A CA that asks for an hour of patience is not asked again within it."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        place.ca.faults.add(
            Fault(resource="newOrder", action=actions.rate_limited(3600))
        )
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.job("web", "issue").get("failure"))
            job = status.job("web", "issue")
            asked = datetime.fromisoformat(job["failure"]["retry_at"])
            assert datetime.fromisoformat(job["at"]) >= asked
            daemon.kill()
        begun = len(place.ca.log)
        with place.daemon() as daemon:
            daemon.ask("renew", "web")
            assert len(place.ca.log) == begun
            place.clock.push(timedelta(minutes=50))
            daemon.wait(lambda s: s.job("web", "issue")["at"])
            assert len(place.ca.log) == begun
            daemon.settle(lambda s: s.deployed("web"))
        assert place.ca.answered_orders == 1


def test_a_lost_order_is_looked_for_until_the_ca_can_say(tmp_path: Path) -> None:
    """The answer to newOrder is lost and the list of orders fails: still one order."""
    with enrolled(tmp_path) as (place, daemon):
        place.ca.faults.add(
            Fault(resource="orders", action=actions.Refuse(problem=SERVER), times=2)
        )
        fault = Fault(resource="newOrder", action=actions.DropAfter())
        _, orders = renew_struck(place, daemon, 2, fault)
        assert orders == 1
        assert place.ca.log.count("orders") == 3


def test_an_order_killed_after_its_answer_is_found_again(tmp_path: Path) -> None:
    """The process dies between the CA's answer and the write, and the list fails."""
    with scene(tmp_path, speed=SPEED) as place:
        place.configure(certificate_table("web"))
        with place.daemon("--kill-ending", "web:create-order") as daemon:
            daemon.ended()
            assert daemon.died()
            assert place.ca.answered_orders == 1
        place.ca.faults.add(
            Fault(resource="orders", action=actions.Refuse(problem=SERVER))
        )
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web"))
        assert place.ca.log.count("orders") == 2
        assert place.ca.answered_orders == 1


@pytest.mark.skipif(not is_root(), reason="needs root, to mount a small disk")
def test_a_full_disk_loses_nothing_and_is_an_alarm(tmp_path: Path) -> None:
    """Nothing is begun that cannot be written down; with space it goes on."""
    with scene(tmp_path, speed=SPEED) as place, small_disk(place.state):
        place.configure(certificate_table("web"))
        with place.daemon() as daemon:
            daemon.wait(lambda s: s.deployed("web"))
            begun = len(place.ca.log)
            filler = fill(place.state)
            with pytest.raises(Exception, match="no space left"):
                daemon.ask("renew", "web")
            place.clock.push(timedelta(days=60))
            status = daemon.wait(lambda s: s.alarms("nfcertd"))
            assert "no space left" in status.alarms("nfcertd")["state"]["cause"]
            assert len(place.ca.log) == begun
            filler.unlink()
            place.clock.push(timedelta(minutes=1))
            status = daemon.settle(lambda s: s.deployed("web", 2))
            assert not status.alarms("nfcertd")
            assert place.ca.answered_orders == 2
        assert daemon.ended() == 0


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Mount a file system with room for orders, and little more."""
    options = ("-t", "tmpfs", "-o", "size=32m,mode=711", "tmpfs", str(path))
    subprocess.run(["mount", *options], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> Path:
    """Leave no octet free below a path, and return the file that takes them."""
    filler = path / "filler"
    free = os.statvfs(path)
    filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize))
    return filler
