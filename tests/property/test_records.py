"""Properties of records: writing and reading are inverse, damage is one error."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agent.records.certificate import CertificateRecord
from agent.records.codec import RecordError, decode, encode
from agent.records.others import AccountRecord, InstanceRecord, TokenRecord

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INSTANTS = st.datetimes(
    datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)
)
KINDS = [CertificateRecord, AccountRecord, TokenRecord, InstanceRecord]
RECORDS = st.one_of(
    *(
        st.from_type(kind)
        for kind in (CertificateRecord, AccountRecord, TokenRecord, InstanceRecord)
    )
)
