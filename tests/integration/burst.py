"""Many certificates that are due at the same moment, at one CA with a configured rate.

It knows how a scene is brought there and what is measured. It asserts nothing.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.ca import Authorizations, Config, Profile
from tests.integration.scene import Daemon, Scene, certificate_table, scene

LIFE: Final = timedelta(days=90)
DUE: Final = LIFE * 0.7
"""After two thirds of the life every renewal is due, whatever was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of the daemon.

    Attributes:
        count: Certificates.
        rate: Requests a second that the configuration allows.
        concurrency: Certificates that are ordered at the same time.
    """

    count: int
    rate: float
    concurrency: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What was seen while all of them were renewed.

    Attributes:
        count: Certificates.
        seconds: From the moment at which all were due to the last certificate.
        requests: How many requests the CA had.
        busiest: The most requests that arrived within a second.
        begun: Names in the order in which their renewals began.
        by_end: Names in the order in which the old certificates ended.
        renewed: Names that have a new certificate.
        at_once: The most certificates whose orders were under way together.
    """

    count: int
    seconds: float
    requests: int
    busiest: int
    begun: list[str]
    by_end: list[str]
    renewed: list[str]
    at_once: int

    @property
    def inversions(self) -> int:
        """Return how many neighbours began in the wrong order."""
        rank = {name: index for index, name in enumerate(self.by_end)}
        return sum(rank[one] > rank[two] for one, two in pairwise(self.begun))


def burst(home: Path, load: Load, within: float) -> Burst:
    """Enrol certificates, let all of them be due at once, and watch.

    Args:
        home: An empty directory.
        load: How many, and how fast.
        within: Real seconds that each of the two may take.
    """
    names = [f"nf{number:03}" for number in range(load.count)]
    config = Config(authorizations=Authorizations.NONE, profile=Profile(lifetime=LIFE))
    with scene(home, config) as on:
        _configure(on, names, load)
        writes = home / "writes"
        with on.daemon("--writes", str(writes)) as daemon:
            _wait(daemon, on, names, 1, within)
            _rest(daemon)
            ends = {name: _issuance(on, name)["not_after"] for name in names}
            written, asked = len(_lines(writes)), len(on.ca.log)
            on.clock.push(DUE)
            begun_at = on.clock.now()
            _wait(daemon, on, names, 2, within)
            lines = _lines(writes)[written:]
            arrivals = [entry.at for entry in on.ca.log][asked:]
            last = max(_instant(_issuance(on, n)["issued_at"]) for n in names)
            return Burst(
                count=load.count,
                seconds=(last - begun_at).total_seconds(),
                requests=len(arrivals),
                busiest=_busiest(arrivals),
                begun=list(dict.fromkeys(_beginning(lines))),
                by_end=sorted(names, key=lambda name: (ends[name], name)),
                renewed=[n for n in names if _publications(on, n) >= 2],
                at_once=_at_once(lines),
            )


def _configure(on: Scene, names: list[str], load: Load) -> None:
    on.configure(*(certificate_table(name) for name in names), health=False)
    more = on.home / "conf.d"
    more.mkdir()
    (more / "rate.toml").write_text(
        f"[ca.test]\nrequests_per_second = {load.rate}\n"
        f"concurrency = {load.concurrency}\n"
    )


def _wait(
    daemon: Daemon, on: Scene, names: list[str], number: int, within: float
) -> None:
    daemon.wait(lambda _: all(_publications(on, n) >= number for n in names), within)


def _rest(daemon: Daemon) -> None:
    """Wait until nothing runs, so that the push meets a daemon that sleeps."""
    for _ in range(2):
        daemon.wait(lambda s: not any(c["jobs"] for c in s.view["certificates"]))
        time.sleep(1)


def _record(on: Scene, name: str) -> dict[str, object]:
    path = on.state / "records" / "certificate" / f"{name}.json"
    if not path.exists():
        return {}
    record: dict[str, object] = json.loads(path.read_bytes())["record"]
    return record


def _publications(on: Scene, name: str) -> int:
    count = _record(on, name).get("publication_count", 0)
    assert isinstance(count, int)
    return count


def _issuance(on: Scene, name: str) -> dict[str, str]:
    publications = _record(on, name)["publications"]
    assert isinstance(publications, list)
    issuance: dict[str, str] = publications[-1]["issuance"]
    return issuance


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _lines(writes: Path) -> list[tuple[str, list[str]]]:
    """Return name and effects under way of every write of a certificate."""
    found = []
    for line in writes.read_text().splitlines():
        kind, name, effects = line.split()
        if kind == "certificate":
            found.append((name, effects.split(",")))
    return found


def _beginning(lines: list[tuple[str, list[str]]]) -> Iterator[str]:
    """Yield names at the first effect of their renewals."""
    for name, effects in lines:
        if "make-key" in effects:
            yield name


def _at_once(lines: list[tuple[str, list[str]]]) -> int:
    """Return the most orders that were under way together."""
    ordering = {"create-order", "finalize", "fetch-order", "download"}
    under_way: set[str] = set()
    most = 0
    for name, effects in lines:
        if ordering.isdisjoint(effects):
            under_way.discard(name)
        else:
            under_way.add(name)
        most = max(most, len(under_way))
    return most


def _busiest(arrivals: list[datetime]) -> int:
    """Return the most arrivals within any second."""
    most, first = 0, 0
    for index, at in enumerate(arrivals):
        while at - arrivals[first] >= timedelta(seconds=1):
            first += 1
        most = max(most, index - first + 1)
    return most
