"""Hooks as subjects of the manager, and what is shown and told of them."""

import asyncio
import re
import subprocess
import tomllib
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from agent.cli.render_hooks import rows
from agent.cli.shapes import HookShape
from agent.config.hook import Hook, hook_problems
from agent.config.model import Config
from agent.counters import Counters
from agent.events import Event
from agent.hookviews import hook_view, narrate_hook
from agent.jobs import hooks
from agent.jobs.step import Performed
from agent.metrics import render
from agent.programs import ProgramError
from agent.records.certificate import CertificateRecord
from agent.records.hook import Delivering, HookEvent, HookJob, HookRecord
from agent.records.job import Severity
from agent.shapes import AlarmView
from agent.subjects.hooks import KIND, Hooks
from tests.fakes.bench import Bench, spin
from tests.fakes.clock import START
from tests.fakes.subjects import config
from tests.fakes.views import status
from tests.vectors.hooks import EVERYTHING, failed

HOUR = timedelta(hours=1)


class Receiver:
    """Runs the programs of hooks, or fails as long as it is wished.

    Attributes:
        taken: Hook and event, in order.
        broken: Hooks whose program fails.
        stuck: Whether programs never end.
    """

    def __init__(self) -> None:
        """Take everything."""
        self.taken: list[tuple[str, HookEvent]] = []
        self.broken: set[str] = set()
        self.stuck = False

    async def for_hook(
        self, record: HookRecord, effect: hooks.Deliver, table: Hook
    ) -> hooks.Outcome:
        """Take an event."""
        assert table.command
        if self.stuck:
            await asyncio.Event().wait()
        if record.name in self.broken:
            raise ProgramError("/bin/false ended with status 1: no output")
        await asyncio.sleep(0)
        self.taken.append((record.name, effect.event))
        return Performed()

    def heard(self, hook: str) -> list[str]:
        """Return what a hook took."""
        return [event.event for name, event in self.taken if name == hook]


class Hooked(Bench):
    """A manager with hooks; `alarms` stand for the whole installation."""

    def __init__(self, *records: CertificateRecord | HookRecord) -> None:
        """Begin with some records on the disk."""
        super().__init__(*records)
        self.receiver = Receiver()
        self.alarms: tuple[AlarmView, ...] = ()
        self.manager.add(KIND, Hooks(self.cells, self.receiver, lambda: self.alarms))

    @property
    def told(self) -> int:
        """Return how many events were taken."""
        return len(self.receiver.taken)

    def hook(self, name: str = "nrf") -> HookRecord:
        """Return a hook's record in memory."""
        return self.cells.hooks[name].record


def configured(*names: str) -> Config:
    """Return a configuration with one certificate and some hooks."""
    return replace(config("web"), hook=dict.fromkeys(names, EVERYTHING))


def standing(slug: str = "pin-refused", kind: str = "token") -> AlarmView:
    """Return an alarm that stands."""
    return AlarmView(
        id=slug,
        kind=kind,
        subject="hsm",
        severity=Severity.MAJOR,
        cause="the token refused the pin",
        action="",
        raised=START - HOUR,
    )


async def test_a_deployment_is_told_once_to_every_hook() -> None:
    """The first enrolment of a new host is news, and a renewal again."""
    bench = Hooked()
    bench.configure(configured("nrf", "oam"))
    await bench.until(lambda: bench.done() and len(bench.receiver.taken) == 2)
    assert bench.receiver.heard("nrf") == ["deployed"]
    assert bench.receiver.heard("oam") == ["deployed"]
    await bench.until(lambda: bench.done(number=2) and len(bench.receiver.taken) == 4)
    publications = [event.publication for _, event in bench.receiver.taken]
    assert publications == [1, 1, 2, 2]


async def test_an_alarm_of_any_subject_is_told_and_that_it_is_over() -> None:
    """Also of one that no record holds."""
    bench = Hooked()
    bench.alarms = (standing(),)
    bench.configure(configured("nrf"))
    await bench.until(lambda: "alarm" in bench.receiver.heard("nrf"))
    bench.alarms = ()
    bench.manager.touch()
    await bench.until(lambda: bench.receiver.heard("nrf").count("alarm") == 2)
    told = [event for _, event in bench.receiver.taken if event.event == "alarm"]
    assert [(e.state, e.subject_kind, e.alarm) for e in told] == [
        ("raised", "token", "pin-refused"),
        ("cleared", "token", "pin-refused"),
    ]


async def test_a_hook_that_fails_holds_up_nobody() -> None:
    """Neither certificates nor other hooks; in the end it takes everything."""
    bench = Hooked()
    bench.receiver.broken.add("sick")
    patient = replace(EVERYTHING, keep="52w")
    both = replace(configured(), hook=dict.fromkeys(["sick", "well"], patient))
    bench.configure(both)
    await bench.until(lambda: bench.done(number=2) and bench.receiver.taken[1:])
    assert bench.receiver.heard("well") == ["deployed", "deployed"]
    job = bench.hook("sick").job
    assert job is not None
    assert job.failures > 3
    bench.receiver.broken.clear()
    await bench.until(lambda: len(bench.receiver.heard("sick")) >= 2)
    assert [e.sequence for n, e in bench.receiver.taken if n == "sick"][:2] == [1, 2]


async def test_a_program_that_hangs_holds_up_no_certificate() -> None:
    """Its own time limit ends it; until then the others get on."""
    bench = Hooked()
    bench.receiver.stuck = True
    bench.configure(configured("nrf"))
    bench.alarms = (standing(),)
    async with bench.running():
        await spin(bench.done)
    job = bench.hook().job
    assert job is not None
    assert (job.running, job.intent, job.crashes) == (False, "deliver", 0)


async def test_no_event_is_lost_between_any_two_writes() -> None:
    """A process that begins with what was durable last tells what was not told yet."""
    first = Hooked()
    first.configure(configured("nrf"))
    await first.until(lambda: first.done() and first.receiver.taken)
    certificate, hook, ends = CertificateRecord(name="web"), HookRecord(name="nrf"), 0
    for put in first.store.puts:
        if isinstance(put, CertificateRecord):
            certificate = put
        elif isinstance(put, HookRecord):
            hook = put
        if hook.announced is None or certificate.issue is not None:
            continue
        ends += 1
        again = Hooked(certificate, hook)
        again.configure(configured("nrf"))
        await again.until(partial(_told_once, again, hook.delivered))
    assert ends > 5


def _told_once(bench: Hooked, before: int) -> bool:
    return bench.done() and before + bench.told == 1


async def test_a_hook_that_is_taken_out_is_left_as_it_is() -> None:
    """Put back, it hears what has changed meanwhile."""
    bench = Hooked()
    bench.configure(configured("nrf"))
    await bench.until(lambda: bench.done() and bench.receiver.taken)
    before = bench.hook()
    bench.configure(configured())
    await bench.until(lambda: bench.done(number=2))
    assert bench.hook() == before
    bench.configure(configured("nrf"))
    await bench.until(lambda: len(bench.receiver.taken) == 2)
    assert bench.receiver.taken[1][1].publication >= 2


async def test_a_hook_does_not_hear_of_its_own_failures() -> None:
    """The others do."""
    bench = Hooked()
    bench.configure(configured("oam", "nrf"))
    bench.alarms = (replace(standing("failing", KIND), subject="nrf"),)
    await bench.until(lambda: bench.done() and len(bench.receiver.taken) >= 3)
    assert "alarm" in bench.receiver.heard("oam")
    assert "alarm" not in bench.receiver.heard("nrf")


def test_a_record_that_cannot_be_read_stops_its_hook_alone() -> None:
    """It is in quarantine, as every other subject would be."""
    bench = Hooked()
    bench.cells.quarantined["hook nrf"] = "corrupt"
    bench.configure(configured("nrf", "oam"))
    kind = Hooks(bench.cells, bench.receiver, lambda: ())
    kind.configure(configured("nrf", "oam"))
    assert not list(kind.reconcile(bench.manager.moment))
    assert set(bench.cells.hooks) == {"oam"}


def waiting() -> HookRecord:
    """Return a hook with a failure and two events."""
    event = HookEvent(sequence=7, event="deployed", at=START, queued=START)
    record = HookRecord(
        name="nrf",
        stream="5" * 16,
        queue=(event, replace(event, sequence=8)),
        delivered=6,
        delivered_at=START - HOUR,
        dropped=2,
    )
    job = HookJob(
        id="j",
        phase=Delivering(event=7),
        reason="an event waits",
        created=START,
        failures=3,
        failure=failed(START),
        not_before=START + HOUR,
    )
    return replace(record, job=job)


def test_status_and_metrics_say_what_waits_and_why() -> None:
    """Backlog, failures, and what was given up."""
    view = hook_view(waiting(), EVERYTHING, START)
    assert (view.queued, view.failures, view.at) == (2, 3, START + HOUR)
    _, body = render(msgspec.structs.replace(status(), hooks=(view,)), Counters(), "")
    lines = body.decode().splitlines()
    assert 'nfcertd_hook_queued{hook="nrf"} 2.0' in lines
    assert 'nfcertd_hook_failures{hook="nrf"} 3.0' in lines
    assert 'nfcertd_hook_delivered_total{hook="nrf"} 6.0' in lines
    assert 'nfcertd_hook_dropped_total{hook="nrf"} 2.0' in lines
    shape = msgspec.convert(msgspec.to_builtins(view), HookShape)
    ((name, state, text),) = rows((shape,), START)
    assert (name.text, state.text) == ("hook nrf", "failing")
    assert text.text == (
        "6 delivered, last 60 min ago, 2 waiting for 0 s, 2 given up, "
        "/usr/libexec/nrf ended with status 7: no route, again in 60 min"
    )


@pytest.mark.parametrize(
    ("queue", "word"), [((), "idle"), ((None,), "busy")], ids=["idle", "busy"]
)
def test_a_hook_that_works_is_well(queue: tuple[None, ...], word: str) -> None:
    """It is idle, or has something to do."""
    shape = HookShape(name="nrf", queued=len(queue), delivered=1)
    ((_, state, text),) = rows((shape,), START)
    assert state.text == word
    assert text.text.startswith("1 delivered")


def test_what_becomes_of_events_is_in_the_log() -> None:
    """A delivery, a failure, a loss; each once."""
    before = waiting()
    assert before.job is not None
    taken = replace(before, queue=before.queue[1:], delivered=7)
    lost = replace(before, queue=before.queue[1:], dropped=3)
    worse = replace(before, job=replace(before.job, failure=failed(START + HOUR)))
    told = [list(narrate_hook(before, x)) for x in (taken, lost, worse, before)]
    kinds: list[list[str]] = [[e.kind for e in events] for events in told]
    assert kinds == [["hook.delivered"], ["hook.dropped"], ["hook.failed"], []]
    first: Event = told[0][0]
    assert first.fields == {"hook_event": f"{'5' * 16}-7"}


def test_the_alarms_of_a_hook_name_what_to_do() -> None:
    """Its program fails; events are lost."""
    found = hooks.hook_alarms(replace(waiting(), lost=2, lost_at=START))
    assert {slug: alarm.severity for slug, alarm in found.items()} == {
        "failing": Severity.WARNING,
        "events-lost": Severity.MAJOR,
    }
    assert all(alarm.action for alarm in found.values())


DOCS = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()


def test_every_member_of_an_event_is_documented() -> None:
    """The table and what a program reads are the same."""
    said = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"(?m)^\|.*$", DOCS))))
    members = {field.name for field in msgspec.structs.fields(HookEvent)} - {"queued"}
    assert members | {"version", "id", "hook", "attempt"} <= said


def test_the_examples_of_the_documentation_are_good() -> None:
    """The tables are what the configuration knows, and the program is one."""
    (toml,) = re.findall(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    for table in tomllib.loads(toml)["hook"].values():
        assert not list(hook_problems("hook", msgspec.convert(table, Hook)))
    (script,) = re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)
    subprocess.run(["/bin/sh", "-n", "-c", script], check=True)
