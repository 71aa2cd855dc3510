"""The smaller aggregates: an account, a token, this installation."""

from datetime import datetime

import msgspec

from agent.records.job import Job
from agent.records.keys import KeyRecord, PinRecord
from agent.records.phases import RegisterPhase

RegisterJob = Job[RegisterPhase]


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ACME account (RFC 8555 section 7.1.2).

    Attributes:
        name: Its table in the configuration.
        directory: URL of the directory that knows it.
        key: The account key; None before the first registration.
        key_count: Numbers account keys; never goes back.
        url: The account URL, exactly as in `Location`; it is the `kid`.
        orders: URL of its list of orders, where the CA has one.
        register: The job that registers it.
        lost: Orders that answered `accountDoesNotExist` since the last success.
    """

    name: str
    directory: str
    key: KeyRecord | None = None
    key_count: int = 0
    url: str = ""
    orders: str = ""
    register: RegisterJob | None = None
    lost: int = 0


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
