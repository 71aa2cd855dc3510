"""The durable store: whole records, one daemon, early refusals."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.records.certificate import CertificateRecord
from agent.records.codec import RecordError
from agent.records.others import InstanceRecord
from agent.store import Store, StoreError


def prepared(tmp_path: Path) -> Store:
    """Return a store that is ready."""
    store = Store(tmp_path / "state")
    store.prepare()
    return store


def test_what_was_put_is_got_back(tmp_path: Path) -> None:
    """Records come back as they were, and are listed by name."""
    store = prepared(tmp_path)
    records = [CertificateRecord(name=n, orders=3) for n in ("smf", "amf")]
    for record in records:
        store.put(record)
    assert store.get(CertificateRecord, "amf") == records[1]
    assert list(store.names(CertificateRecord)) == ["amf", "smf"]
    assert store.get(CertificateRecord, "upf") is None


def test_records_are_for_their_owner_only(tmp_path: Path) -> None:
    """Directories are 0700 and files 0600, whatever the umask."""
    store = prepared(tmp_path)
    store.put(InstanceRecord(install="00" * 8, high_water=datetime.now(UTC)))
    root = tmp_path / "state" / "records"
    file = root / "instance" / "instance.json"
    assert oct(root.stat().st_mode & 0o777) == "0o700"
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_two_daemons_cannot_share_a_state_directory(tmp_path: Path) -> None:
    """The second one is refused before it reads anything."""
    first = prepared(tmp_path)
    with pytest.raises(StoreError, match="is used by another nfcertd"):
        Store(tmp_path / "state").prepare()
    assert list(first.names(CertificateRecord)) == []


def test_a_directory_that_cannot_be_made_is_refused_early(tmp_path: Path) -> None:
    """The error names the directory and who should have made it."""
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(StoreError, match="cannot use the state directory") as caught:
        Store(tmp_path / "state").prepare()
    assert "StateDirectory" in caught.value.hint


def test_a_corrupt_record_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    """It is refused, and nothing of it is overwritten."""
    store = prepared(tmp_path)
    path = tmp_path / "state" / "records" / "certificate" / "amf.json"
    path.write_text("{ torn")
    with pytest.raises(RecordError, match="corrupt") as caught:
        store.get(CertificateRecord, "amf")
    assert "restore" in caught.value.hint
    assert path.read_text() == "{ torn"


def test_a_failed_put_leaves_the_old_record(tmp_path: Path) -> None:
    """A disk that refuses the new file keeps the old one whole."""
    store = prepared(tmp_path)
    store.put(CertificateRecord(name="amf", orders=1))
    directory = tmp_path / "state" / "records" / "certificate"
    (directory / ".amf.json.tmp").mkdir()
    with pytest.raises(StoreError, match=r"amf\.json"):
        store.put(CertificateRecord(name="amf", orders=2))
    kept = store.get(CertificateRecord, "amf")
    assert kept is not None
    assert kept.orders == 1
