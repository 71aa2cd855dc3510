"""What is told of series in numbers."""

import pytest

from agent import gauges
from agent.jobs.star import close
from agent.records.certificate import CertificateRecord
from agent.views import certificate_view
from tests.unit.test_star import TERMS, wanting, with_series
from tests.vectors.records import NOW, moment


@pytest.mark.parametrize(
    ("record", "ends"),
    [
        (with_series(), [TERMS.end]),
        (close(with_series(), moment(), "it is not needed"), []),
    ],
    ids=["open", "closing"],
)
def test_metrics_are_of_a_series_that_goes_on(
    record: CertificateRecord, ends: list[object]
) -> None:
    """One that is being cancelled neither renews until its end nor comes late."""
    shown = certificate_view(record, wanting(), NOW)
    found = {metric.name: metric.samples for metric in gauges.series((shown,))}
    values = [s.value for s in found["nfcertd_series_end_timestamp_seconds"]]
    assert values == [TERMS.end.timestamp() for _ in ends]
    assert len(found["nfcertd_series_failures"]) == len(ends)
