"""The aggregate of a hook: what it has been told of, and what it has yet to take."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import msgspec

from agent.records.job import Job, Severity
from agent.records.phases import Phase


class Delivering(Phase, frozen=True, kw_only=True, tag="delivering"):
    """The program is run with the event that is first in the queue.

    Attributes:
        event: Number of the event.
    """

    event: int


HookJob = Job[Delivering]


class StandingAlarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alarm that stands, as a hook is told of it.

    Attributes:
        kind: Kind of its subject: `certificate`, `account`, `ca`, `token`, `trust`,
            `hook`, `record`, `nfcertd`.
        subject: Name of its subject.
        id: Slug that tells the alarms of a subject apart.
        severity: How bad it is.
        cause: One clause.
        action: What to do.
        raised: Since when.
    """

    kind: str
    subject: str
    id: str
    severity: Severity
    cause: str
    action: str = ""
    raised: datetime

    @property
    def key(self) -> str:
        """Return what tells it from every other alarm of this installation."""
        return f"{self.kind} {self.subject} {self.id}"


class HookEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a hook is told; docs/hooks.md says what each member means.

    Members that do not apply are empty, and absent in what the program reads.

    Attributes:
        sequence: Numbers the events of a hook.
        event: What happened.
        at: When.
        queued: When it was noticed here; what is kept too long is given up.
    """

    sequence: int
    event: str
    at: datetime
    queued: datetime
    certificate: str = ""
    nf: str = ""
    nf_instance_id: str = ""
    endpoint: str = ""
    publication: int = 0
    fingerprint: str = ""
    serial: str = ""
    ca: str = ""
    names: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    reason: str = ""
    by: str = ""
    state: str = ""
    alarm: str = ""
    subject_kind: str = ""
    subject: str = ""
    severity: str = ""
    cause: str = ""
    action: str = ""


class Announced(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a hook has been told of, or need not be told: the state as it knows it.

    Attributes:
        deployed: By certificate and endpoint: the publication proven last.
        revoked: By certificate: fingerprints of what is revoked.
        alarms: By key: the alarms that stand.
        decommissioned: By network function: instances that have ended.
    """

    deployed: Mapping[str, Mapping[str, int]] = msgspec.field(default_factory=dict)
    revoked: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    alarms: Mapping[str, StandingAlarm] = msgspec.field(default_factory=dict)
    decommissioned: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class HookRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is durable of a hook; one file, one rename, one transaction.

    Attributes:
        name: Its table in the configuration.
        stream: Drawn with the record; with the sequence it makes the id of an event.
        announced: The state that it knows; None before the first comparison.
        queue: Events that it has yet to take, oldest first.
        sequence: Number of the newest event; never goes back.
        delivered: How many it has taken.
        delivered_at: When it took the last one.
        dropped: How many were given up, or found no room.
        lost: How many of them since the queue was empty last.
        lost_at: When the first of those was lost.
        job: The job that delivers the first event of the queue.
    """

    JOBS: ClassVar[Mapping[str, str]] = {"hook": "job"}

    name: str
    stream: str = ""
    announced: Announced | None = None
    queue: tuple[HookEvent, ...] = ()
    sequence: int = 0
    delivered: int = 0
    delivered_at: datetime | None = None
    dropped: int = 0
    lost: int = 0
    lost_at: datetime | None = None
    job: HookJob | None = None
