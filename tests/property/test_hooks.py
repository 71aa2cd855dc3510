"""Properties of hooks: whatever lasts is told, whenever the process dies."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.jobs.envelope import begun, crashed
from agent.jobs.hooks import MAX_QUEUE, fold, next_step, reconcile
from agent.jobs.news import Seen
from agent.jobs.step import Do, Failed, Performed
from agent.records.codec import decode, encode
from agent.records.hook import HookRecord
from agent.records.job import Severity
from tests.vectors.hooks import EVERYTHING, alarm, deployed, failed, moment, seen

STATES = st.builds(
    lambda numbers, revoked, alarms: seen(
        *(deployed(n, x, revoked=revoked) for n, x in numbers.items()),
        alarms=[alarm(slug, severity=how) for slug, how in alarms.items()],
    ),
    st.dictionaries(st.sampled_from(["amf", "smf"]), st.integers(1, 4)),
    st.sets(st.integers(1, 4)),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(list(Severity))),
)
STEPS = st.lists(
    st.sampled_from(["change", "look", "take", "fail", "die", "die-after"]),
    max_size=30,
)
LONG = timedelta(days=1)


class Hooked:
    """A hook, its receiver, and a process that may die between any two writes.

    Attributes:
        record: What is durable.
        state: What is so.
        heard: The state as the receiver knows it from what it took.
        sequences: Numbers of what it took, in its order.
    """

    def __init__(self) -> None:
        """Begin with an empty host and a hook that knows it."""
        self.number = 0
        self.state = seen()
        self.heard: dict[str, str] = {}
        self.sequences: list[int] = []
        self.record = HookRecord(name="nrf")
        self.look()

    def put(self, record: HookRecord) -> None:
        """Make a record durable, octets and all."""
        self.record = decode(encode(record), HookRecord)

    def look(self) -> None:
        """Compare."""
        self.number += 1
        at = moment(self.number, self.number * LONG / 24)
        table = replace(EVERYTHING, keep="9w")
        self.put(reconcile(self.record, self.state, table, at))

    def deliver(self, step: str) -> None:
        """Run the program once, to whatever end."""
        self.number += 1
        at = moment(self.number, self.number * LONG)
        found = next_step(self.record, at.now)
        job = self.record.job
        if not isinstance(found, Do) or job is None:
            return
        self.put(replace(self.record, job=begun(job, "deliver")))
        if step in {"take", "die-after"}:
            self._take()
        running = self.record.job
        assert running is not None
        if step.startswith("die"):
            self.put(replace(self.record, job=replace(crashed(running), crashes=1)))
            return
        outcome = Performed() if step == "take" else Failed(failed(at.now))
        self.put(fold(self.record, found.effect, outcome, EVERYTHING, at))

    def _take(self) -> None:
        event = self.record.queue[0]
        self.sequences.append(event.sequence)
        key = f"{event.event} {event.certificate} {event.alarm} {event.fingerprint}"
        key = key if event.event != "deployed" else f"deployed {event.certificate}"
        value = str(event.publication or event.severity or event.reason)
        if event.state == "cleared":
            self.heard.pop(key, None)
        else:
            self.heard[key] = value

    def true(self) -> dict[str, str]:
        """Return what the receiver should know."""
        known: dict[str, str] = {}
        for name, record in self.state.certificates.items():
            proven = record.endpoints[""].proven
            known[f"deployed {name}"] = str(proven)
            for issued in record.issued:
                if issued.revocation is not None:
                    known[f"revoked {name}  {issued.fingerprint}"] = "superseded"
        for one in self.state.alarms:
            known[f"alarm {one.subject} {one.id} "] = str(one.severity)
        return known


@given(st.lists(st.tuples(STATES, STEPS), max_size=6))
def test_whatever_lasts_is_told_in_order_whenever_the_process_dies(
    story: list[tuple[Seen, list[str]]],
) -> None:
    """In the end the receiver knows the state; nothing was overtaken or invented."""
    hooked = Hooked()
    for state, steps in story:
        for step in steps:
            if step == "change":
                hooked.state = state
            elif step == "look":
                hooked.look()
            else:
                hooked.deliver(step)
    hooked.look()
    while hooked.record.queue:
        hooked.deliver("take")
    assert hooked.true().items() <= hooked.heard.items()
    standing = {key for key in hooked.heard if key.startswith("alarm")}
    assert standing == {key for key in hooked.true() if key.startswith("alarm")}
    assert hooked.sequences == sorted(hooked.sequences)
    assert set(hooked.sequences) == set(range(1, hooked.record.sequence + 1))
    assert (hooked.record.dropped, hooked.record.job) == (0, None)


@given(STATES, STATES)
def test_a_comparison_is_idempotent_and_bounded(before: Seen, after: Seen) -> None:
    """The same state is told once, and a queue has a length."""
    record = reconcile(HookRecord(name="nrf"), before, EVERYTHING, moment(1))
    record = reconcile(record, after, EVERYTHING, moment(2))
    assert reconcile(record, after, EVERYTHING, moment(3)) == record
    assert len(record.queue) <= MAX_QUEUE
    assert [e.sequence for e in record.queue] == list(range(1, record.sequence + 1))
