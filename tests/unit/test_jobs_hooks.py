"""What hooks are told, once for each change, in order, bounded, and tried again."""

from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace

from agent.config.hook import Hook
from agent.jobs.envelope import begun, crashed
from agent.jobs.hooks import (
    MAX_QUEUE,
    Deliver,
    fold,
    hook_alarms,
    next_change,
    next_step,
    reconcile,
    request,
)
from agent.jobs.news import Seen
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.hook import HookEvent, HookRecord
from agent.records.job import Severity
from tests.vectors.hooks import (
    AMF,
    EVERYTHING,
    alarm,
    deployed,
    failed,
    moment,
    seen,
)
from tests.vectors.records import NOW

HOUR = timedelta(hours=1)
NEW = HookRecord(name="nrf")


def begin(at: Seen | None = None, table: Hook = EVERYTHING) -> HookRecord:
    """Return a hook that knows a state, by default an empty host."""
    return reconcile(NEW, at or seen(), table, moment(1))


def told(record: HookRecord) -> list[str]:
    """Return what waits, in words."""
    return [
        f"{e.sequence} {e.event} {e.certificate or e.subject} "
        f"{e.publication or e.state or e.reason}"
        for e in record.queue
    ]


def take(record: HookRecord, table: Hook = EVERYTHING) -> HookRecord:
    """Return a hook after its program took an event."""
    step = next_step(record, NOW)
    assert isinstance(step, Do)
    return fold(record, step.effect, Performed(), table, moment(9))


def fail(record: HookRecord, after: timedelta = timedelta(0)) -> HookRecord:
    """Return a hook after its program failed."""
    effect = Deliver(record.queue[0])
    outcome = Failed(failed(NOW + after))
    return fold(record, effect, outcome, EVERYTHING, moment(9, after))


def running(record: HookRecord) -> HookRecord:
    """Return a hook whose program runs."""
    assert record.job is not None
    return replace(record, job=begun(record.job, "deliver"))


def test_a_new_hook_on_an_old_host_hears_only_of_alarms_that_stand() -> None:
    """What is deployed and what is revoked is known; an alarm that stands is not."""
    old = seen(deployed(revoked=(1,)), alarms=[alarm()])
    record = begin(old)
    assert told(record) == ["1 alarm web raised"]
    assert record.queue[0].at == NOW - HOUR
    assert reconcile(record, old, EVERYTHING, moment(2)) == record


def test_every_kind_of_change_is_told_once_and_in_order() -> None:
    """Deployments, revocations, alarms that come and that go; and not a second time."""
    record = begin()
    steps = [
        seen(deployed()),
        seen(deployed(number=2)),
        seen(deployed(number=2, revoked=(1,)), alarms=[alarm()]),
        seen(deployed(number=2, revoked=(1,))),
    ]
    for number, state in enumerate(steps, 2):
        record = reconcile(record, state, EVERYTHING, moment(number))
        assert reconcile(record, state, EVERYTHING, moment(99)) == record
    assert told(record) == [
        "1 deployed web 1",
        "2 deployed web 2",
        "3 revoked web superseded",
        "4 alarm web raised",
        "5 alarm web cleared",
    ]


def test_each_endpoint_is_told_of() -> None:
    """A certificate is deployed where its endpoint was proven to serve it."""
    both = {**deployed().endpoints, **deployed(endpoint="edge").endpoints}
    record = replace(deployed(), endpoints=both)
    found = reconcile(begin(), seen(record), EVERYTHING, moment(2)).queue
    assert [e.endpoint for e in found] == ["", "edge"]


def test_a_deployment_that_goes_back_is_told() -> None:
    """What is served is what counts, also where its number is lower."""
    record = begin(seen(deployed(number=2)))
    back = replace(deployed(number=2), endpoints=deployed(number=1).endpoints)
    record = reconcile(record, seen(back), EVERYTHING, moment(2))
    assert told(record) == ["1 deployed web 1"]


def test_an_alarm_that_becomes_graver_is_told_and_other_words_are_not() -> None:
    """Its severity is part of what it is, its cause may say a number that grows."""
    record = begin(seen(alarms=[alarm()]))
    words = seen(alarms=[alarm(cause="it ends soon")])
    assert reconcile(record, words, EVERYTHING, moment(2)) == record
    grave = seen(alarms=[alarm(severity=Severity.CRITICAL)])
    record = reconcile(record, grave, EVERYTHING, moment(3))
    assert told(record)[1:] == ["2 alarm web changed"]
    assert record.queue[1].severity == "critical"
    assert reconcile(record, grave, EVERYTHING, moment(4)) == record


def test_a_revocation_that_is_taken_back_and_comes_again_is_told_again() -> None:
    """A hold is such a one."""
    record = begin()
    for number, revoked in enumerate([(1,), (), (1,)], 2):
        state = seen(deployed(revoked=revoked))
        record = reconcile(record, state, EVERYTHING, moment(number))
    assert [e.event for e in record.queue] == ["deployed", "revoked", "revoked"]


def test_what_cannot_be_read_has_not_changed() -> None:
    """A record in quarantine clears no alarm; what is known of it stays known."""
    state = seen(deployed(revoked=(1,)), alarms=[alarm()])
    record = begin(state)
    hidden = seen(unreadable=["certificate web"])
    assert reconcile(record, hidden, EVERYTHING, moment(2)) == record
    assert reconcile(record, state, EVERYTHING, moment(3)) == record


@pytest.mark.parametrize(
    ("on", "events"),
    [
        (("deployed",), ["deployed"]),
        (("revoked",), ["revoked"]),
        (("alarm",), ["alarm"]),
        (("alarm", "deployed"), ["deployed", "alarm"]),
    ],
)
def test_a_hook_hears_what_it_asked_for(on: tuple[str, ...], events: list[str]) -> None:
    """Everything else is known to it, and not told later either."""
    table = msgspec.convert({"on": on, "command": ["/bin/true"]}, Hook)
    state = seen(deployed(revoked=(1,)), alarms=[alarm()])
    record = reconcile(begin(table=table), state, table, moment(2))
    assert [e.event for e in record.queue] == events
    later = reconcile(record, state, EVERYTHING, moment(3))
    added = [e.event for e in later.queue[len(events) :]]
    assert added == ([] if "alarm" in on else ["alarm"])


def test_a_filter_lets_through_certificates_and_those_of_network_functions() -> None:
    """Alarms of what is neither are for hooks without a filter."""
    records = [deployed("web"), deployed("amf-sbi"), deployed("other")]
    alarms = [
        alarm(subject="web"),
        alarm(subject="amf-sbi"),
        alarm(subject="other"),
        alarm("ca-down", "web", kind="ca"),
    ]
    state = seen(*records, alarms=alarms, nfs={"amf-sbi": AMF})
    table = replace(EVERYTHING, certificates=("web",), nfs=("amf",))
    found = reconcile(begin(table=table), state, table, moment(2)).queue
    assert [(e.event, e.certificate) for e in found] == [
        ("deployed", "amf-sbi"),
        ("deployed", "web"),
        ("alarm", "amf-sbi"),
        ("alarm", "web"),
    ]
    assert {e.nf_instance_id for e in found if e.certificate == "amf-sbi"} == {
        AMF.instance_id
    }


def test_an_alarm_that_was_told_is_told_to_be_over_whatever_the_filter() -> None:
    """A gateway would otherwise show it for ever."""
    record = begin(seen(alarms=[alarm()]))
    narrow = replace(EVERYTHING, certificates=("other",))
    standing = seen(alarms=[alarm()])
    assert reconcile(record, standing, narrow, moment(2)) == record
    record = reconcile(record, seen(), narrow, moment(3))
    assert told(record)[1:] == ["2 alarm web cleared"]


def test_a_failure_keeps_the_event_and_everything_behind_it() -> None:
    """Nothing overtakes; the waits become longer and an alarm stands meanwhile."""
    record = reconcile(
        begin(), seen(deployed(), alarms=[alarm()]), EVERYTHING, moment(2)
    )
    waits = []
    for _ in range(4):
        record = fail(record)
        step = next_step(record, NOW)
        assert isinstance(step, Wait)
        assert "no route" in step.reason
        assert step.until is not None
        waits.append(step.until - NOW)
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    assert told(record) == ["1 deployed web 1", "2 alarm web raised"]
    assert set(hook_alarms(record)) == {"failing"}
    record = take(take(replace(record, job=replace(record.job, not_before=None))))  # type: ignore[type-var]  # a job stands
    assert (record.queue, record.job, record.delivered) == ((), None, 2)
    assert not hook_alarms(record)


def test_what_was_tried_for_too_long_is_given_up_counted_and_an_alarm() -> None:
    """The next one waits as long as the program has failed, and ends the alarm."""
    state = seen(deployed())
    record = fail(reconcile(begin(), state, EVERYTHING, moment(2)))
    end = next_change(record, EVERYTHING, NOW)
    assert end == NOW + timedelta(days=7)
    late = timedelta(days=7)
    record = reconcile(record, seen(deployed(number=2)), EVERYTHING, moment(3, late))
    assert told(record) == ["2 deployed web 2"]
    assert (record.dropped, record.lost) == (1, 1)
    assert record.job is not None
    assert record.job.failures == 1
    assert hook_alarms(record)["events-lost"].severity is Severity.MAJOR
    record = fold(record, Deliver(record.queue[0]), Performed(), EVERYTHING, moment(9))
    assert not hook_alarms(record)
    assert record.dropped == 1


def test_the_last_attempts_come_before_the_end() -> None:
    """A short time to keep an event shortens the waits."""
    record = reconcile(begin(), seen(deployed()), EVERYTHING, moment(2))
    brief = replace(EVERYTHING, keep="8m")
    for _ in range(5):
        outcome = Failed(failed())
        record = fold(record, Deliver(record.queue[0]), outcome, brief, moment(9))
    assert record.job is not None
    assert record.job.not_before is not None
    assert record.job.not_before - NOW < timedelta(minutes=2)


def test_a_full_queue_drops_the_oldest_that_is_not_under_way() -> None:
    """What is lost is counted; what the program is reading stays."""
    many = seen(alarms=[alarm(f"a{n:03}") for n in range(MAX_QUEUE)])
    record = running(begin(many))
    more = [alarm(f"a{n:03}") for n in range(MAX_QUEUE + 3)]
    record = reconcile(record, seen(alarms=more), EVERYTHING, moment(2))
    assert len(record.queue) == MAX_QUEUE
    assert [e.sequence for e in record.queue[:2]] == [1, 5]
    assert record.queue[-1].sequence == MAX_QUEUE + 3
    assert (record.dropped, record.lost) == (3, 3)
    assert set(hook_alarms(record)) == {"events-lost"}


def test_an_event_in_which_the_process_died_three_times_is_given_up() -> None:
    """The others go on."""
    record = reconcile(
        begin(), seen(deployed(), alarms=[alarm()]), EVERYTHING, moment(2)
    )
    state = seen(deployed(), alarms=[alarm()])
    for number in range(3):
        assert told(record)[0] == "1 deployed web 1"
        job = running(record).job
        assert job is not None
        record = replace(record, job=crashed(job))
        record = reconcile(record, state, EVERYTHING, moment(3 + number))
    assert told(record) == ["2 alarm web raised"]
    assert record.job is not None
    assert (record.job.crashes, record.dropped) == (0, 1)


def test_a_program_reads_one_documented_object_without_what_does_not_apply() -> None:
    """Version, id and number, what happened, and no empty member."""
    state = seen(deployed(), nfs={"web": AMF})
    record = reconcile(begin(), state, EVERYTHING, moment(2))
    first = msgspec.json.decode(request(record, record.queue[0]))
    again = msgspec.json.decode(request(fail(record), record.queue[0]))
    assert (first.pop("attempt"), again.pop("attempt")) == (1, 2)
    assert first == again
    assert first == {
        "version": 1,
        "id": f"{record.stream}-1",
        "hook": "nrf",
        "sequence": 1,
        "event": "deployed",
        "at": "2026-03-01T12:00:00Z",
        "certificate": "web",
        "nf": "amf",
        "nf_instance_id": AMF.instance_id,
        "publication": 1,
        "by": "wire",
        "fingerprint": first["fingerprint"],
        "serial": first["serial"],
        "ca": first["ca"],
        "names": first["names"],
        "not_before": first["not_before"],
        "not_after": first["not_after"],
    }


def test_ids_differ_between_hooks_and_between_installations() -> None:
    """A receiver may tell events apart by nothing else."""
    one, two = (
        reconcile(NEW, seen(alarms=[alarm()]), EVERYTHING, moment(n))
        for n in (1 << 100, 2 << 100)
    )
    ids = {
        request(r, r.queue[0]).split(b'"id":"')[1].split(b'"')[0] for r in (one, two)
    }
    assert len(ids) == 2


def test_a_hook_that_was_away_hears_what_has_changed_meanwhile() -> None:
    """Taken out of the configuration, its record stays as it was."""
    record = begin(seen(deployed()))
    record = reconcile(record, seen(deployed(number=4)), EVERYTHING, moment(2))
    assert told(record) == ["1 deployed web 4"]


def test_an_outcome_that_comes_late_changes_nothing() -> None:
    """Its event is gone, and no other one is taken for it."""
    event = HookEvent(sequence=7, event="deployed", at=NOW, queued=NOW)
    assert fold(NEW, Deliver(event), Performed(), EVERYTHING, moment()) == NEW
    assert next_step(NEW, NOW) == Wait(until=None, reason="there is nothing to tell")
