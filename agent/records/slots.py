"""Where jobs stand in their subject's record: by kind, and by what they are about."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from agent.records.job import Job


class Slot(NamedTuple):
    """Where a job stands in its subject: its kind, and what it is about.

    Attributes:
        kind: A key of the record's `JOBS`.
        name: Endpoint of a deployment, id of a key to retire, fingerprint of a
            certificate to revoke, else empty.
    """

    kind: str
    name: str = ""


class HasJobs(Protocol):
    """A record that has jobs.

    Attributes:
        JOBS: By kind: the member that holds the one job, or a mapping of many by name.
    """

    JOBS: ClassVar[Mapping[str, str]]


S = TypeVar("S", bound=HasJobs)


def jobs(record: HasJobs) -> dict[Slot, Job[Any]]:
    """Return every job of a record by its place."""
    found: dict[Slot, Job[Any]] = {}
    for kind, member in record.JOBS.items():
        held = getattr(record, member)
        if isinstance(held, Mapping):
            found |= {Slot(kind, name): job for name, job in held.items()}
        elif held is not None:
            found[Slot(kind)] = held
    return found


def with_job(record: S, slot: Slot, job: Job[Any]) -> S:
    """Return the record with the job of a slot replaced by another of its kind."""
    member = record.JOBS[slot.kind]
    held = getattr(record, member)
    changed = {**held, slot.name: job} if isinstance(held, Mapping) else job
    return replace(record, **{member: changed})  # type: ignore[type-var]  # a struct
