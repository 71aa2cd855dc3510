"""What the daemon shows and tells of series of certificates (RFC 8739). Pure."""

from typing import TypedDict

from agent.jobs.context import Context
from agent.records.certificate import CertificateRecord
from agent.records.series import SeriesOpen
from agent.shapes import SeriesView


def series_views(record: CertificateRecord) -> tuple[SeriesView, ...]:
    """Return every series of a certificate."""
    return tuple(
        SeriesView(
            slot=name,
            order=job.phase.series.order,
            state="open" if isinstance(job.phase, SeriesOpen) else "closing",
            lifetime=job.phase.series.terms.lifetime,
            end=job.phase.series.terms.end,
            fetch_at=job.not_before if isinstance(job.phase, SeriesOpen) else None,
            failures=job.failures,
        )
        for name, job in record.series.items()
    )


def why_usual(record: CertificateRecord, context: Context | None) -> str:
    """Return why a certificate is of a usual order though a series is wanted."""
    current = record.current
    if context is None or context.star is None or current is None or current.series:
        return ""
    if current.asked_star is None:
        return "the configuration wants it since the last order"
    return f"{current.ca} offers no auto-renewal, or has not agreed to it"


class Told(TypedDict):
    """The members of a certificate's view that are about its series."""

    series: tuple[SeriesView, ...]
    star: str


def series_of(record: CertificateRecord, context: Context | None) -> Told:
    """Return what a certificate's view says of its series."""
    return Told(series=series_views(record), star=why_usual(record, context))
