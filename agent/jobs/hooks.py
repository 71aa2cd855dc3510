"""What hooks have yet to take: queued durably, delivered in order, tried again.

A hook knows a state of the host. `reconcile` compares it with the state that is, and
puts the difference into the queue in the one transaction that makes it known: a crash
at any instant loses nothing, for the next start compares again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from agent.config.hook import Hook
from agent.config.units import duration
from agent.jobs.envelope import QUARANTINE_AFTER, backed_off, entered
from agent.jobs.news import Seen, known_from, news
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.hook import (
    Announced,
    Delivering,
    HookEvent,
    HookJob,
    HookRecord,
)
from agent.records.job import Alarm, Severity

MAX_QUEUE: Final = 256
"""Events that wait; then the oldest gives way."""
PATIENCE: Final = 3
"""Runs in a row that failed after which it is an alarm."""
FORMAT: Final = 1
"""Version of the object that a program reads."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Run the program with an event on its standard input."""

    event: HookEvent
    name = "deliver"


Outcome = Performed | Failed


def reconcile(
    record: HookRecord, seen: Seen, table: Hook, moment: Moment
) -> HookRecord:
    """Return the hook with everything in its queue that it does not know yet.

    One that is new knows what is deployed and what is revoked, and no alarm.
    """
    known = record.announced
    if known is None:
        record = replace(record, stream=moment.token[:16])
        known = replace(known_from(Announced(), seen, table), alarms={})
    now = known_from(known, seen, table)
    found = news(known, now, seen, table, moment.now)
    record = _queued(replace(record, announced=now), found)
    record = _without_old(record, table, moment.now)
    record = _within_bounds(record, moment.now)
    return _with_job(record, moment)


def next_change(record: HookRecord, table: Hook, now: datetime) -> datetime | None:
    """Return when `reconcile` would give up the oldest event."""
    if not record.queue:
        return None
    end = _end(record.queue[0], table)
    return end if end > now else None


def next_step(record: HookRecord, now: datetime) -> Do[Deliver] | Wait:
    """Return the one thing to do now."""
    job = record.job
    if job is None or not record.queue:
        return Wait(until=None, reason="there is nothing to tell")
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "it is run again"
        return Wait(until=job.not_before, reason=reason)
    return Do(Deliver(record.queue[0]))


def fold(
    record: HookRecord, effect: Deliver, outcome: Outcome, table: Hook, moment: Moment
) -> HookRecord:
    """Return the hook after a run of its program."""
    job = record.job
    if job is None:
        return record
    if isinstance(outcome, Failed):
        end = _end(effect.event, table)
        return replace(record, job=backed_off(job, outcome.failure, moment.draw, end))
    left = tuple(e for e in record.queue if e.sequence != effect.event.sequence)
    record = replace(
        record,
        queue=left,
        delivered=record.delivered + 1,
        delivered_at=moment.now,
    )
    if not left:
        return replace(record, job=None, lost=0, lost_at=None)
    well = replace(job, failures=0, failure=None)
    return replace(record, job=entered(well, Delivering(event=left[0].sequence)))


def request(record: HookRecord, event: HookEvent) -> bytes:
    """Return what the program reads: one JSON object; docs/hooks.md describes it.

    The id is the same at every run for an event, and no other event has it.
    """
    members = msgspec.to_builtins(event, builtin_types=(datetime,))
    del members["queued"]
    head = {
        "version": FORMAT,
        "id": f"{record.stream}-{event.sequence}",
        "hook": record.name,
        "attempt": 1 if record.job is None else record.job.failures + 1,
    }
    return msgspec.json.encode(head | members) + b"\n"


def hook_alarms(record: HookRecord) -> dict[str, Alarm]:
    """Return the alarms of a hook: that it does not take events, that some are lost."""
    found: dict[str, Alarm] = {}
    failure = None if record.job is None else record.job.failure
    if record.job is not None and failure and record.job.failures >= PATIENCE:
        found["failing"] = Alarm(
            severity=Severity.WARNING,
            cause=failure.message,
            action=failure.hint or "events wait until its program ends with 0",
            raised=failure.at,
        )
    if record.lost_at is not None:
        found["events-lost"] = Alarm(
            severity=Severity.MAJOR,
            cause=f"{record.lost} events were not delivered and are given up",
            action="mend the hook, and compare what it informs with nfcertd status",
            raised=record.lost_at,
        )
    return found


# -- the queue


def _queued(record: HookRecord, found: Iterable[HookEvent]) -> HookRecord:
    events = tuple(
        replace(event, sequence=record.sequence + place)
        for place, event in enumerate(found, 1)
    )
    return replace(
        record,
        queue=record.queue + events,
        sequence=record.sequence + len(events),
    )


def _without_old(record: HookRecord, table: Hook, now: datetime) -> HookRecord:
    """Give up what was tried for long enough, and what the process died of."""
    first, rest = _split(record)
    kept = tuple(event for event in rest if _end(event, table) > now)
    job = record.job
    if job is not None and job.crashes >= QUARANTINE_AFTER and not job.running:
        kept = tuple(event for event in kept if event.sequence != job.phase.event)
    return _left(record, first + kept, now)


def _within_bounds(record: HookRecord, now: datetime) -> HookRecord:
    first, rest = _split(record)
    return _left(record, first + rest[-(MAX_QUEUE - len(first)) :], now)


def _split(record: HookRecord) -> tuple[tuple[HookEvent, ...], tuple[HookEvent, ...]]:
    """Return the event that is being delivered, and the others."""
    running = record.job is not None and record.job.running
    return record.queue[:running], record.queue[running:]


def _left(
    record: HookRecord, queue: tuple[HookEvent, ...], now: datetime
) -> HookRecord:
    """Return the hook with what is left of its queue; what is not is counted."""
    gone = len(record.queue) - len(queue)
    if not gone:
        return record
    return replace(
        record,
        queue=queue,
        dropped=record.dropped + gone,
        lost=record.lost + gone,
        lost_at=record.lost_at or now,
    )


def _end(event: HookEvent, table: Hook) -> datetime:
    """Return when an event is given up."""
    return event.queued + duration(table.keep)


def _with_job(record: HookRecord, moment: Moment) -> HookRecord:
    """Return the hook with a job where something waits, for the first in the queue.

    An event that follows one that was given up does not begin anew: its program has
    failed, and waits as long as before.
    """
    job = record.job
    if not record.queue:
        return replace(record, job=None)
    phase = Delivering(event=record.queue[0].sequence)
    if job is None:
        job = HookJob(
            id=moment.token[:12],
            phase=phase,
            reason="an event waits",
            created=moment.now,
        )
    elif job.phase != phase:
        job = replace(job, phase=phase, intent="", crashes=0, crashed_in="")
    return replace(record, job=job)
