"""The job of a list: what comes next, what follows, and what is an alarm."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from agent.config.trust import Trust
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.jobs.trust import (
    PATIENCE,
    Effect,
    Fetch,
    Fetched,
    Outcome,
    PruneRoots,
    PublishRoots,
    accept,
    fold,
    hurried,
    next_change,
    next_step,
    reconcile,
)
from agent.records.job import Severity
from agent.records.trust import Merged, TrustRecord
from agent.renewal.disposition import failure_of
from agent.transport import TransportError
from agent.trust.errors import SignatureError
from agent.trust.roots import Document, of_roots, read_der
from tests.vectors.trust import DAY, NOW, Ca, entry, root

HOUR = timedelta(hours=1)
TABLE = Trust(
    file="/roots.pem", interval="6h", overlap="20d", delay="12h", timeout="5s"
)
SIGNED = Trust(
    signed="https://lists.example/roots", roots="/tls.pem", signer="/signer.pem"
)


def moment(now: datetime = NOW, draw: float = 0.5) -> Moment:
    """Return a moment."""
    return Moment(now=now, draw=draw, token="5" * 32)


def offer(*cas: Ca, sequence: int = 0) -> Document:
    """Return what a source offers."""
    found = of_roots(read_der(str(entry(ca)["certificate"])) for ca in cas)
    return found._replace(sequence=sequence)


def begun(table: Trust = TABLE) -> TrustRecord:
    """Return a list that has just been configured."""
    return reconcile(TrustRecord(name="roots"), table, moment())


def did(
    record: TrustRecord,
    effect: Effect,
    outcome: Outcome,
    now: datetime = NOW,
    table: Trust = TABLE,
) -> TrustRecord:
    """Return the list after an effect and the turn after it, which adds no alarm."""
    after = fold(record, effect, outcome, table, moment(now))
    again = reconcile(after, table, moment(now))
    assert again.alarms == after.alarms
    return again


def fetched(record: TrustRecord, *cas: Ca, now: datetime = NOW) -> TrustRecord:
    """Return the list after a fetch and all that follows from it."""
    record = did(record, Fetch(), Fetched(offer(*cas)), now)
    while isinstance(step := next_step(record, now), Do):
        record = did(record, step.effect, Performed(), now)
    return record


def failed(error: Exception, now: datetime = NOW) -> Failed:
    """Return the outcome of an effect that raised."""
    assert isinstance(error, TransportError | SignatureError)
    return Failed(failure_of(error, now))


def test_a_list_is_fetched_merged_published_and_fetched_again() -> None:
    """A version is written before anybody is pointed to it, and then pruned."""
    record = begun()
    assert next_step(record, NOW) == Do(Fetch())
    record = did(record, Fetch(), Fetched(offer(root(1))))
    assert next_step(record, NOW) == Do(PublishRoots(1))
    record = did(record, PublishRoots(1), Performed())
    assert (record.published, record.published_at) == (1, NOW)
    assert next_step(record, NOW) == Do(PruneRoots())
    record = did(record, PruneRoots(), Performed())
    waits = next_step(record, NOW)
    assert isinstance(waits, Wait)
    assert waits.until == NOW + 6 * HOUR
    assert next_step(record, NOW + 6 * HOUR) == Do(Fetch())


@pytest.mark.parametrize(("draw", "hours"), [(0.0, 5.4), (0.5, 6.0), (0.999, 6.6)])
def test_hosts_do_not_ask_all_at_once(draw: float, hours: float) -> None:
    """The spread is drawn with the outcome and stored."""
    record = fold(begun(), Fetch(), Fetched(offer(root(1))), TABLE, moment(draw=draw))
    assert record.fetch_at is not None
    assert (record.fetch_at - NOW) / HOUR == pytest.approx(hours, abs=0.01)


def test_what_changed_nothing_publishes_nothing() -> None:
    """The next thing is the next fetch."""
    record = fetched(begun(), root(1))
    again = did(record, Fetch(), Fetched(offer(root(1))), NOW + 6 * HOUR)
    assert isinstance(next_step(again, NOW + 6 * HOUR), Wait)
    assert again.version == again.published == 1


def test_the_end_of_an_overlap_is_published_while_the_source_is_away() -> None:
    """What is over is over by the clock; no fetch is needed, and none is disturbed."""
    record = fetched(begun(), root(1), root(2))
    for hours in (6, 18):
        record = fetched(record, root(2), now=NOW + hours * HOUR)
    removed = NOW + 18 * HOUR
    away = failed(TransportError("no answer"), removed + 6 * HOUR)
    record = did(record, Fetch(), away, removed + 6 * HOUR)
    end = removed + 20 * DAY
    assert next_change(record, TABLE, removed + 19 * DAY) == end
    record = reconcile(record, TABLE, moment(end))
    assert record.job is not None
    assert isinstance(record.job.phase, Merged)
    assert next_step(record, end) == Do(PublishRoots(2))
    assert [r.fingerprint for r in record.roots] == [root(2).fingerprint]


def test_reconciling_again_changes_nothing() -> None:
    """It returns the very record, so that nothing is written."""
    record = fetched(begun(), root(1))
    assert reconcile(record, TABLE, moment(NOW + HOUR)) == record


def test_a_source_that_is_away_is_backed_off_and_warned_of() -> None:
    """What is trusted stays; a warning after some failures, and stale after more."""
    record, now = fetched(begun(), root(1)), NOW
    for number in range(1, 8):
        now += 6 * HOUR
        record = did(record, Fetch(), failed(TransportError("no answer"), now), now)
        assert record.job is not None
        assert record.job.failures == number
        assert isinstance(next_step(record, now), Wait)
        assert ("failing" in record.alarms) == (number >= PATIENCE)
        assert ("stale" in record.alarms) == (number >= PATIENCE)
    assert record.bundle == root(1).pem
    record = fetched(record, root(1), now=now + HOUR)
    assert record.alarms == {}
    assert record.job is not None
    assert record.job.failure is None


def test_a_list_that_is_refused_is_an_alarm_at_once() -> None:
    """Something was offered that nobody should offer."""
    record = fetched(begun(), root(1))
    error = SignatureError("the list is not signed", hint="compare the keys")
    record = did(record, Fetch(), failed(error))
    assert record.alarms["refused-signature"].severity is Severity.MAJOR
    assert record.alarms["refused-signature"].action == "compare the keys"
    assert record.bundle == root(1).pem


def test_an_operator_accepts_exactly_what_was_refused() -> None:
    """The source is asked at once; what it offers then must be the same document."""
    record = fetched(begun(), root(1))
    assert accept(record) is None
    nothing = Fetched(offer())
    record = did(record, Fetch(), nothing)
    assert "refused-empty" in record.alarms
    assert isinstance(next_step(record, NOW), Wait)
    accepted = accept(record)
    assert accepted is not None
    assert next_step(accepted, NOW) == Do(Fetch())
    record = did(accepted, Fetch(), nothing)
    assert record.refused is None
    assert [r.missed for r in record.roots] == [1]
    assert "refused-empty" not in record.alarms


def test_a_rollback_cannot_be_accepted() -> None:
    """A person who is told to accept something may be told by anybody."""
    record = did(begun(SIGNED), Fetch(), Fetched(offer(root(1), sequence=9)))
    record = did(record, Fetch(), Fetched(offer(root(2), sequence=8)), NOW, SIGNED)
    assert "refused-rollback" in record.alarms
    assert accept(record) is None


def test_a_signed_list_that_has_ended_is_an_alarm_and_stays() -> None:
    """Its signer has gone quiet; its roots are what they were."""
    document = offer(root(1), sequence=1)._replace(expires=NOW + DAY)
    record = did(begun(SIGNED), Fetch(), Fetched(document), NOW, SIGNED)
    record = reconcile(record, SIGNED, moment(NOW + DAY))
    assert "expired" in record.alarms
    assert record.bundle == root(1).pem


def test_roots_that_have_all_ended_are_a_critical_alarm() -> None:
    """Nobody is accepted any more; the files stay, so that servers can start."""
    short = root(7, begins=NOW - DAY, life=10 * DAY)
    record = reconcile(fetched(begun(), short), TABLE, moment(NOW + 30 * DAY))
    assert record.alarms["ended"].severity is Severity.CRITICAL
    assert record.version == 1


def test_a_job_that_crashed_too_often_waits_for_an_operator() -> None:
    """To ask its source by command is a pardon."""
    record = begun()
    assert record.job is not None
    crashed = replace(record.job, crashes=QUARANTINE_AFTER)
    record = reconcile(replace(record, job=crashed), TABLE, moment())
    assert isinstance(next_step(record, NOW), Wait)
    assert record.alarms["quarantined"].severity is Severity.CRITICAL
    assert next_step(hurried(record), NOW) == Do(Fetch())


def test_hurry_respects_what_the_source_asked_for() -> None:
    """A Retry-After is not undercut by us."""
    record = fetched(begun(), root(1))
    asked = TransportError("busy", retry_at=NOW + 2 * HOUR)
    record = did(record, Fetch(), failed(asked))
    assert isinstance(next_step(hurried(record), NOW), Wait)


def test_a_fetch_that_is_asked_for_meanwhile_comes_after_what_is_under_way() -> None:
    """Whatever runs: it may have been asked before there was anything new."""
    record = did(begun(), Fetch(), Fetched(offer(root(1))))
    effects: list[tuple[Effect, Outcome]] = [
        (PublishRoots(1), Performed()),
        (PruneRoots(), Performed()),
        (Fetch(), Fetched(offer(root(1)))),
        (Fetch(), failed(TransportError("no answer"))),
    ]
    for effect, outcome in effects:
        assert record.job is not None
        running = replace(record, job=replace(record.job, running=True))
        asked = hurried(running)
        assert asked.hurry
        record = did(asked, effect, outcome)
        assert not record.hurry
        assert isinstance(next_step(record, NOW), Do)
    assert next_step(record, NOW) == Do(Fetch())


def test_a_list_without_a_job_has_nothing_to_do() -> None:
    """Before the first turn, and after an outcome that came too late."""
    record = TrustRecord(name="roots")
    assert next_step(record, NOW) == Wait(until=None, reason="there is no such job")
    assert fold(record, Fetch(), Performed(), TABLE, moment()) == record
    assert hurried(record) == record
    assert next_change(record, TABLE, NOW) is None
