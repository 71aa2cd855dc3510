"""Records as octets: versioned JSON, refused when newer or corrupt."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from agent.errors import AgentError
from agent.records.certificate import CertificateRecord
from agent.records.others import AccountRecord, InstanceRecord, TokenRecord

Record = CertificateRecord | AccountRecord | TokenRecord | InstanceRecord
R = TypeVar("R", CertificateRecord, AccountRecord, TokenRecord, InstanceRecord)
Raw = dict[str, object]

KINDS: Final[Mapping[type[Record], str]] = {
    CertificateRecord: "certificate",
    AccountRecord: "account",
    TokenRecord: "token",
    InstanceRecord: "instance",
}
VERSIONS: Final[Mapping[str, int]] = {
    "certificate": 1,
    "account": 1,
    "token": 1,
    "instance": 1,
}
MIGRATIONS: Final[Mapping[tuple[str, int], Callable[[Raw], Raw]]] = {}
"""(kind, version) -> pure function to the next version; empty at version 1."""


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
    envelope = {"version": VERSIONS[kind], "kind": kind, "record": record}
    return msgspec.json.format(msgspec.json.encode(envelope), indent=1) + b"\n"


def decode(data: bytes, kind: type[R]) -> R:
    """Return the record that a file holds, migrated to the current version.

    Raises:
        RecordError: It is corrupt, of another kind, or newer than this program.
    """
    name = KINDS[kind]
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
        if envelope.kind != name:
            raise RecordError(f"the record is of kind {envelope.kind}, not {name}")
        if envelope.version > VERSIONS[name]:
            raise RecordError(
                f"the record has version {envelope.version}, newer than this program",
                hint="install the version that wrote it, or a later one",
            )
        return _upgrade(envelope, kind)
    except msgspec.MsgspecError as error:
        raise RecordError(
            f"the record is corrupt: {error}",
            hint="restore the file from a copy, or remove it to begin again",
        ) from error


def version_of(data: bytes) -> int | None:
    """Return the version of a record's envelope, None where it is corrupt."""
    try:
        return msgspec.json.decode(data, type=Envelope).version
    except msgspec.MsgspecError:
        return None


def _upgrade(envelope: Envelope, kind: type[R]) -> R:
    name, version = KINDS[kind], envelope.version
    if version == VERSIONS[name]:
        return msgspec.json.decode(envelope.record, type=kind)
    raw: Raw = msgspec.json.decode(envelope.record)
    while version < VERSIONS[name]:
        migrate = MIGRATIONS.get((name, version))
        if migrate is None:
            raise RecordError(f"the record has version {version}, which never was")
        raw, version = migrate(raw), version + 1
    return msgspec.convert(raw, type=kind)
