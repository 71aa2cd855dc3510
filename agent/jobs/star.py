"""Series of STAR orders in their certificate: arithmetic, coming and going.

What its job does next is `agent.jobs.series`.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from agent.jobs.step import Moment
from agent.records.certificate import CertificateRecord
from agent.records.series import Series, SeriesClosing, SeriesJob, SeriesOpen
from agent.records.star import StarTerms

LEAST_PAUSE: Final = timedelta(minutes=1)
"""The shortest pause after a look that found nothing new."""
PAUSE: Final = 20
"""Part of a lifetime between two looks for a certificate that is late."""


def fetch_at(terms: StarTerms, not_after: datetime, draw: float) -> datetime:
    """Return when the certificate after one is there (RFC 8739 section 3.3).

    It is published no later than half of a nominal lifetime before the end of the one
    before; a part of a twentieth is drawn, so that not everybody comes at once.
    """
    if not_after >= terms.end:
        return terms.end
    return not_after - terms.life / 2 + terms.life * draw / PAUSE


def pause(terms: StarTerms, draw: float) -> timedelta:
    """Return how long a certificate that is not there yet is waited for."""
    return max(LEAST_PAUSE, terms.life / PAUSE) * (1 + draw / 10)


def is_wanted(record: CertificateRecord, name: str) -> bool:
    """Tell whether a series brings the newest certificate, or the one kept refused."""
    kept = record.refused
    current = record.current
    newest = current is not None and current.series == name
    return newest or (kept is not None and kept.issuance.series == name)


def newest_end(record: CertificateRecord, name: str) -> datetime:
    """Return the end of the newest certificate that a series has brought."""
    kept = record.refused.issuance if record.refused is not None else None
    brought = [i for i in (record.current, kept) if i is not None and i.series == name]
    return max(issuance.not_after for issuance in brought)


def opened(
    record: CertificateRecord,
    name: str,
    series: Series,
    not_after: datetime,
    moment: Moment,
) -> CertificateRecord:
    """Return the record with a series whose first certificate has come."""
    job = SeriesJob(
        id=name,
        phase=SeriesOpen(series=series),
        reason=f"the ca renews it until {series.terms.end:%Y-%m-%d %H:%MZ}",
        created=moment.now,
        not_before=fetch_at(series.terms, not_after, moment.draw),
    )
    return with_series(record, name, job)


def close(record: CertificateRecord, moment: Moment, why: str) -> CertificateRecord:
    """Return the record with every series of it being cancelled.

    What was published lives on until its end, which is why it is short: a certificate
    of a series cannot be revoked (RFC 8739 section 3.1.2).
    """
    for name in record.series:
        record = close_one(record, name, moment, why)
    return record


def close_one(
    record: CertificateRecord, name: str, moment: Moment, why: str
) -> CertificateRecord:
    """Return the record with a series being cancelled; one that runs is waited for."""
    job = record.series.get(name)
    if job is None or job.running or isinstance(job.phase, SeriesClosing):
        return record
    closing = SeriesJob(
        id=f"{moment.token[:12]}-{name[:8]}",
        phase=SeriesClosing(series=job.phase.series, why=why),
        reason=why,
        created=moment.now,
    )
    return with_series(record, name, closing)


def without(record: CertificateRecord, name: str) -> CertificateRecord:
    """Return the record without a series: it brings nothing more."""
    rest = {other: job for other, job in record.series.items() if other != name}
    return replace(record, series=rest)


def with_series(
    record: CertificateRecord, name: str, job: SeriesJob
) -> CertificateRecord:
    """Return the record with the job of a series replaced."""
    return replace(record, series={**record.series, name: job})
