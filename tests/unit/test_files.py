"""Files are read within bounds and written as a whole."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.files import (
    FileError,
    describe,
    lock_directory,
    read_bounded,
    read_secret,
    write_atomic,
    write_durable,
)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    """One octet more is refused, and nothing is cut off silently."""
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(FileError, match="larger than 4 octets"):
        read_bounded(path, 4)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("none", "no such file"), (".", "is a directory"), ("x" * 300, "too long")],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, complaint: str
) -> None:
    """Path once, and what the kernel says."""
    with pytest.raises(FileError, match=complaint) as caught:
        read_bounded(tmp_path / name)
    assert str(caught.value).count(str(tmp_path)) == 1


def test_an_endless_file_is_refused() -> None:
    """A device is read no further than the bound."""
    with pytest.raises(FileError, match="larger than 9 octets"):
        read_bounded(Path("/dev/zero"), 9)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """By another one, which takes its name: whoever has it open reads the old one."""
    path = tmp_path / "x"
    write_atomic(path, b"old")
    with path.open("rb") as reader:
        write_atomic(path, b"new and longer", 0o640)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"
    assert oct(stat.S_IMODE(path.stat().st_mode)) == "0o640"
    assert os.listdir(tmp_path) == ["x"]  # noqa: PTH208 -- names, not paths


def test_the_umask_does_not_decide_the_mode(tmp_path: Path) -> None:
    """It is what was asked for, in both directions."""
    before = os.umask(0o777)
    try:
        write_atomic(tmp_path / "open", b"", 0o644)
        write_atomic(tmp_path / "closed", b"")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes == {"open": 0o644, "closed": 0o600}


def test_a_temporary_file_of_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    """Nor is a link that somebody put in its place followed."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / ".x.tmp").symlink_to(victim)
    write_atomic(tmp_path / "x", b"data")
    assert victim.read_text() == "untouched"
    assert not (tmp_path / "x").is_symlink()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Whatever step failed."""
    path = tmp_path / "x"
    write_atomic(path, b"old")
    (tmp_path / ".x.tmp").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*x: "):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The kernel refuses the octets of the new one."""
    path = tmp_path / "x"
    write_atomic(path, b"old")
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from agent.files import FileError, write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    write_atomic(Path(sys.argv[1]), bytes(1000))\n"
        "except FileError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "file too large" in done.stdout
    assert path.read_bytes() == b"old"


def test_a_directory_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    """The caller knows what the file is, and words it."""
    with pytest.raises(FileNotFoundError):
        write_durable(tmp_path / "none" / "x", b"", 0o600)


def test_a_directory_is_locked_by_one(tmp_path: Path) -> None:
    """Until the descriptor is closed, which the kernel does for a dead process."""
    held = lock_directory(tmp_path)
    with pytest.raises(BlockingIOError):
        lock_directory(tmp_path)
    assert not os.get_inheritable(held)
    os.close(held)
    os.close(lock_directory(tmp_path))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError(), "oserror"),
        (PermissionError(13, "Permission denied", "/secret"), "permission denied"),
    ],
)
def test_an_error_of_the_kernel_is_worded_without_its_path(
    error: OSError, words: str
) -> None:
    """The caller has named it already."""
    assert describe(error) == words


@pytest.mark.parametrize("content", [b"1234", b"1234\n", b"1234\r\n"])
@pytest.mark.parametrize("scheme", ["file", "credential"])
def test_a_secret_has_no_line_end(tmp_path: Path, scheme: str, content: bytes) -> None:
    """Editors write one, and no PIN has one."""
    (tmp_path / "pin").write_bytes(content)
    place = f"file:{tmp_path}/pin" if scheme == "file" else "credential:pin"
    assert read_secret(place, tmp_path) == b"1234"


def test_a_space_belongs_to_a_secret(tmp_path: Path) -> None:
    """Only line ends are taken away."""
    (tmp_path / "pin").write_bytes(b" 12 34 \n")
    assert read_secret(f"file:{tmp_path}/pin", None) == b" 12 34 "


def test_credentials_need_systemd() -> None:
    """The hint names the way out."""
    with pytest.raises(FileError, match="cannot read credential:pin") as caught:
        read_secret("credential:pin", None)
    assert "LoadCredential=" in caught.value.hint


def test_an_error_about_a_secret_does_not_show_it(tmp_path: Path) -> None:
    """It names the reference only."""
    (tmp_path / "pin").write_bytes(b"s3cr3t" * 200000)
    with pytest.raises(FileError) as caught:
        read_secret(f"file:{tmp_path}/pin", None)
    assert "s3cr3t" not in str(caught.value)
