"""What the manager asks of a kind of subject, and nothing more.

A kind says which jobs should exist, which exist and how urgent they are, and hands one
to the runner. The manager knows no kind; a further one is one class and one line.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol

from agent.admission import Place, Urgency
from agent.config.model import Config
from agent.jobs.step import Moment
from agent.records.job import Failure
from agent.runner import Work

Draw = Callable[[], Moment]
"""Returns the instant and fresh randomness, for one edit."""


class Subjects(Protocol):
    """All subjects of one kind."""

    def configure(self, config: Config) -> None:
        """Take a checked configuration; comes before everything else."""
        ...

    def reconcile(self, moment: Draw) -> Iterator[datetime]:
        """Give every subject its jobs; yield when each would change by itself.

        What it yields lies in the future. Raises `StoreError` where a record cannot be
        made durable.
        """
        ...

    def jobs(self, now: datetime) -> Iterator[Urgency]:
        """Yield the place of every job that is still wanted, due or not."""
        ...

    def work(self, place: Place, moment: Draw) -> Work[Any, Any]:
        """Return a job, for the runner."""
        ...

    def is_suspect(self, place: Place) -> bool:
        """Tell whether a job was under way in a crash and has not got over it yet."""
        ...

    def ca(self, place: Place) -> str | None:
        """Return the CA that a job asks something of; None where it asks nothing."""
        ...

    def failures(self) -> Iterator[Failure]:
        """Yield the last failure of every job that has one."""
        ...

    async def settle(self, place: Place) -> None:
        """Let go of what a job that has just stopped no longer needs."""
        ...
