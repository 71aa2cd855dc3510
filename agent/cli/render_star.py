"""Words series of certificates for a person. Pure: shapes in, lines out."""

from collections.abc import Iterator
from datetime import datetime

from agent.cli.shapes import CertificateShape
from agent.cli.text import relative


def told(one: CertificateShape, now: datetime) -> Iterator[str]:
    """Yield what is to be said of the series of a certificate, or of its lack."""
    for series in one.series:
        ends = relative(series.end, now)
        if series.state == "open":
            text = f"the ca renews it by itself, for the last time {ends}"
            yield f"{text}; the next one is fetched {relative(series.fetch_at, now)}"
        else:
            yield f"a series that would end {ends} is being cancelled"
    if one.star:
        yield f"no series: {one.star}"
