"""What the daemon shows and tells of its hooks. Pure."""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from agent.config.hook import Hook
from agent.events import Event
from agent.jobs.hooks import next_step
from agent.jobs.step import Do
from agent.records.hook import HookRecord
from agent.shapes import HookView

_WARNING: Final = logging.WARNING


def hook_view(record: HookRecord, table: Hook, now: datetime) -> HookView:
    """Return one hook."""
    step, job = next_step(record, now), record.job
    return HookView(
        name=record.name,
        on=table.on,
        queued=len(record.queue),
        oldest=record.queue[0].queued if record.queue else None,
        delivered=record.delivered,
        delivered_at=record.delivered_at,
        dropped=record.dropped,
        next=step.effect.name if isinstance(step, Do) else step.reason,
        at=None if isinstance(step, Do) else step.until,
        failures=0 if job is None else job.failures,
        failure=None if job is None else job.failure,
    )


def narrate_hook(before: HookRecord, after: HookRecord) -> Iterator[Event]:
    """Yield what became of the events of a hook, and that its program fails."""
    name, gone = after.name, after.dropped - before.dropped
    if after.delivered != before.delivered and before.queue:
        told = before.queue[0]
        yield Event(
            subject=name,
            kind="hook.delivered",
            text=f"took event {told.sequence}, {told.event}",
            fields={"hook_event": f"{after.stream}-{told.sequence}"},
        )
    if gone:
        text = f"{gone} events are given up, it has not taken them"
        yield Event(subject=name, kind="hook.dropped", text=text, severity=_WARNING)
    failure = after.job.failure if after.job else None
    if failure is not None and failure != (before.job.failure if before.job else None):
        fields = {"failure": failure.kind}
        text = f"has not taken its event: {failure.message}"
        yield Event(
            subject=name,
            kind="hook.failed",
            text=text,
            fields=fields,
            severity=_WARNING,
        )
