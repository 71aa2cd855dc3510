"""Records in their files: what is written is read, what is strange is refused."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.jobs.reconcile import reconcile
from agent.records.certificate import CertificateRecord
from agent.records.codec import Raw, RecordError, Schema, decode, encode, version_of
from agent.records.keys import PinRecord, PinStatus
from agent.records.others import AccountRecord, InstanceRecord, TokenRecord
from agent.records.phases import Stage
from tests.vectors.records import (
    ACCOUNT,
    NOW,
    PHASES,
    context,
    deploy_job,
    enrolled,
    failure,
    issue_job,
    moment,
)

INSTANCE = InstanceRecord(install="0123456789abcdef", high_water=NOW)
TOKEN = TokenRecord(
    name="hsm",
    pin=PinRecord(
        status=PinStatus.REFUSED, salt=b"\x00\xff", fingerprint=b"x" * 32, since=NOW
    ),
)
FULL = replace(
    reconcile(enrolled(3), context(), moment()),
    issue=issue_job(PHASES["answering-answered"], failure=failure(retry_at=NOW)),
    deploy={"": deploy_job(Stage.REVERTING, previous=1), "b": deploy_job(Stage.PROVEN)},
    wanted=context().wanted,
)


@pytest.mark.parametrize(
    "record",
    [CertificateRecord(name="amf1"), FULL, ACCOUNT, TOKEN, INSTANCE],
    ids=["empty", "full", "account", "token", "instance"],
)
def test_what_is_written_is_read(record: Any) -> None:
    """Every kind, with its version, as lines that a person can read."""
    data = encode(record)
    assert decode(data, type(record)) == record
    assert version_of(data) == 1
    assert data.endswith(b"\n")
    assert data.count(b"\n") > 3


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_is_read_as_what_it_was(phase: str) -> None:
    """Its tag says which it is."""
    record = replace(enrolled(), issue=issue_job(PHASES[phase]))
    assert decode(encode(record), CertificateRecord) == record


def envelope(**members: Any) -> bytes:
    """Return a file whose envelope has these members."""
    base = {"version": 1, "kind": "token", "record": {"name": "hsm"}}
    return msgspec.json.encode(base | members)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the record is corrupt: "),
        (b"\x00" * 50, "the record is corrupt: "),
        (b'{"version": 1, "kind": "token"}', "missing required field `record`"),
        (encode(TOKEN)[:60], "the record is corrupt: "),
        (envelope(record={}), "missing required field `name`"),
        (envelope(record={"name": 5}), "expected `str`, got `int`"),
        (envelope(kind="account"), "the record is of kind account, not token"),
        (envelope(version=2), "the record has version 2, newer than this program"),
        (envelope(version=0), "the record has version 0, which never was"),
        (envelope(version="1"), "the record is corrupt: "),
        (
            envelope(record={"name": "\ud7ff"}).replace("\ud7ff".encode(), b"\xff"),
            "the record is corrupt: ",
        ),
        (envelope()[:-1] + b', "x": ' + b'{"a":' * 50_000, "the record is corrupt: "),
    ],
)
def test_a_strange_file_is_refused(data: bytes, message: str) -> None:
    """One error, which quarantines one subject; never another exception."""
    with pytest.raises(RecordError) as caught:
        decode(data, TokenRecord)
    assert message.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    ("data", "version"),
    [(b"", None), (b"{", None), (b'{"a":' * 50_000, None), (envelope(version=7), 7)],
)
def test_the_version_of_any_file_is_known(data: bytes, version: int | None) -> None:
    """Or it is known to have none."""
    assert version_of(data) == version


def renamed(raw: Raw) -> Raw:
    """Migrate 1 to 2: `label` becomes `name`."""
    return {"name": raw["label"], "lost": raw.get("lost", 0)}


def found_again(raw: Raw) -> Raw:
    """Migrate 2 to 3: an account gets its directory."""
    return raw | {"directory": "https://ca.example/directory"}


LATER = Schema(
    versions={"account": 3},
    migrations={("account", 1): renamed, ("account", 2): found_again},
)


@pytest.mark.parametrize(
    ("version", "raw"),
    [
        (1, {"label": "operator", "lost": 1}),
        (2, {"name": "operator", "lost": 1}),
        (
            3,
            {
                "name": "operator",
                "lost": 1,
                "directory": "https://ca.example/directory",
            },
        ),
    ],
)
def test_an_old_record_is_migrated_step_by_step(version: int, raw: Raw) -> None:
    """From whichever version it has to the current one."""
    data = envelope(kind="account", version=version, record=raw)
    record = decode(data, AccountRecord, LATER)
    assert (record.name, record.lost) == ("operator", 1)
    assert record.directory == "https://ca.example/directory"


def test_a_migrated_record_keeps_its_octets_and_instants() -> None:
    """What JSON writes as text becomes octets and time again."""
    same = Schema(versions={"token": 2}, migrations={("token", 1): dict})
    assert decode(encode(TOKEN), TokenRecord, same) == TOKEN


@pytest.mark.parametrize(
    ("version", "raw", "message"),
    [
        (0, {"name": "x"}, "version 0, which never was"),
        (4, {"name": "x"}, "version 4, newer than this program"),
        (2, {"lost": 1}, "missing required field `name`"),
    ],
)
def test_a_migration_that_fails_is_a_record_error(
    version: int, raw: Raw, message: str
) -> None:
    """A gap, a newer version, or a result that is no record."""
    data = envelope(kind="account", version=version, record=raw)
    with pytest.raises(RecordError, match=message):
        decode(data, AccountRecord, LATER)
