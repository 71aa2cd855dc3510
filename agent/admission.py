"""Which of the due jobs may run now: bounds for each CA, and solitude for suspects."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from agent.records.slots import Slot

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
"""The end of what has no certificate yet."""


class Place(NamedTuple):
    """A job among all jobs: its subject's kind and name, and its slot."""

    subject: str
    name: str
    slot: Slot


class Urgency(NamedTuple):
    """How jobs are ordered: the smallest first.

    Emergencies come before everything, so that a burst of first enrolments cannot hold
    up what is about to end; then what has no certificate at all, then the earliest end.
    Every job that fails or ends makes room, and whatever waits becomes an emergency in
    time: nobody starves.
    """

    calm: bool
    end: datetime
    place: Place


class Admission:
    """Decides about one due job at a time, in the order of their urgency."""

    def __init__(
        self,
        suspect: Callable[[Place], bool],
        ca: Callable[[Place], str | None],
        room: Callable[[str], int],
    ) -> None:
        """Take what is known of a job.

        Args:
            suspect: Tells whether it was under way in a crash.
            ca: Returns the CA that it orders from; None for jobs that order nothing.
            room: Returns how many jobs of a CA may run at the same time.
        """
        self._suspect = suspect
        self._ca = ca
        self._room = room

    def alone(self, running: Iterable[Place], due: Iterable[Place]) -> Place | None:
        """Return a job that was under way in a crash: no other may be blamed for it.

        It runs by itself until it has got over the effect, or has crashed too often.
        """
        return next(filter(self._suspect, (*running, *due)), None)

    def admits(
        self, place: Place, running: Collection[Place], alone: Place | None
    ) -> bool:
        """Bound what runs at once for one CA; deployments and keys are not held up."""
        if alone is not None:
            return place == alone and not running
        ca = self._ca(place)
        if ca is None:
            return True
        return sum(self._ca(other) == ca for other in running) < self._room(ca)
