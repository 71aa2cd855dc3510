"""What a job can say when it is asked what comes next."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from agent.records.job import Failure

E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Do(Generic[E_co]):
    """Perform this effect now; its intent becomes durable first."""

    effect: E_co


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do before `until`; None waits for a change of something else.

    Attributes:
        until: Ask again at this instant.
        reason: For `plan`, `status` and the watchdog: a wait always has one.
    """

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The job has reached its end and is dropped from its subject."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of an effect that raised an `AgentError`."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Performed:
    """The outcome of an effect that has nothing to tell but that it was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Time and randomness for one fold: values, drawn once by the caller.

    Attributes:
        now: Wall time.
        draw: In [0, 1).
        token: 32 hexadecimal digits, fresh; becomes an id if one is needed.
    """

    now: datetime
    draw: float
    token: str
