"""Where jobs stand in their subject's record: by kind, and by what they are about."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

R = TypeVar("R", bound=msgspec.Struct)


class Slot(NamedTuple):
    """Where a job stands in its subject: its kind, and what it is about.

    Attributes:
        kind: `issue`, `deploy`, `retire`, `revoke`, `replace`, `status`,
            `renewal-info`, `csr`, `abandon`; for accounts `register`, `roll`, `update`,
            `deactivate`, `retire`.
        name: Endpoint of a deployment, id of a key to retire, fingerprint of a
            certificate to revoke, else empty.
    """

    kind: str
    name: str = ""


def jobs_at(record: msgspec.Struct, members: Mapping[str, str]) -> dict[Slot, Any]:
    """Return every job of a record by its place.

    Args:
        record: Any record that has jobs.
        members: By kind: the member that holds one job, or a mapping of many by name.
    """
    found: dict[Slot, Any] = {}
    for kind, member in members.items():
        held = getattr(record, member)
        if isinstance(held, Mapping):
            found |= {Slot(kind, name): job for name, job in held.items()}
        elif held is not None:
            found[Slot(kind)] = held
    return found


def with_job_at(record: R, members: Mapping[str, str], slot: Slot, job: object) -> R:
    """Return the record with the job of a slot replaced."""
    member = members[slot.kind]
    held = getattr(record, member)
    if isinstance(held, Mapping):
        return replace(record, **{member: {**held, slot.name: job}})
    return replace(record, **{member: job})
