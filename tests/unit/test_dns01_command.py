"""The executable of dns-01: who may have written it, what it gets, how it ends."""

import asyncio
import os
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.challenges import Executable
from agent.solvers.dns01.command import Command, require_trusted, run
from agent.solvers.dns01.records import Change
from agent.solvers.errors import DnsUpdateError

CHANGE = Change("amf1.example", "example", "_acme-challenge.amf1.example", "VALUE")
SHELL = "/bin/sh"
LONG = timedelta(seconds=20)


def command(script: str, timeout: str = "20s") -> Command:
    """Return a command that root owns on every host: a shell with our script."""
    return Command(Executable(command=(SHELL, "-c", script), timeout=timeout))


async def test_it_gets_the_documented_variables_and_nothing_else() -> None:
    """Four variables; the rest of the environment stays with us."""
    environment = {"NFCERTD_ACTION": "present", "NFCERTD_VALUE": "VALUE"}
    status, output = await run(("/usr/bin/env",), environment, LONG)
    assert status == 0
    assert sorted(output.decode().split()) == [
        "NFCERTD_ACTION=present",
        "NFCERTD_VALUE=VALUE",
    ]


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


async def test_much_output_is_read_and_forgotten() -> None:
    """Only its end is kept; the program never blocks on a full pipe."""
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"
    status, output = await run((SHELL, "-c", script), {}, LONG)
    assert (status, len(output)) == (0, 4096)
    assert output.endswith(b"\nend\n")


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


async def test_it_inherits_no_descriptor_and_leads_a_group() -> None:
    """Beside its three there is what `ls` itself opens; the group is its own."""
    with Path(os.devnull).open() as file:
        os.set_inheritable(file.fileno(), True)
        script = "echo $(ls /proc/self/fd); cut -d ' ' -f 1,5,6 /proc/$$/stat"
        _, output = await run((SHELL, "-c", script), {}, LONG)
    descriptors, ids = output.decode().strip().splitlines()
    assert descriptors.split() == ["0", "1", "2", "3"]
    assert len(set(ids.split())) == 1


def test_an_executable_of_anybody_else_is_not_run(tmp_path: Path) -> None:
    """Missing, not executable, writable by others, or not root's."""
    plain = tmp_path / "plain"
    with pytest.raises(DnsUpdateError, match="no such file"):
        require_trusted(plain)
    plain.write_text("#!/bin/sh\n")
    with pytest.raises(DnsUpdateError, match="not an executable file"):
        require_trusted(plain)
    with pytest.raises(DnsUpdateError, match="not an executable file"):
        require_trusted(tmp_path)
    plain.chmod(0o775)
    with pytest.raises(DnsUpdateError, match="written by others than root") as caught:
        require_trusted(plain)
    assert "chmod go-w" in caught.value.hint
    require_trusted(Path(SHELL))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of two owners")
def test_every_directory_above_counts(tmp_path: Path) -> None:
    """Whoever can rename a directory can replace the executable."""
    place = tmp_path / "place"
    place.mkdir()
    tool = place / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    require_trusted(tool)
    place.chmod(0o777)
    with pytest.raises(DnsUpdateError, match=f"{place} can be written"):
        require_trusted(tool)
    (place / "link").symlink_to(SHELL)
    with pytest.raises(DnsUpdateError, match=f"{place} can be written"):
        require_trusted(place / "link")
    place.chmod(0o1777)
    require_trusted(tool)
    os.chown(tool, 65534, 65534)
    with pytest.raises(DnsUpdateError, match=f"{tool} can be written"):
        require_trusted(tool)
    link = tmp_path / "link"
    link.symlink_to(tool)
    with pytest.raises(DnsUpdateError, match=f"{tool} can be written"):
        require_trusted(link)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, maybe not yet reaped, within a second."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
