"""The executable of dns-01: what it is told, how its end is understood."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent.config.challenges import Executable
from agent.solvers.dns01.command import Command
from agent.solvers.dns01.records import Change
from agent.solvers.errors import DnsUpdateError
from tests.unit.test_programs import is_gone

CHANGE = Change("amf1.example", "example", "_acme-challenge.amf1.example", "VALUE")
SHELL = "/bin/sh"


def command(script: str, timeout: str = "20s") -> Command:
    """Return a command that root owns on every host: a shell with our script."""
    return Command(Executable(command=(SHELL, "-c", script), timeout=timeout))


@pytest.mark.parametrize("action", ["present", "cleanup"])
async def test_it_hears_what_to_do_where(action: str) -> None:
    """Domain, record and value are what the contract says."""
    seen = "$NFCERTD_ACTION $NFCERTD_DOMAIN $NFCERTD_RECORD $NFCERTD_VALUE"
    subject = command(f'echo "{seen}"; exit 3')
    work = subject.present if action == "present" else subject.remove
    expected = f"{action} amf1.example _acme-challenge.amf1.example VALUE"
    with pytest.raises(DnsUpdateError, match=f"status 3: {expected}$"):
        await work(CHANGE)


async def test_success_needs_no_output() -> None:
    """Status 0 is all that counts."""
    await command("exit 0").present(CHANGE)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo first; echo '  last  '; exit 1", "with status 1: last$"),
        ("exit 1", "with status 1: no output$"),
        ("kill -TERM $$", "with signal 15: no output$"),
        ("printf 'a\\033[31mb\\n'; exit 1", r"status 1: a \[31mb$"),
        ("echo problem >&2; exit 1", "status 1: problem$"),
    ],
)
async def test_a_failure_shows_the_last_line(script: str, error: str) -> None:
    """Stripped, printable, from either output."""
    with pytest.raises(DnsUpdateError, match=error):
        await command(script).present(CHANGE)


async def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    """The process group ends as a whole."""
    child = tmp_path / "child"
    script = f"sleep 60 & echo $! > {child}; wait"
    started = time.monotonic()
    with pytest.raises(DnsUpdateError, match=r"took longer than 0\.5 s"):
        await command(script, "500ms").present(CHANGE)
    assert time.monotonic() - started < 5
    assert is_gone(int(child.read_text()))


async def test_what_it_leaves_behind_is_killed(tmp_path: Path) -> None:
    """A child that holds the output open neither delays us nor survives."""
    child = tmp_path / "child"
    started = time.monotonic()
    await command(f"sleep 60 & echo $! > {child}").present(CHANGE)
    assert time.monotonic() - started < 5
    assert is_gone(int(child.read_text()))


async def test_a_cancellation_kills_it(tmp_path: Path) -> None:
    """Nothing runs on when the daemon ends."""
    own = tmp_path / "own"
    script = f"echo $$ > {own}.tmp; mv {own}.tmp {own}; sleep 60"
    work = command(script).present(CHANGE)
    task = asyncio.get_running_loop().create_task(work)
    while not own.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert is_gone(int(own.read_text()))
