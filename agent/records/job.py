"""The envelope that every durable job has, whatever its kind."""

from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec


class Disposition(StrEnum):
    """What follows from a failure; decided by one table."""

    RETRY_NOW = "retry-now"
    BACK_OFF = "back-off"
    WAIT_UNTIL = "wait-until"
    """The peer named an instant, or something else must happen first."""
    NEEDS_OPERATOR = "needs-operator"
    """Alarm at once; tried again once a day."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the last attempt of a job failed.

    Attributes:
        kind: Slug of the error, `acme:<type>` for a problem document.
        message: One clause for the operator; no secret, no control character.
        hint: What to do about it, or empty.
        at: When it happened.
        retry_at: The instant before which the peer asked not to be asked again.
        disposition: What the table decided.
    """

    kind: str
    message: str
    hint: str = ""
    at: datetime
    retry_at: datetime | None = None
    disposition: Disposition


P = TypeVar("P")


class Job(msgspec.Struct, Generic[P], frozen=True, kw_only=True, omit_defaults=True):
    """A finite piece of work, embedded in its subject's aggregate.

    Attributes:
        id: Random, so that an outcome is never folded into a job that replaced its own.
        phase: How far it has come; a tagged struct of its kind.
        reason: Why the job exists, in words for `plan` and the log.
        created: When it was spawned.
        intent: The effect that is about to be performed; durable before the act.
        running: True from the intent to the outcome; found at start, it is a crash.
        crashes: Starts of the process that found it running.
        crashed_in: The effect that the last of them found under way.
        failures: Attempts that failed in a row.
        not_before: Nothing is done before this instant (back-off, Retry-After).
        polls: Polls since the phase was entered; spaces them.
        failure: The last failure.
    """

    id: str
    phase: P
    reason: str
    created: datetime
    intent: str = ""
    running: bool = False
    crashes: int = 0
    crashed_in: str = ""
    failures: int = 0
    not_before: datetime | None = None
    polls: int = 0
    failure: Failure | None = None


class Severity(StrEnum):
    """How bad an alarm is."""

    WARNING = "warning"
    MAJOR = "major"
    CRITICAL = "critical"


class Alarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person must know, until it is over.

    Attributes:
        severity: How bad it is.
        cause: One clause.
        action: What to do.
        raised: Since when.
    """

    severity: Severity
    cause: str
    action: str = ""
    raised: datetime
