"""A revocation and a replacement survive a kill at each of their durable writes.

The writes are enumerated from a journey that nobody disturbs. Then there is one journey
for each instant around a write that differs from the others. All of them happen to one
certificate, one after the other: who resumes the one begins the next, and dies.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest

from agent.records.certificate import CertificateRecord
from agent.store import Store
from tests.integration.killing import FILE, Journey, OpenDoor, Track, tracked
from tests.integration.scene import Daemon, Scene, Status
from tests.integration.served import Watcher
from tests.integration.striking import Writes, instants, require_most
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
KEY_COMPROMISE, SUPERSEDED = 1, 4
KEYS = 2
"""One of the certificate and one of the account."""


class Retraction(Journey):
    """What takes the certificate in service out of the world, and a new one into it."""

    orders: ClassVar[int] = 1
    verb: ClassVar[str]
    reason: ClassVar[int]
    arguments: ClassVar[Mapping[str, str | bool]]

    def __init__(self, place: Scene, watcher: Watcher, open_door: OpenDoor) -> None:
        """Begin with what is served now."""
        super().__init__(place, watcher, open_door)
        record = Store(place.state).get(CertificateRecord, "web")
        assert record is not None
        assert record.current is not None
        self._first = int(record.current.serial, 16)
        self._number = record.publication_count
        self._revoked = frozenset(place.ca.revoked)

    def step(self, daemon: Daemon, status: Status) -> bool:
        """Ask once, and see the new certificate served and the old key gone."""
        shown = status.certificate("web")
        if status.deployed("web", self._number + 1):
            return len(daemon.ask("keys")["keys"]) == KEYS
        asked = self._first in self.scene.ca.revoked or any(
            job["slot"].startswith(("replace", "revoke"))
            for job in shown.get("jobs", [])
        )
        if status.deployed("web", self._number) and not asked:
            daemon.ask(self.verb, "web", confirm="web", **self.arguments)
        return False

    def wrong(self, record: CertificateRecord) -> Iterator[str]:
        """Yield where the first certificate, and only that, is not revoked."""
        revoked = {
            number: revocation.reason
            for number, revocation in self.scene.ca.revoked.items()
            if number not in self._revoked
        }
        if revoked != {self._first: self.reason}:
            yield f"revoked are {revoked}, not {self._first}"
        known = {i.serial: i.revocation for i in record.issued}
        revocation = known.get(f"{self._first:x}")
        if revocation is None or not revocation.ours:
            yield f"it remembers {known}"


class Revocation(Retraction):
    """It is revoked and ordered again."""

    verb: ClassVar[str] = "revoke"
    reason: ClassVar[int] = SUPERSEDED
    arguments: ClassVar[Mapping[str, str | bool]] = {"reason": "superseded"}


class Replacement(Retraction):
    """Its key is compromised: it is replaced, revoked, and the key destroyed."""

    verb: ClassVar[str] = "replace"
    reason: ClassVar[int] = KEY_COMPROMISE
    arguments: ClassVar[Mapping[str, str | bool]] = {"compromised": True}


class Striker:
    """Makes journeys of a kind; every daemon ends one, begins the next, and dies."""

    def __init__(self, track: Track, kind: type[Retraction]) -> None:
        """Begin with an enrolment, and a journey that nobody disturbs."""
        self._track = track
        self._kind = kind
        self._armed = track.place.home / "armed"
        self._writes = Writes(track.place)
        with self._daemon() as daemon:
            daemon.settle_deployed("web")
            assert self._travel(daemon)
        self.deaths = list(instants(self._writes.lines))

    def _daemon(self, *options: str) -> AbstractContextManager[Daemon]:
        options = (*self._writes.options, *options)
        return self._track.place.daemon("--armed", str(self._armed), *options)

    def _travel(self, daemon: Daemon) -> bool:
        """Make the next journey; writes count from its beginning to its end."""
        self._journey = self._track.begin(self._kind)
        self._writes.forget()
        self._armed.touch()
        arrived = self._journey.travel(daemon)
        self._armed.unlink()
        return arrived

    def die(self, option: str, number: int) -> bool:
        """End what is left, begin a journey, and tell whether the daemon died."""
        with self._daemon(option, str(number)) as daemon:
            self._arrive(daemon)
            arrived = self._travel(daemon)
        return self._writes.killed(daemon, number, arrived=arrived)

    def arrive(self) -> None:
        """End what the last daemon left."""
        with self._daemon() as daemon:
            self._arrive(daemon)
        assert daemon.part.process.returncode == 0

    def _arrive(self, daemon: Daemon) -> None:
        assert self._journey.travel(daemon)
        assert not self._track.wrong(self._journey)


def strike(home: Path, kind: type[Retraction]) -> None:
    """Kill journeys of a kind at every instant that differs."""
    with tracked(home, FILE) as track:
        striker = Striker(track, kind)
        killed = sum(striker.die(option, number) for option, number in striker.deaths)
        striker.arrive()
    require_most(killed, len(striker.deaths))


def test_a_kill_at_every_durable_write_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Killed anywhere: one revoked, one served throughout, its key the only one."""
    journeys = (Revocation, Replacement)
    homes = [tmp_path / journey.verb for journey in journeys]
    with ThreadPoolExecutor(len(journeys)) as pool:
        list(pool.map(strike, homes, journeys))


def test_instants_around_writes_are_told_apart() -> None:
    """An effect has two of them, everything else one."""
    writes = ["web make-key", "token -", "web -", "web -", "web swap", "web -"]
    assert list(instants(writes)) == [
        ("--kill-after", 1),
        ("--kill-before", 2),
        ("--kill-after", 2),
        ("--kill-before", 3),
        ("--kill-after", 3),
        ("--kill-before", 5),
        ("--kill-after", 5),
        ("--kill-before", 6),
        ("--kill-after", 6),
    ]
