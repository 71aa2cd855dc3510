"""The configuration is the main file and what lies in `conf.d`, in a fixed order."""

from pathlib import Path

import pytest

from agent.files import FileError
from agent.loading import MAX_FILES, read_sources


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """The main file is first; hidden files and other suffixes are not read."""
    main = tmp_path / "nfcertd.toml"
    main.write_text("main")
    parts = tmp_path / "conf.d"
    parts.mkdir()
    for name in ("20-b.toml", "10-a.toml", ".hidden.toml", "10-a.toml~", "x.bak"):
        (parts / name).write_text(name)
    found = [(Path(name).name, data) for name, data in read_sources(main)]
    assert found == [
        ("nfcertd.toml", b"main"),
        ("10-a.toml", b"10-a.toml"),
        ("20-b.toml", b"20-b.toml"),
    ]


def test_without_a_directory_there_is_the_main_file(tmp_path: Path) -> None:
    """`conf.d` need not exist."""
    (tmp_path / "nfcertd.toml").write_text("")
    assert len(read_sources(tmp_path / "nfcertd.toml")) == 1


def test_a_missing_main_file_is_named(tmp_path: Path) -> None:
    """The error has the path."""
    with pytest.raises(FileError, match=r"none\.toml: no such file"):
        read_sources(tmp_path / "none.toml")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    """None is skipped silently."""
    (tmp_path / "nfcertd.toml").write_text("")
    parts = tmp_path / "conf.d"
    parts.mkdir()
    for number in range(MAX_FILES + 1):
        (parts / f"{number}.toml").touch()
    with pytest.raises(FileError, match="more than 256"):
        read_sources(tmp_path / "nfcertd.toml")
