"""What the daemon shows of its lists of trusted roots. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from agent.config.trust import Trust
from agent.config.units import duration
from agent.jobs.step import Do
from agent.jobs.trust import next_step
from agent.records.trust import RootRecord, TrustRecord
from agent.shapes import RootView, TrustView


def trust_view(
    record: TrustRecord, table: Trust, now: datetime, *, with_roots: bool = False
) -> TrustView:
    """Return one list; its roots only where somebody asked for them."""
    step, job = next_step(record, now), record.job
    overlap = duration(table.overlap)
    doing = step.effect.name if isinstance(step, Do) else step.reason
    waits = None if isinstance(step, Do) else step.until
    return TrustView(
        name=record.name,
        source=table.source,
        version=record.version,
        published=record.published,
        sequence=record.sequence,
        count=len(record.roots),
        pending=sum(root.missing_since is not None for root in record.roots),
        fetched_at=record.fetched_at,
        fetch_at=waits or record.fetch_at,
        expires=record.expires,
        next=doing,
        failures=0 if job is None else job.failures,
        failure=None if job is None else job.failure,
        refused="" if record.refused is None else record.refused.reason,
        roots=tuple(_roots(record, overlap, now)) if with_roots else (),
    )


def _roots(
    record: TrustRecord, overlap: timedelta, now: datetime
) -> Iterator[RootView]:
    for root in record.roots:
        left = root.removed_at
        until = root.not_after if left is None else min(root.not_after, left + overlap)
        yield RootView(
            fingerprint=root.fingerprint,
            subject=root.subject,
            state=_state(root, now),
            since=left or root.missing_since or root.since,
            until=until,
            not_after=root.not_after,
        )
    for fingerprint, since in record.distrusted.items():
        yield RootView(
            fingerprint=fingerprint,
            subject="",
            state="distrusted",
            since=since,
            until=None,
            not_after=None,
        )


def _state(root: RootRecord, now: datetime) -> str:
    checks = (
        (root.not_after <= now, "ended"),
        (root.removed_at is not None, "leaving"),
        (root.missing_since is not None, "missing"),
    )
    return next((state for holds, state in checks if holds), "trusted")
