"""Records as octets: versioned JSON, refused when newer or corrupt."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import msgspec

from agent.errors import AgentError
from agent.records.authority import CaRecord
from agent.records.bootstrap import BootstrapRecord
from agent.records.certificate import CertificateRecord
from agent.records.hook import HookRecord
from agent.records.nf import NfRecord
from agent.records.others import AccountRecord, AuditRecord, InstanceRecord, TokenRecord
from agent.records.trust import TrustRecord

Record = (
    CertificateRecord
    | AccountRecord
    | CaRecord
    | TokenRecord
    | InstanceRecord
    | TrustRecord
    | AuditRecord
    | BootstrapRecord
    | HookRecord
    | NfRecord
)
R = TypeVar(
    "R",
    CertificateRecord,
    AccountRecord,
    CaRecord,
    TokenRecord,
    InstanceRecord,
    TrustRecord,
    AuditRecord,
    BootstrapRecord,
    HookRecord,
    NfRecord,
)
J = TypeVar("J", CertificateRecord, AccountRecord, TrustRecord, HookRecord)
"""A record that has jobs."""
Raw = dict[str, object]

KINDS: Final[Mapping[type[Record], str]] = {
    CertificateRecord: "certificate",
    AccountRecord: "account",
    CaRecord: "ca",
    TokenRecord: "token",
    InstanceRecord: "instance",
    TrustRecord: "trust",
    AuditRecord: "audit",
    BootstrapRecord: "bootstrap",
    HookRecord: "hook",
    NfRecord: "nf",
}
VERSIONS: Final[Mapping[str, int]] = {
    "certificate": 1,
    "account": 1,
    "ca": 1,
    "token": 1,
    "instance": 1,
    "trust": 1,
    "audit": 1,
    "bootstrap": 1,
    "hook": 1,
    "nf": 1,
}


class Schema(NamedTuple):
    """Which versions there are, and how one becomes the next.

    Attributes:
        versions: The current version of each kind.
        migrations: (kind, version) -> pure function to the next version.
    """

    versions: Mapping[str, int] = VERSIONS
    migrations: Mapping[tuple[str, int], Callable[[Raw], Raw]] = MappingProxyType({})


SCHEMA: Final = Schema()
"""This program's; nothing is migrated as long as every kind has version 1."""
_CORRUPT: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class RecordError(AgentError):
    """A record is corrupt or newer than this program; it quarantines its subject."""

    kind = "state.record"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around every record in its file."""

    version: int
    kind: str
    record: msgspec.Raw


def encode(record: Record) -> bytes:
    """Return a record in its envelope as JSON, indented for the person who debugs."""
    kind = KINDS[type(record)]
    envelope = {"version": SCHEMA.versions[kind], "kind": kind, "record": record}
    return msgspec.json.format(msgspec.json.encode(envelope), indent=1) + b"\n"


def decode(data: bytes, kind: type[R], schema: Schema = SCHEMA) -> R:
    """Return the record that a file holds, migrated to the current version.

    Args:
        data: The file.
        kind: What it should hold.
        schema: The versions that are known.

    Raises:
        RecordError: It is corrupt, of another kind, or newer than this program.
    """
    name = KINDS[kind]
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
        if envelope.kind != name:
            raise RecordError(f"the record is of kind {envelope.kind}, not {name}")
        if envelope.version > schema.versions[name]:
            raise RecordError(
                f"the record has version {envelope.version}, newer than this program",
                hint="install the version that wrote it, or a later one",
            )
        return _upgrade(envelope, kind, schema)
    except _CORRUPT as error:
        raise RecordError(
            f"the record is corrupt: {error}",
            hint="restore the file from a copy, or remove it to begin again",
        ) from error


def version_of(data: bytes) -> int | None:
    """Return the version of a record's envelope, None where it is corrupt."""
    try:
        return msgspec.json.decode(data, type=Envelope).version
    except _CORRUPT:
        return None


def _upgrade(envelope: Envelope, kind: type[R], schema: Schema) -> R:
    name, version = KINDS[kind], envelope.version
    if version == schema.versions[name]:
        return msgspec.json.decode(envelope.record, type=kind)
    raw: Raw = msgspec.json.decode(envelope.record)
    while version < schema.versions[name]:
        migrate = schema.migrations.get((name, version))
        if migrate is None:
            raise RecordError(f"the record has version {version}, which never was")
        raw, version = migrate(raw), version + 1
    return msgspec.convert(raw, type=kind)
