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


class Writes:
    """The file in which a daemon notes its writes, for one life after the other."""

    def __init__(self, place: Scene) -> None:
        """Use a file of the scene."""
        self._path = place.home / "writes"
        self.options = ("--writes", str(self._path))

    def forget(self) -> None:
        """Begin anew."""
        self._path.write_text("")

    @property
    def lines(self) -> list[str]:
        """Return what was noted since."""
        return self._path.read_text().splitlines()

    def killed(self, daemon: Daemon, number: int, *, arrived: bool) -> bool:
        """Tell whether a daemon that has ended was killed at a write.

        It may have arrived before that: how many writes a life makes depends on how
        often it had to look, and so on the machine. Everything else is a failure.
        """
        made = len(self.lines)
        if daemon.died():
            assert made in {number - 1, number}, "something else killed it"
            return True
        assert arrived, daemon.part.tail()
        assert made < number, f"write {number} killed nobody"
        return False


def require_most(killed: int, deaths: int) -> None:
    """Print how many died, and fail where that shows too little."""
    print(f"{killed} of {deaths} died")
    assert killed > deaths / 2


def strike_everywhere(place: Scene, lives: Lives, *, before: int = 0) -> None:
    """Lead lives through every death.

    Args:
        place: Where the daemons run.
        lives: What they do; nothing may be wrong after any.
        before: Lives that pass before the one whose writes are enumerated.
    """
    writes, killed = Writes(place), 0
    options = (*writes.options, "--armed", str(place.home / "armed"))
    for _ in range(before + 1):
        writes.forget()
        lives.begin()
        with place.daemon(*options) as daemon:
            assert lives.go_on(daemon)
        assert not lives.wrong(), lives.wrong()
    deaths = list(instants(writes.lines))
    for option, number in deaths:
        writes.forget()
        lives.begin()
        with place.daemon(*options, option, str(number)) as daemon:
            arrived = lives.go_on(daemon)
        killed += writes.killed(daemon, number, arrived=arrived)
        with place.daemon() as daemon:
            assert lives.go_on(daemon)
        assert not lives.wrong(), (option, number, lives.wrong())
    require_most(killed, len(deaths))
