"""Where a daemon is to die, and lives of a subject that go through such deaths.

The writes are enumerated from a life that nobody disturbs. Then there is one life for
each instant around a write that differs from the others: whoever resumes the one ends
it before the next begins.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from tests.integration.scene import Daemon, Scene

NOTHING: Final = "-"
"""What a noted write says where no effect has begun."""


class Lives(Protocol):
    """Lives of a subject, one after the other, whoever the daemon is by now."""

    def begin(self) -> None:
        """Want another life."""
        ...

    def go_on(self, daemon: Daemon) -> bool:
        """Go on to the end of the life; False where the daemon died.

        Writes count, and kill, while the file `armed` of the scene is there.
        """
        ...

    def wrong(self) -> list[str]:
        """Return what does not hold after a life, one clause each."""
        ...


def instants(writes: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield where to die: at every write, at each instant that differs from the others.

    Between the write that begins an effect and the next one, the effect happens: right
    after the first it has not, right before the second it has. Between other writes
    nothing happens outside the daemon: right after the one is what right before the
    other is, and they are taken in turn.
    """
    begun: dict[str, str] = {}
    quiet = 0
    for number, line in enumerate(writes, 1):
        subject, _, effects = line.rpartition(" ")
        begun[subject] = effects
        acting = any(effect != NOTHING for effect in begun.values())
        last = number == len(writes)
        quiet += not acting
        if acting or last or quiet % 2:
            yield "--kill-after", number
        if not last and (acting or not quiet % 2):
            yield "--kill-before", number + 1


def strike_everywhere(place: Scene, lives: Lives, *, before: int, spared: int) -> None:
    """Lead lives through every death; print how many there were.

    Args:
        place: Where the daemons run.
        lives: What they do; nothing may be wrong after any.
        before: Lives that pass before the one whose writes are noted.
        spared: How many deaths may stay away: not every life makes every write, such
            as a poll's.
    """
    writes, armed = place.home / "writes", ("--armed", str(place.home / "armed"))
    for noted in (*[()] * before, ("--writes", str(writes))):
        lives.begin()
        with place.daemon(*armed, *noted) as daemon:
            assert lives.go_on(daemon)
        assert not lives.wrong(), lives.wrong()
    lines = writes.read_text().splitlines()
    deaths, killed = list(instants(lines)), 0
    for option, number in deaths:
        lives.begin()
        with place.daemon(*armed, option, str(number)) as daemon:
            survived = lives.go_on(daemon)
        killed += not survived and daemon.died()
        with place.daemon() as daemon:
            assert lives.go_on(daemon)
        assert not lives.wrong(), (option, number, lives.wrong())
    print(f"{killed} of {len(deaths)} died at {len(lines)} writes")
    assert killed >= len(deaths) - spared
