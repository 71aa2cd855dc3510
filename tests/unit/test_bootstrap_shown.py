"""Bundles as people and programs see them: status, check, metrics, alarms, answers."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from agent.cli import render
from agent.cli.dispatch import main
from agent.cli.shapes import StatusShape, read
from agent.cli.text import Screen
from agent.clock import SystemClock
from agent.control.server import Groups, Server
from agent.control.verbs import VERBS, Peer, Request, VerbClass
from agent.counters import Counters
from agent.events import Event
from agent.gauges import bootstrap as gauges
from agent.metrics import render as scrape
from agent.reloading import Answer
from agent.shapes import BootstrapView, State, StatusView
from agent.trail.vocabulary import Word, word_of_event
from agent.vitals import bootstrap_view
from tests.fakes.firstboot import FirstBoot
from tests.fakes.patient import Patient
from tests.fakes.views import deployed, status
from tests.oam.bundle import key_id
from tests.vectors.bootstrap import (
    MAC,
    NOW,
    SIGNER,
    changed,
    host,
    private_pem,
    public_pem,
    signed,
    tables,
)

ROOT = Path(__file__).parents[2]
LATER = (NOW + timedelta(days=1)).isoformat()


@pytest.fixture
def boot(tmp_path: Path) -> FirstBoot:
    """Return a host that waits for its first bundle."""
    return FirstBoot(tmp_path / "host")


def test_what_waits_is_shown_and_is_not_ready(boot: FirstBoot) -> None:
    """The state says it, the plan says for what, and nobody takes the host for well."""
    patient = Patient(table=boot.loaded.config)
    patient.loading.loaded = boot.loaded
    view = patient.vitals.status()
    [one] = view.certificates
    assert (one.state, one.plan.at) == (State.WAITING, None)
    assert one.plan.next == "wait for the bootstrap bundle, there is no ca.operator yet"
    assert view.bootstrap == BootstrapView(waiting={"amf1": "ca.operator"})
    assert patient.reasons == ("certificate amf1 is waiting",)
    assert not render.is_well(shape(view))
    assert "none was handed over yet" in _lines(shape(view))


def test_the_bundle_in_force_is_shown(boot: FirstBoot) -> None:
    """Its number, its dates, who signed it, and what it brings; never a secret."""
    boot.take(signed())
    view = bootstrap_view(boot.loaded)
    assert view is not None
    assert (view.sequence, view.issued, view.taken) == (3, NOW, NOW)
    assert view.signer == key_id(SIGNER.public_key())
    assert "account.operator" in view.tables
    assert view.waiting == {}
    shown = replace(status(deployed()), bootstrap=view)
    assert "bundle 3 of 2026-03-01" in _lines(shape(shown))
    assert MAC.decode() not in repr(shown)


def test_nothing_is_shown_where_no_bundle_is_meant_to_be() -> None:
    """Most hosts have none."""
    patient = Patient()
    assert patient.vitals.status().bootstrap is None
    assert "bootstrap" not in _lines(shape(status(deployed())))
    assert [family.samples for family in gauges(None)] == [[], []]


def test_a_bundle_that_was_lost_is_an_alarm(boot: FirstBoot) -> None:
    """It stands until the reason is gone."""
    boot.take(signed())
    (boot.state / "records" / "bootstrap" / "bootstrap.json").write_text("{")
    boot.starts()
    patient = Patient(table=boot.loaded.config)
    patient.loading.loaded = boot.loaded
    [alarm] = patient.vitals.status().alarms
    assert (alarm.id, alarm.severity) == ("bootstrap", "critical")
    assert "corrupt" in alarm.cause
    assert "corrupt" in _lines(shape(patient.vitals.status()))


@pytest.mark.parametrize(
    ("view", "lines"),
    [
        (BootstrapView(sequence=3), [b"sequence 3.0", b"certificates 0.0"]),
        (BootstrapView(waiting={"a": "x"}), [b"sequence 0.0", b"certificates 1.0"]),
    ],
)
def test_metrics_say_what_is_in_force_and_what_waits(
    view: BootstrapView, lines: list[bytes]
) -> None:
    """Two gauges, without a label."""
    _, body = scrape(replace(status(deployed()), bootstrap=view), Counters(), "")
    assert b"\nnfcertd_bootstrap_" + lines[0] + b"\n" in body
    assert b"\nnfcertd_bootstrap_waiting_" + lines[1] + b"\n" in body


def test_check_says_what_waits(
    boot: FirstBoot, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first bundle, and no longer after it."""
    assert main(["check", "--config", str(boot.path)]) == 0
    shown = capsys.readouterr()
    assert "certificate.amf1: waits for the bootstrap bundle" in shown.err
    assert "no ca.operator yet" in shown.err
    assert "is valid: 1 certificate\n" in shown.out
    boot.take(signed())
    assert main(["check", "--config", str(boot.path)]) == 0
    assert "waits" not in capsys.readouterr().err


def test_what_happens_to_bundles_is_audited(boot: FirstBoot) -> None:
    """Both ends have a word of their own, with number, content and signer."""
    boot.take(signed())
    with pytest.raises(Exception, match="older"):
        boot.take(changed(number=1))
    taken, refused = boot.events
    assert word_of_event(taken.kind) is word_of_event(refused.kind) is Word.BOOTSTRAP
    assert taken.fields["SEQUENCE"] == "3"
    assert taken.fields["SIGNER"] == key_id(SIGNER.public_key())
    assert refused.fields["KIND"] == "bootstrap.rollback"


def test_only_root_may_hand_a_bundle_over() -> None:
    """It says whom the host trusts: an operator of certificates is not enough."""
    assert VERBS["bootstrap"] is VerbClass.DESTROY


class Daemon:
    """Answers as the daemon does."""

    def __init__(self, boot: FirstBoot) -> None:
        """Take bundles."""
        self._boot = boot

    async def handle(self, request: Request, peer: Peer) -> Answer:
        """Take one."""
        del peer
        given = request.arguments
        text, check = str(given["bundle"]), given["check"] is True
        return self._boot.reloader.bootstrap(text, check=check)


@pytest.fixture
async def runtime(tmp_path: Path, boot: FirstBoot) -> AsyncIterator[Path]:
    """Serve the control sockets of a daemon that takes bundles."""
    told: list[Event] = []
    server = Server(
        tmp_path,
        Daemon(boot),
        SystemClock(),
        told.append,
        range(1 << 16),
        Groups("none", "none"),
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(ready.set))
        await ready.wait()
        yield tmp_path
        running.cancel()
    # Who handed it over is audited; what was in it is in the other event.
    assert all(event.kind == "operator.bootstrap" for event in told)
    assert all(".eyJ" not in repr(event) for event in told)


async def call(*words: str | Path) -> int:
    """Run the command line in a thread, as it has an event loop of its own."""
    return await asyncio.to_thread(main, [str(word) for word in words])


async def test_the_command_hands_a_file_over(
    runtime: Path,
    boot: FirstBoot,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """First only checked, then taken; then there is nothing to do."""
    file = tmp_path / "bundle.jws"
    file.write_text(signed() + "\n")
    at = ("--runtime", runtime)
    assert await call("bootstrap", file, "--check", *at) == 0
    shown = capsys.readouterr().out
    assert "bundle 3 of 2026-03-01 12:00Z is good, and was not taken" in shown
    assert "  adds account.operator, ca.operator, nf.amf1" in shown
    assert boot.loaded.bundle is None
    assert await call("bootstrap", file, *at) == 0
    shown = capsys.readouterr().out
    assert "is in force now" in shown
    assert "  ends the waiting of amf1" in shown
    assert MAC.decode() not in shown
    assert await call("bootstrap", file, *at) == 0
    assert "is in force already" in capsys.readouterr().out
    assert await call("bootstrap", file, "--json", *at) == 0
    assert '"done": "nothing"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("octets", "code", "words"),
    [
        (changed(lambda t: t.update(instance="x")).encode(), 4, "this host is nf-host"),
        (b"x" * 60_001, 6, "no bundle of 60000 octets at most"),
        (b"\xff", 6, "no bundle"),
        (b"", 4, "no compact jws"),
        (None, 6, "no such file"),
        (changed(lambda t: t.update(issued=LATER, expires=LATER)).encode(), 1, "come"),
    ],
)
async def test_the_command_says_why_a_file_is_refused(
    runtime: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    octets: bytes | None,
    code: int,
    words: str,
) -> None:
    """Its exit code is that of a refusal, or of a file that is none."""
    file = tmp_path / "bundle.jws"
    if octets is not None:
        file.write_bytes(octets)
    assert await call("bootstrap", file, "--runtime", runtime) == code
    assert words in capsys.readouterr().err


def test_the_tool_for_operators_makes_a_bundle_that_is_taken(
    boot: FirstBoot, tmp_path: Path
) -> None:
    """`python -m tests.oam.bundle`, as its docstring says."""
    made = tables()
    made["account"]["operator"]["eab"]["key"] = {"secret": MAC.decode()}
    (tmp_path / "tables.json").write_text(json.dumps(made))
    (tmp_path / "oam.key").write_bytes(private_pem(SIGNER))
    (tmp_path / "host.pub").write_text(public_pem(host()))
    words = ["--signer", "oam.key", "--host", "host.pub", "tables.json"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.oam.bundle", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert boot.take(done.stdout)["done"] == "taken"
    assert boot.opened("account.operator.eab.key") == MAC


def shape(view: StatusView) -> StatusShape:
    """Return a view as the command line gets it."""
    return read(msgspec.json.decode(msgspec.json.encode(view)), StatusShape)


def _lines(view: StatusShape) -> str:
    return "\n".join(render.status(view, Screen()))
