"""The audit trail's files: append only, whole after any crash, bounded, gaps told."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.audit import CURRENT, AuditError, Trail, lines_of, trail_files
from agent.trail.check import Check, Report
from agent.trail.entry import Entry, Fact, read_line
from tests.fakes.clock import FakeClock

FACT = Fact(event="cr", subject="web", text="newOrder asked")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return where the trail is."""
    return tmp_path / "audit"


def opened(home: Path, *, size: int = 1 << 20, keep: int = 5) -> Trail:
    """Return a trail that is ready."""
    trail = Trail(home, FakeClock(), size=size, keep=keep)
    trail.open()
    return trail


def entries(home: Path) -> Iterator[Entry]:
    """Yield every entry of every file."""
    for path in trail_files(home):
        yield from map(read_line, lines_of(path))


def checked(home: Path) -> Report:
    """Return what a check of the files finds."""
    check = Check()
    for path in trail_files(home):
        check.read(path.name, lines_of(path))
    return check.report


def test_entries_follow_each_other_over_restarts(home: Path) -> None:
    """The chain goes on where the last process ended."""
    for _ in range(3):
        trail = opened(home)
        assert trail.append(FACT)
        assert trail.append(FACT, durable=False)
        trail.close()
    assert [entry.seq for entry in entries(home)] == [1, 2, 3, 4, 5, 6]
    assert checked(home).problems == []


def test_nobody_else_can_read_it(home: Path) -> None:
    """It names everybody who did anything."""
    opened(home).append(FACT)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / CURRENT).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_last_line_is_cut_off_and_told(home: Path, cut: int) -> None:
    """A power cut can tear what was not synced; what remains is whole."""
    trail = opened(home)
    trail.append(FACT)
    trail.append(FACT)
    trail.close()
    path = home / CURRENT
    os.truncate(path, path.stat().st_size - cut)
    again = opened(home)
    assert again.append(FACT)
    assert [entry.event for entry in entries(home)] == ["cr", "repaired", "cr"]
    assert checked(home).problems == []


def test_a_trail_that_is_only_a_torn_line_begins_again(home: Path) -> None:
    """And says so."""
    home.mkdir()
    (home / CURRENT).write_bytes(b'{"seq": 1, "at')
    opened(home)
    assert [(entry.seq, entry.event) for entry in entries(home)] == [(1, "repaired")]
    assert checked(home).problems == []


def test_a_long_torn_tail_of_somebody_else_is_cut_off_whole(home: Path) -> None:
    """Longer than a line of ours can be."""
    trail = opened(home)
    trail.append(FACT)
    trail.close()
    with (home / CURRENT).open("ab") as file:
        file.write(b"x" * 200_000)
    opened(home)
    found = list(entries(home))
    assert [entry.event for entry in found] == ["cr", "repaired"]
    assert found[1].data["octets"] == "200000"
    assert checked(home).problems == []


def test_full_files_are_closed_and_old_ones_go(home: Path) -> None:
    """The chain goes on from file to file; what is kept is bounded."""
    trail = opened(home, size=500, keep=2)
    for _ in range(20):
        trail.append(FACT)
    files = trail_files(home)
    assert len(files) <= 3
    assert all(path.stat().st_size < 1000 for path in files)
    report = checked(home)
    assert report.problems == []
    assert report.first > 1
    assert report.last == 20


def test_a_restart_right_after_a_file_was_closed_goes_on_with_the_chain(
    home: Path,
) -> None:
    """There is no growing file then."""
    trail = opened(home, size=1)
    trail.append(FACT)
    trail.close()
    assert not (home / CURRENT).exists()
    opened(home, size=1).append(FACT)
    assert [entry.seq for entry in entries(home)] == [1, 2]
    assert checked(home).problems == []


def test_what_a_full_disk_lost_is_counted_and_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next entry that can be written says how many; the chain is whole."""
    trail = opened(home)
    trail.append(FACT)
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if data.startswith(b'{"seq"'):
            real(descriptor, data[:10])
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    assert not trail.append(FACT)
    assert not trail.append(FACT)
    assert trail.broken_since is not None
    assert "no space left" in trail.failure
    assert not trail.mend()
    monkeypatch.undo()
    assert trail.append(FACT)
    assert trail.broken_since is None
    assert trail.failure == ""
    found = list(entries(home))
    assert [entry.event for entry in found] == ["cr", "gap", "cr"]
    assert found[1].data["lost"] == "2"
    assert checked(home).problems == []


def test_a_directory_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    """The daemon does not start unaudited without a word."""
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(AuditError, match="cannot use"):
        Trail(tmp_path / "audit", FakeClock(), size=1 << 20, keep=1).open()
