"""A record is durable before anybody sees it, and a bad one stops nobody else."""

import pytest
from msgspec.structs import replace

from agent.cells import Cell, Cells, PinLedger
from agent.events import Event
from agent.jobs.lifecycle import begin
from agent.records.certificate import CertificateRecord, IssueJob
from agent.records.codec import Record, RecordError
from agent.records.keys import PinRecord, PinStatus
from agent.records.others import AccountRecord, RegisterJob, TokenRecord
from agent.records.phases import AccountKeyMade, KeyChosen
from agent.records.slots import Slot
from agent.store import StoreError
from tests.fakes.clock import START
from tests.fakes.parts import MemoryStore
from tests.fakes.subjects import account

JOB = IssueJob(id="j", phase=KeyChosen(key="k"), reason="due", created=START)


class Witness(MemoryStore):
    """A store that asks, at each put, what others can see."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.seen: list[int] = []
        self.cell: Cell[CertificateRecord] | None = None

    def put(self, record: Record) -> None:
        """Note what the cell shows while the record becomes durable."""
        if self.cell is not None:
            self.seen.append(self.cell.record.orders)
        super().put(record)


def ordered(record: CertificateRecord) -> CertificateRecord:
    """Return the record with one order more."""
    return replace(record, orders=record.orders + 1)


def test_a_change_is_durable_before_it_is_visible() -> None:
    """And narrated after both."""
    store, told = Witness(), list[tuple[int, int, bool]]()

    def emit(before: CertificateRecord, after: CertificateRecord) -> None:
        durable = store.get(CertificateRecord, "web") == after
        told.append((before.orders, after.orders, durable))

    store.cell = Cell(CertificateRecord(name="web"), store, emit)
    store.cell.change(ordered)
    store.cell.change(ordered)
    assert store.seen == [0, 1]
    assert told == [(0, 1, True), (1, 2, True)]


def test_what_is_unchanged_is_not_written() -> None:
    """An idle daemon writes nothing, and tells nothing."""
    store, told = MemoryStore(), list[object]()
    cell = Cell(CertificateRecord(name="web"), store, lambda *both: told.append(both))
    cell.change(lambda record: record)
    cell.change(lambda record: replace(record, orders=0))
    assert (store.puts, told) == ([], [])


def test_what_could_not_be_written_has_not_happened() -> None:
    """Memory is as the disk is."""
    store = MemoryStore()
    cells = Cells(store, _deaf)
    cell = cells.certificate("web")
    assert cell is not None
    store.broken = True
    with pytest.raises(StoreError):
        cell.change(ordered)
    assert cell.record.orders == 0
    store.broken = False
    cell.change(ordered)
    assert cell.record.orders == 1


def _deaf(event: Event) -> None:
    del event


@pytest.fixture
def store() -> MemoryStore:
    """Return a store in which every kind of job was running."""
    running = begin(CertificateRecord(name="web", issue=JOB), Slot("issue"), "finalize")
    idle = CertificateRecord(name="idle", issue=JOB)
    job = RegisterJob(
        id="r",
        phase=AccountKeyMade(),
        reason="no url",
        created=START,
        running=True,
        intent="register",
    )
    return MemoryStore(
        running,
        idle,
        replace(account(url=""), register=job),
        TokenRecord(name="hsm", pin=PinRecord(status=PinStatus.REFUSED)),
    )


def test_what_was_running_at_the_end_has_crashed(store: MemoryStore) -> None:
    """Durably, before anything is begun again; what was waiting has not."""
    cells = Cells(store, _deaf)
    cells.load()
    issue = cells.certificates["web"].record.issue
    assert issue is not None
    assert (issue.running, issue.crashes, issue.crashed_in) == (False, 1, "finalize")
    assert issue.intent == "finalize"
    register = cells.accounts["test"].record.register
    assert register is not None
    assert (register.crashes, register.crashed_in) == (1, "register")
    assert sorted(getattr(record, "name", "") for record in store.puts) == [
        "test",
        "web",
    ]
    again = Cells(store, _deaf)
    again.load()
    assert again.certificates["web"].record == cells.certificates["web"].record


def test_a_crash_that_cannot_be_noted_stops_the_start(store: MemoryStore) -> None:
    """Otherwise a job could end the process for ever."""
    store.broken = True
    with pytest.raises(StoreError):
        Cells(store, _deaf).load()


@pytest.fixture(params=[b"{ torn", b"", b'{"kind":"certificate","version":999}'])
def corrupt(request: pytest.FixtureRequest, store: MemoryStore) -> MemoryStore:
    """Return a store in which one record of each kind cannot be read."""
    for kind, name in ((CertificateRecord, "web"), (AccountRecord, "test")):
        store.files[kind, name] = request.param
    store.files[TokenRecord, "hsm"] = request.param
    return store


def test_a_record_that_cannot_be_read_is_quarantined(corrupt: MemoryStore) -> None:
    """The others go on; nothing of the bad one is overwritten."""
    events: list[Event] = []
    before = dict(corrupt.files)
    cells = Cells(corrupt, events.append)
    cells.load()
    assert list(cells.certificates) == ["idle"]
    assert cells.certificate("web") is None
    assert cells.account("test", "https://ca.example/") is None
    assert set(cells.quarantined) == {"certificate web", "account test", "token hsm"}
    assert {event.kind for event in events} == {"record.quarantined"}
    assert {event.subject for event in events} == {"web", "test", "hsm"}
    assert corrupt.files == before


async def test_the_pin_of_a_quarantined_token_is_not_tried(
    corrupt: MemoryStore,
) -> None:
    """What cannot be read may say that the token has refused it."""
    cells = Cells(corrupt, _deaf)
    cells.load()
    before = corrupt.files[TokenRecord, "hsm"]
    with pytest.raises(RecordError, match="token hsm is not tried") as caught:
        await PinLedger(cells).save("hsm", PinRecord(status=PinStatus.ATTEMPTING))
    assert "restore" in caught.value.hint
    assert corrupt.files[TokenRecord, "hsm"] == before


async def test_the_ledger_of_pins_is_durable() -> None:
    """What is saved is there for the next process, before C_Login is called."""
    store = MemoryStore()
    ledger = PinLedger(Cells(store, _deaf))
    assert ledger.load("hsm") == PinRecord()
    attempt = PinRecord(status=PinStatus.ATTEMPTING, salt=b"s", fingerprint=b"f")
    await ledger.save("hsm", attempt)
    await ledger.save("hsm", attempt)
    assert len(store.puts) == 1
    again = Cells(store, _deaf)
    again.load()
    assert PinLedger(again).load("hsm") == attempt
    store.broken = True
    with pytest.raises(StoreError):
        await ledger.save("hsm", PinRecord(status=PinStatus.ACCEPTED))
    assert ledger.load("hsm") == attempt


def test_a_subject_is_made_once() -> None:
    """Empty at first, and not durable before its first change."""
    store = MemoryStore()
    cells = Cells(store, _deaf)
    assert cells.certificate("web") is cells.certificate("web")
    assert cells.account("a", "https://a/") is cells.account("a", "https://b/")
    assert cells.token("t") is cells.token("t")
    assert store.files == {}


def test_what_happened_is_told() -> None:
    """A change of a certificate or of an account becomes events."""
    events: list[Event] = []
    cells = Cells(MemoryStore(), events.append)
    certificate, known = cells.certificate("web"), cells.account("a", "https://a/")
    assert certificate is not None
    assert known is not None
    certificate.change(lambda record: replace(record, issue=JOB))
    known.change(lambda record: replace(record, url="https://a/1"))
    assert [event.kind for event in events] == ["issue.begun", "account.valid"]
