"""The smaller aggregates: an account, a token, this installation."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import msgspec

from agent.records.certificate import RetireJob
from agent.records.job import Failure, Job
from agent.records.keys import KeyRecord, PinRecord
from agent.records.phases import (
    DeactivateWanted,
    RegisterPhase,
    RollPhase,
    UpdateWanted,
)

RegisterJob = Job[RegisterPhase]
RollJob = Job[RollPhase]
UpdateJob = Job[UpdateWanted]
DeactivateJob = Job[DeactivateWanted]


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ACME account (RFC 8555 section 7.1.2).

    Attributes:
        name: Its table in the configuration.
        directory: URL of the directory that knows it.
        key: The account key in force; None before the first registration.
        keys: Keys beside it: the next one of a roll-over, and those on their way out.
        key_count: Numbers account keys; never goes back.
        url: The account URL, exactly as in `Location`; it is the `kid`.
        orders: URL of its list of orders, where the CA has one.
        contact: The contacts that the CA was last told.
        eab_used: Key identifiers of the bindings that have registered it: each is good
            for one registration.
        closed: An operator has deactivated it: the status that is final, else empty.
        closed_at: Since when.
        closed_with: The network function that it was closed with; empty where an
            operator gave it up by itself.
        blocked: The CA wants a person to do something (section 7.3.3).
        roll_asked: An operator asked for a roll-over at this instant.
        register: The job that registers it.
        roll: The job that replaces its key.
        update: The job that tells the CA its contacts.
        deactivate: The job that gives it up.
        retire: Keys on their way out, by id.
        lost: Orders that answered `accountDoesNotExist` since the last success.
    """

    JOBS: ClassVar[Mapping[str, str]] = {
        "register": "register",
        "roll": "roll",
        "update": "update",
        "deactivate": "deactivate",
        "retire": "retire",
    }

    name: str
    directory: str
    key: KeyRecord | None = None
    keys: tuple[KeyRecord, ...] = ()
    key_count: int = 0
    url: str = ""
    orders: str = ""
    contact: tuple[str, ...] = ()
    eab_used: tuple[str, ...] = ()
    closed: str = ""
    closed_at: datetime | None = None
    closed_with: str = ""
    blocked: Failure | None = None
    roll_asked: datetime | None = None
    register: RegisterJob | None = None
    roll: RollJob | None = None
    update: UpdateJob | None = None
    deactivate: DeactivateJob | None = None
    retire: Mapping[str, RetireJob] = msgspec.field(default_factory=dict)
    lost: int = 0

    def spare(self, identity: str) -> KeyRecord:
        """Return a key beside the one in force by its id."""
        return next(key for key in self.keys if key.id == identity)


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered of a token: the fate of its PIN."""

    name: str
    pin: PinRecord = msgspec.field(default_factory=PinRecord)


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """This installation.

    Attributes:
        install: 16 hexadecimal digits drawn at first start; keys are labelled with it,
            so that another host's keys on a shared HSM are never taken for ours.
        high_water: Latest wall time ever seen at a start; a clock below it is wrong.
    """

    install: str
    high_water: datetime


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The key that signs the checkpoints of the audit trail.

    Attributes:
        name: Always `audit`.
        key: The key; None before there is one.
        key_count: Numbers its keys; never goes back.
    """

    name: str = "audit"
    key: KeyRecord | None = None
    key_count: int = 0
