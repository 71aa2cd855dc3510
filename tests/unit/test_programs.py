"""Programs that are run: who may have written them, what they get, how they end."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from agent.programs import ProgramError, require_trusted, run, succeed

SHELL = "/bin/sh"
LONG = timedelta(seconds=20)


async def test_it_gets_the_documented_variables_and_nothing_else() -> None:
    """Four variables; the rest of the environment stays with us."""
    environment = {"NFCERTD_ACTION": "present", "NFCERTD_VALUE": "VALUE"}
    status, output = await run(("/usr/bin/env",), environment, LONG)
    assert status == 0
    assert sorted(output.decode().split()) == [
        "NFCERTD_ACTION=present",
        "NFCERTD_VALUE=VALUE",
    ]


async def test_much_output_is_read_and_forgotten() -> None:
    """Only its end is kept; the program never blocks on a full pipe."""
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"
    status, output = await run((SHELL, "-c", script), {}, LONG)
    assert (status, len(output)) == (0, 4096)
    assert output.endswith(b"\nend\n")


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
    with pytest.raises(ProgramError, match="no such file"):
        require_trusted(plain)
    plain.write_text("#!/bin/sh\n")
    with pytest.raises(ProgramError, match="not an executable file"):
        require_trusted(plain)
    with pytest.raises(ProgramError, match="not an executable file"):
        require_trusted(tmp_path)
    plain.chmod(0o775)
    with pytest.raises(ProgramError, match="written by others than root") as caught:
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
    with pytest.raises(ProgramError, match=f"{place} can be written"):
        require_trusted(tool)
    (place / "link").symlink_to(SHELL)
    with pytest.raises(ProgramError, match=f"{place} can be written"):
        require_trusted(place / "link")
    place.chmod(0o1777)
    require_trusted(tool)
    os.chown(tool, 65534, 65534)
    with pytest.raises(ProgramError, match=f"{tool} can be written"):
        require_trusted(tool)
    link = tmp_path / "link"
    link.symlink_to(tool)
    with pytest.raises(ProgramError, match=f"{tool} can be written"):
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


async def test_it_reads_its_request_and_the_end_of_it() -> None:
    """Standard input holds the request and nothing after it."""
    status, output = await run(("/bin/cat",), {}, LONG, b'{"version": 1}')
    assert (status, output) == (0, b'{"version": 1}')


async def test_who_does_not_read_its_request_is_not_waited_for() -> None:
    """A program may end without a look at what it was given."""
    await succeed(("/bin/true",), {}, LONG, b"x" * 10_000)


async def test_a_request_that_nothing_could_hold_is_refused() -> None:
    """It is told before anything runs."""
    with pytest.raises(ProgramError, match="cannot run /bin/cat"):
        await run(("/bin/cat",), {}, LONG, b"x" * 10_000_000)


async def test_any_end_but_zero_is_a_failure_with_its_last_line() -> None:
    """The message is one line that says who ended how."""
    argv = (SHELL, "-c", "echo first; echo last; exit 7")
    with pytest.raises(ProgramError, match=r"^/bin/sh ended with status 7: last$"):
        await succeed(argv, {}, LONG)
