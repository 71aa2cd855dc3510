"""Which of the due jobs may run now: bounds for each CA, and solitude for suspects."""

from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from agent.records.certificate import Slot

MAX_TASKS: Final = 8
"""Jobs of one CA that run at the same time."""


class Place(NamedTuple):
    """A job among all jobs: its subject's kind and name, and its slot."""

    subject: str
    name: str
    slot: Slot


class Admission:
    """Decides about one due job at a time, in the order of their urgency."""

    def __init__(
        self, suspect: Callable[[Place], bool], ca: Callable[[Place], str | None]
    ) -> None:
        """Take what is known of a job.

        Args:
            suspect: Tells whether it was under way in a crash.
            ca: Returns the CA that it orders from; None for jobs that order nothing.
        """
        self._suspect = suspect
        self._ca = ca

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
        return sum(self._ca(other) == ca for other in running) < MAX_TASKS
