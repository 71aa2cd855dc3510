"""A root rolls over while peers talk: at no moment is one of them refused.

Time is virtual and certificates are real: at each step every peer that has a
certificate is verified by a path validation of its own (`cryptography.x509`), against
the bundle that consumers read at that moment. Nothing here asks the code under test who
should be trusted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Literal

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.trust import Trust
from agent.jobs import trust
from agent.jobs.step import Do, Failed, Moment, Performed
from agent.records.trust import Source, TrustRecord
from agent.renewal.disposition import failure_of
from agent.transport import TransportError
from agent.trust.roots import Document, of_roots, read_der
from tests.vectors.trust import NOW, Ca, entry, issued, root

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
STEP = 6 * HOUR
OVERLAP, DELAY, INTERVAL = 15 * DAY, 2 * DAY, DAY
LIFE = 10 * DAY
"""How long peers' certificates live: less than the overlap."""
OUTAGE = 4
"""Days that a source is away at the longest."""
NOTICE = INTERVAL * 2 + OUTAGE * DAY + 2 * HOUR * 6
"""How long a root must be in the list before it issues: fetches may fail."""
OLD, NEW = 1, 2


def table(source: Source) -> Trust:
    """Return the table of a list with this source."""
    common = {"interval": "1d", "overlap": "15d", "delay": "2d"}
    match source:
        case "file":
            return Trust(file="/roots.pem", **common)  # type: ignore[arg-type]  # durations, spelt once
        case "est":
            return Trust(est="https://est.example/cacerts", roots="/tls.pem", **common)  # type: ignore[arg-type]  # durations, spelt once
        case "signed":
            return Trust(
                signed="https://lists.example/roots",
                roots="/tls.pem",
                signer="/signer.pem",
                **common,  # type: ignore[arg-type]  # durations, spelt once
            )


@cache
def ca(number: int) -> Ca:
    """Return a root that outlives the story."""
    return root(number, begins=NOW - 10 * DAY)


@cache
def peer(issuer: int, begins: datetime) -> Ca:
    """Return a peer's certificate."""
    return issued(ca(issuer), "peer.example", begins, LIFE)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When the operator does what, in days, and when the source is away.

    Attributes:
        announced: The new root is put into the list.
        switched: New certificates come from the new root.
        withdrawn: The old root is taken out of the list.
        outages: Days at which an outage begins, each with its length in days.
        slips: Days on which the source shows the list as it was before the last change.
    """

    announced: int
    switched: int
    withdrawn: int
    outages: Mapping[int, int] = field(default_factory=dict)
    slips: frozenset[int] = frozenset()

    def offered(self, day: float) -> tuple[int, ...]:
        """Return the roots in the list."""
        if day < self.announced:
            return (OLD,)
        return (OLD, NEW) if day < self.withdrawn else (NEW,)

    def is_away(self, day: float) -> bool:
        """Tell whether the source does not answer."""
        return any(begin <= day < begin + long for begin, long in self.outages.items())


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Draw a roll-over that keeps the rule: announce, wait, switch, withdraw."""
    notice = NOTICE // DAY + 1
    announced = draw(st.integers(8, 12))
    switched = announced + notice + draw(st.integers(0, 4))
    withdrawn = switched + draw(st.integers(0, 10))
    outages = draw(
        st.dictionaries(
            st.sampled_from(range(6, withdrawn + 20, OUTAGE + 3)),
            st.integers(1, OUTAGE),
            max_size=3,
        )
    )
    return Schedule(
        announced=announced, switched=switched, withdrawn=withdrawn, outages=outages
    )


class Host:
    """One host that follows the list, on a virtual clock.

    Attributes:
        record: What is durable.
        published: What consumers read.
    """

    def __init__(self, schedule: Schedule, source: Source) -> None:
        """Begin with nothing."""
        self._schedule = schedule
        self._source = source
        self._table = table(source)
        self.record = TrustRecord(name="operator-roots")
        self.published = ""

    def turn(self, now: datetime, draw: float) -> None:
        """Do everything that is due."""
        moment = Moment(now=now, draw=draw, token="7" * 32)
        for _ in range(8):
            self.record = trust.reconcile(self.record, self._table, moment)
            step = trust.next_step(self.record, now)
            if not isinstance(step, Do):
                return
            outcome = self._perform(step.effect, now)
            self.record = trust.fold(
                self.record, step.effect, outcome, self._table, moment
            )
        raise AssertionError("the list does not come to rest")

    def _perform(self, effect: trust.Effect, now: datetime) -> trust.Outcome:
        day = (now - NOW) / DAY
        match effect:
            case trust.Fetch() if self._schedule.is_away(day):
                return Failed(failure_of(TransportError("no answer"), now))
            case trust.Fetch():
                return trust.Fetched(self._offer(day))
            case trust.PublishRoots():
                self.published = self.record.bundle
                return Performed()
            case _:
                return Performed()

    def _offer(self, day: float) -> Document:
        roots = self._schedule.offered(day)
        found = of_roots(read_der(str(entry(ca(n))["certificate"])) for n in roots)
        if self._source != "signed":
            return found
        changes = (self._schedule.announced, self._schedule.withdrawn)
        return found._replace(sequence=1 + sum(day >= change for change in changes))


def accepts(bundle: str, leaf: x509.Certificate, now: datetime) -> bool:
    """Tell whether a server with this bundle accepts a client with this leaf."""
    store = Store(x509.load_pem_x509_certificates(bundle.encode()))
    verifier = PolicyBuilder().store(store).time(now).build_client_verifier()
    try:
        verifier.verify(leaf, [])
    except VerificationError:
        return False
    return True


def peers(schedule: Schedule, now: datetime) -> Iterator[tuple[int, x509.Certificate]]:
    """Yield the youngest and the oldest certificate in service under each root."""
    switch = NOW + schedule.switched * DAY
    births = {
        OLD: (max(now - LIFE + HOUR, NOW - LIFE), min(now, switch - HOUR)),
        NEW: (max(now - LIFE + HOUR, switch), now),
    }
    for issuer, (oldest, youngest) in births.items():
        for begins in {oldest, youngest} if oldest <= youngest else ():
            yield issuer, peer(issuer, begins).certificate


def hours(schedule: Schedule) -> Iterator[datetime]:
    """Yield every step of the story, a while beyond its end."""
    days = schedule.withdrawn + (OVERLAP + DELAY) // DAY + 3 * OUTAGE + 4
    for number in range(int(days * DAY / STEP)):
        yield NOW + number * STEP


SOURCES: tuple[Literal["signed", "est", "file"], ...] = ("signed", "est", "file")


@settings(max_examples=15, deadline=None)
@given(schedules(), st.sampled_from(SOURCES), st.floats(0, 0.999))
def test_no_peer_is_refused_while_a_root_rolls_over(
    schedule: Schedule, source: Source, draw: float
) -> None:
    """Old chain and new chain, at every step of virtual weeks, with outages."""
    host = Host(schedule, source)
    seen = set()
    for now in hours(schedule):
        host.turn(now, draw)
        for issuer, leaf in peers(schedule, now):
            seen.add(issuer)
            assert accepts(host.published, leaf, now), (source, issuer, now)
    assert seen == {OLD, NEW}
    # And the old root is gone at the end: an overlap ends.
    assert not accepts(host.published, peer(OLD, now).certificate, now)
    assert host.record.version == 3
    assert not host.record.alarms.keys() - {"failing", "stale"}


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, 40), max_size=8), st.sampled_from(("est", "file")))
def test_a_source_that_slips_takes_nobody_away(
    slips: set[int], source: Literal["est", "file"]
) -> None:
    """Single fetches that lack a root are mistakes, however often they happen."""
    lonely = {day for day in slips if day - 1 not in slips and day - 2 not in slips}

    class Slipping(Schedule):
        """Shows only the new root on some days."""

        def offered(self, day: float) -> tuple[int, ...]:
            return (NEW,) if int(day) in lonely else (OLD, NEW)

    schedule = Slipping(announced=0, switched=0, withdrawn=99)
    host = Host(schedule, source)
    for number in range(45 * 24 // 6):
        now = NOW + number * STEP
        host.turn(now, 0.5)
        if host.record.version > 1:
            assert accepts(host.published, peer(OLD, now).certificate, now)
    assert all(root.removed_at is None for root in host.record.roots)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.integers(1, 4)), st.integers(1, 30), st.booleans()),
        max_size=12,
    )
)
def test_nothing_that_a_source_says_leaves_nothing(
    said: list[tuple[set[int], int, bool]],
) -> None:
    """Whatever signed lists come in whatever order: never empty, never backwards."""
    record = TrustRecord(name="operator-roots")
    now, of = NOW, table("signed")
    for numbers, sequence, distrust in said:
        now += DAY
        found = of_roots(read_der(str(entry(ca(n))["certificate"])) for n in numbers)
        bad = frozenset({ca(1).fingerprint}) if distrust else frozenset()
        digest = f"{sorted(numbers)} {sequence} {distrust}"
        document = found._replace(sequence=sequence, distrusted=bad, digest=digest)
        moment = Moment(now=now, draw=0.5, token="7" * 32)
        before = trust.reconcile(record, of, moment)
        record = trust.fold(before, trust.Fetch(), trust.Fetched(document), of, moment)
        assert record.sequence >= before.sequence
        assert record.version >= before.version
        assert bool(record.roots) or not before.roots
        refused = record.digest != document.digest
        if distrust and not refused:
            held = {root.fingerprint for root in record.roots}
            assert ca(1).fingerprint not in held
