"""What happens becomes entries; checkpoints are signed when they are due."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from agent.auditing import AGAIN, EMPTY, OUTGROWN, SOON, Auditor, Checkpoints
from agent.config.tokens import Key
from agent.config.trail import Audit
from agent.events import Event
from agent.jobs.step import Moment
from agent.keys.errors import TokenAbsentError
from agent.keys.software import FileKeys
from agent.ports import MadeKey
from agent.records.keys import KeyRecord
from agent.records.others import AuditRecord
from agent.trail.check import Check
from agent.trail.entry import line_of
from tests.fakes.clock import FakeClock
from tests.fakes.parts import MemoryStore
from tests.fakes.trail import MemoryTrail

EVENT = Event(subject="web", kind="certificate.issued", text="certificate 01 issued")
SIGNED = Audit(key=Key(file=True), checkpoint="1d")


class Flaky(FileKeys):
    """Keys in files, as if in a token that can be away."""

    def __init__(self, directory: Path) -> None:
        """Be there."""
        super().__init__(directory)
        self.away = False
        self.busy: Callable[[], None] = lambda: None

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Sign, while something else happens."""
        self.busy()
        return await super().sign(key, data)

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make it, unless away."""
        if self.away:
            raise TokenAbsentError("the token is away")
        return await super().make(key)


class Desk:
    """An auditor with its checkpoints, in memory."""

    def __init__(self, home: Path, settings: Audit = SIGNED) -> None:
        """Begin with an empty trail."""
        self.clock = FakeClock()
        self.trail = MemoryTrail(self.clock)
        self.words: list[str] = []
        self.auditor = Auditor(self.trail, settings, self.words.append)
        self.store = MemoryStore()
        self.keys = Flaky(home)
        self.ids = iter(f"{number:032x}" for number in range(1, 100))
        self.checkpoints = Checkpoints(
            self.auditor,
            self.keys,
            self.store,
            clock=self.clock,
            moment=lambda: Moment(now=self.clock.now(), draw=0.0, token=next(self.ids)),
            install="0" * 16,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the checkpoints' task."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.checkpoints.run())
            await self.settle()
            yield
            task.cancel()

    async def settle(self) -> None:
        """Let the task run until it sleeps; file keys work in a thread."""
        for _ in range(4_000):
            await asyncio.sleep(0.002)
            if self.clock.sleepers:
                return
        raise AssertionError("it does not come to a pause")

    async def after(self, span: timedelta) -> None:
        """Let time pass, and the task look."""
        self.clock.advance(span)
        await asyncio.sleep(0)
        await self.settle()

    def events(self) -> list[str]:
        """Return the words of the trail."""
        return [entry.event for entry in self.trail.entries]


def test_an_event_is_an_entry_with_its_kind_and_its_word(tmp_path: Path) -> None:
    """The word is counted for the metric as well."""
    desk = Desk(tmp_path)
    desk.auditor.event(EVENT)
    [entry] = desk.trail.entries
    assert (entry.event, entry.subject, entry.text) == ("certconf", "web", EVENT.text)
    assert entry.data["kind"] == "certificate.issued"
    assert desk.words == ["certconf"]


def test_a_configuration_that_wants_no_trail_gets_none(tmp_path: Path) -> None:
    """And nothing is held for it."""
    desk = Desk(tmp_path, Audit(enabled=False, on_full="hold"))
    desk.trail.full = True
    desk.auditor.event(EVENT)
    assert desk.events() == []
    assert desk.auditor.hold_until(desk.clock.now()) is None
    assert desk.auditor.trouble == ""


def test_a_full_disk_holds_the_daemon_only_where_that_is_wanted(
    tmp_path: Path,
) -> None:
    """Either way it is told; held, it is looked at again soon."""
    for choice, held in (("go-on", False), ("hold", True)):
        desk = Desk(tmp_path, Audit(on_full=choice))  # type: ignore[arg-type]  # literal
        desk.trail.full = True
        desk.auditor.event(EVENT)
        now = desk.clock.now()
        until = desk.auditor.hold_until(now)
        assert (until is not None and until > now) is held
        assert "cannot be written" in desk.auditor.trouble
        desk.trail.full = False
        if held:
            assert desk.auditor.hold_until(now) is None
            assert desk.auditor.trouble == ""


async def test_checkpoints_are_signed_when_due_and_verify(tmp_path: Path) -> None:
    """The first at once, the next a day later; the key is made once, durably."""
    desk = Desk(tmp_path)
    desk.auditor.event(EVENT)
    async with desk.running():
        assert desk.events() == ["certconf", "checkpoint"]
        desk.auditor.event(EVENT)
        await desk.after(timedelta(hours=1))
        assert desk.events().count("checkpoint") == 1
        for _ in range(24):
            await desk.after(timedelta(hours=1))
        assert desk.events().count("checkpoint") == 2
    record = desk.store.get(AuditRecord, "audit")
    assert record is not None
    assert record.key is not None
    assert record.key_count == 1
    check = Check(record.key.public)
    check.read("memory", [line_of(entry) for entry in desk.trail.entries])
    assert check.report.problems == []
    assert check.report.checkpoints == 2


async def test_an_empty_trail_is_vouched_for_once_it_has_an_entry(
    tmp_path: Path,
) -> None:
    """No key is made for an empty one; what comes then does not wait for an hour."""
    desk = Desk(tmp_path)
    async with desk.running():
        assert desk.events() == []
        assert desk.checkpoints.record.key is None
        desk.auditor.event(EVENT)
        await desk.after(EMPTY)
        assert desk.events() == ["certconf", "checkpoint"]


async def test_a_token_that_is_away_is_told_and_tried_again(tmp_path: Path) -> None:
    """The id of the key was durable before; the same key is made later."""
    desk = Desk(tmp_path)
    desk.keys.away = True
    desk.auditor.event(EVENT)
    async with desk.running():
        assert "no checkpoint" in desk.auditor.trouble
        chosen = desk.checkpoints.record.key
        assert chosen is not None
        desk.keys.away = False
        await desk.after(AGAIN)
        assert desk.events() == ["certconf", "checkpoint"]
        assert desk.auditor.trouble == ""
    made = desk.checkpoints.record.key
    assert made is not None
    assert made.id == chosen.id


async def test_a_trail_that_grows_while_it_is_signed_is_vouched_for_soon(
    tmp_path: Path,
) -> None:
    """At a start that is no trouble; for minutes on end it is."""
    desk = Desk(tmp_path)
    desk.auditor.event(EVENT)
    desk.keys.busy = lambda: desk.auditor.event(EVENT)
    async with desk.running():
        assert "checkpoint" not in desk.events()
        for _ in range(OUTGROWN - 2):
            await desk.after(SOON)
        assert desk.auditor.trouble == ""
        await desk.after(SOON)
        assert "grew while it was signed" in desk.auditor.trouble
        desk.keys.busy = lambda: None
        await desk.after(AGAIN)
        assert desk.events()[-1] == "checkpoint"
        assert desk.auditor.trouble == ""
