"""Lists as subjects of the manager, and what is shown and asked of them."""

from datetime import datetime

import pytest
from msgspec.structs import replace

from agent.config.model import Config
from agent.config.trust import Trust
from agent.counters import Counters
from agent.jobs.envelope import begun
from agent.listviews import trust_view
from agent.metrics import render
from agent.records.trust import FetchDue, TrustJob, TrustRecord
from agent.trust.roots import Document, of_roots, read_der
from tests.fakes.bench import Bench, Gate, spin
from tests.fakes.clock import START
from tests.fakes.subjects import config
from tests.fakes.views import status
from tests.vectors.trust import DAY, Ca, entry, root

TABLE = Trust(file="/roots.pem", interval="1d", delay="36h", overlap="10d")


def offer(*cas: Ca) -> Document:
    """Return what a source offers."""
    return of_roots(read_der(str(entry(ca)["certificate"])) for ca in cas)


def configured(*names: str) -> Config:
    """Return a configuration with one certificate and some lists."""
    return replace(config("web"), trust=dict.fromkeys(names, TABLE))


@pytest.fixture
def bench() -> Bench:
    """Return a manager with a list that has been fetched once."""
    made = Bench()
    made.performer.offers["ours"] = offer(root(1), root(2))
    made.configure(configured("ours"))
    return made


def record(bench: Bench, name: str = "ours") -> TrustRecord:
    """Return a list's record in memory."""
    cell = bench.cells.trusts.get(name)
    return TrustRecord(name=name) if cell is None else cell.record


async def test_a_list_is_kept_beside_the_certificates(bench: Bench) -> None:
    """It is fetched, published and pruned, and then fetched on its schedule."""
    await bench.until(lambda: bench.done() and record(bench).published)
    await bench.until(lambda: bench.performer.effects("ours")[3:])
    assert bench.performer.effects("ours") == [
        "fetch",
        "publish-roots",
        "prune-roots",
        "fetch",
    ]
    assert bench.clock.now() == START + DAY
    kept = bench.store.get(TrustRecord, "ours")
    assert kept is not None
    assert kept.published == 1


async def test_a_roll_over_runs_by_itself(bench: Bench) -> None:
    """Every stage is an event, and the last one needs no fetch."""
    await bench.until(lambda: record(bench).published == 1)
    bench.performer.offers["ours"] = offer(root(2), root(3))
    await bench.until(lambda: record(bench).published == 3)
    told = [e.kind for e in bench.events if e.kind.startswith(("root.", "trust.pub"))]
    assert told == [
        "root.trusted",
        "root.trusted",
        "trust.published",
        "root.trusted",
        "trust.published",
        "root.leaving",
        "root.removed",
        "trust.published",
    ]
    assert [r.fingerprint for r in record(bench).roots] == [
        root(2).fingerprint,
        root(3).fingerprint,
    ]


async def test_an_end_between_any_two_writes_is_made_good(bench: Bench) -> None:
    """Whatever was durable last, the next process comes to the same end."""
    await bench.until(lambda: record(bench).published == 1)
    bench.performer.offers["ours"] = offer(root(2), root(3))
    await bench.until(lambda: record(bench).published == 3)
    kept = [put for put in bench.store.puts if isinstance(put, TrustRecord)]
    assert len(kept) > 15
    for put in kept:
        await _comes_to_the_end(Bench(put), bench.clock.now())


async def _comes_to_the_end(bench: Bench, now: datetime) -> None:
    bench.clock.jump(now)
    bench.performer.offers["ours"] = offer(root(2), root(3))
    bench.configure(Config(trust={"ours": TABLE}))
    await bench.until(
        lambda: (
            _held(bench) == [root(2), root(3)]
            and record(bench).published == record(bench).version
        )
    )


def _held(bench: Bench) -> list[Ca]:
    known = {root(number).fingerprint: root(number) for number in (1, 2, 3)}
    held = [known[one.fingerprint] for one in record(bench).roots]
    return sorted(held, key=lambda ca: ca.certificate.serial_number)


async def test_one_sick_list_does_not_stop_the_other() -> None:
    """Nor a certificate; and it says what is wrong."""
    bench = Bench()
    bench.performer.offers |= {"sick": offer(), "well": offer(root(1))}
    bench.configure(configured("sick", "well"))
    await bench.until(lambda: bench.done() and record(bench, "well").published)
    await bench.until(lambda: record(bench, "sick").alarms)
    assert set(record(bench, "sick").alarms) == {"refused-empty"}
    kinds = {event.kind for event in bench.events if event.subject == "sick"}
    assert {"trust.failed", "alarm.raised"} <= kinds


async def test_a_shutdown_is_no_crash_and_a_crash_is(bench: Bench) -> None:
    """The job that was under way is tried alone after a crash."""
    gate = Gate("fetch")
    bench.performer.trouble = gate
    async with bench.running():
        await spin(lambda: gate.waiting)
    job = record(bench).job
    assert job is not None
    assert (job.running, job.intent, job.crashes) == (False, "fetch", 0)
    running = replace(record(bench), job=begun(job, "fetch"))
    again = Bench(running)
    again.performer.offers["ours"] = offer(root(1))
    again.configure(configured("ours"))
    crashed = record(again).job
    assert crashed is not None
    assert crashed.crashes == 1
    await again.until(lambda: again.done() and record(again).published)
    assert again.performer.performed[0] == ("ours", "fetch")


async def test_a_list_that_was_removed_is_left_as_it_is(bench: Bench) -> None:
    """A fetch that is under way is folded, and nothing is begun after it."""
    gate = Gate("fetch")
    bench.performer.trouble = gate
    async with bench.running():
        await spin(lambda: gate.waiting)
        bench.configure(configured())
        gate.open()
        await spin(lambda: record(bench).version)
    assert bench.performer.effects("ours") == ["fetch"]


def test_a_corrupt_record_quarantines_its_list_alone() -> None:
    """The certificate goes on; nobody invents an empty list."""
    bench = Bench(TrustRecord(name="ours"))
    bench.store.files[TrustRecord, "ours"] = b"{"
    bench.cells.load()
    assert "trust ours" in bench.cells.quarantined
    bench.cells.trusts.clear()
    assert bench.cells.trust("ours") is None
    assert bench.cells.roots("ours") == ""


def test_a_view_says_what_stands_and_what_is_next() -> None:
    """Roots are shown only where somebody asked for them."""
    job = TrustJob(id="j", phase=FetchDue(), reason="r", created=START)
    base = TrustRecord(name="ours", version=2, published=1, sequence=7, job=job)
    kept = replace(base, distrusted={"d" * 64: START}, fetch_at=START + DAY)
    view = trust_view(kept, TABLE, START)
    assert (view.version, view.published, view.sequence) == (2, 1, 7)
    assert (view.fetch_at, view.next) == (START + DAY, "its source is asked again")
    assert view.roots == ()
    full = trust_view(kept, TABLE, START, with_roots=True)
    assert [(r.fingerprint, r.state) for r in full.roots] == [("d" * 64, "distrusted")]


async def test_the_states_of_roots_are_told_apart(bench: Bench) -> None:
    """Trusted, missing, leaving, ended."""
    await bench.until(lambda: record(bench).published == 1)
    bench.performer.offers["ours"] = offer(root(2))
    await bench.until(lambda: record(bench).roots[0].missing_since)
    now = bench.clock.now()
    assert _states(bench) == ["missing", "trusted"]
    await bench.until(lambda: record(bench).roots[0].removed_at)
    assert _states(bench) == ["leaving", "trusted"]
    first = trust_view(record(bench), TABLE, now, with_roots=True).roots[0]
    left = record(bench).roots[0].removed_at
    assert left is not None
    assert first.until == left + 10 * DAY
    ended = replace(record(bench).roots[1], not_after=START)
    sick = replace(record(bench), roots=(ended,))
    assert trust_view(sick, TABLE, now, with_roots=True).roots[0].state == "ended"


def _states(bench: Bench) -> list[str]:
    view = trust_view(record(bench), TABLE, bench.clock.now(), with_roots=True)
    return [one.state for one in view.roots]


async def test_metrics_have_a_series_for_each_list(bench: Bench) -> None:
    """Instants as instants, labels from the configuration only."""
    await bench.until(lambda: record(bench).published == 1)
    shown = trust_view(record(bench), TABLE, bench.clock.now())
    _, body = render(replace(status(), trust=(shown,)), Counters(), "")
    labels = '{source="file",trust="ours"}'
    text = body.decode()
    assert f"nfcertd_trust_fetched_timestamp_seconds{labels}" in text
    for name, value in (("version", 1), ("published", 1), ("roots", 2)):
        assert f"nfcertd_trust_{name}{labels} {value:.1f}" in text
    assert f"nfcertd_trust_expires_timestamp_seconds{labels}" not in text
