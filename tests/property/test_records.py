"""Properties of records: writing and reading are inverse, damage is one error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.events import narrate
from agent.records.certificate import CertificateRecord
from agent.records.codec import KINDS, RecordError, decode, encode
from tests.vectors.records import enrolled
from tests.vectors.strategies import values


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_is_written_is_read(kind: Any, data: st.DataObject) -> None:
    """Any record of any kind, whatever it holds."""
    record = data.draw(values(kind))
    assert decode(encode(record), kind) == record


@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_damage_is_one_error(place: int, octet: int, cut: bool) -> None:
    """A record whose file was damaged is read, or refused with the one error."""
    data = bytearray(encode(enrolled()))
    data[place % len(data)] = octet
    if cut:
        del data[place % len(data) :]
    record = None
    try:
        record = decode(bytes(data), CertificateRecord)
    except RecordError as error:
        assert error.hint or "record" in str(error)  # noqa: PT017 -- either way out is right
    assert record is None or isinstance(record, CertificateRecord)


@given(values(CertificateRecord), values(CertificateRecord))
def test_any_change_can_be_told(
    before: CertificateRecord, after: CertificateRecord
) -> None:
    """Every event of it has a subject, a kind and a text."""
    for event in narrate(before, after):
        assert event.subject == after.name
        assert event.kind
        assert event.text
