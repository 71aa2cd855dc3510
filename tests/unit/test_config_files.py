"""Several files make one configuration, or are refused with the file's name."""

import pytest

from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.config.parse import MAX_DEPTH, Source, parse


def together(*files: bytes) -> Config:
    """Return what files make together, called `0.toml`, `1.toml` and so on."""
    return parse([Source(f"{n}.toml", data) for n, data in enumerate(files)])


def refusal(*files: bytes) -> str:
    """Return why files are refused."""
    with pytest.raises(ConfigError) as caught:
        together(*files)
    return str(caught.value)


def test_nothing_is_a_configuration() -> None:
    """An empty file has every default."""
    assert together(b"") == Config()
    assert parse([]) == Config()


def test_tables_of_files_are_added() -> None:
    """A later file adds tables, and settings to a table."""
    config = together(
        b'[ca.a]\ndirectory = "https://a"\nroots = "system"\n[agent]\nstate = "/s"',
        b'[ca.b]\ndirectory = "https://b"\nroots = "system"\n[agent]\nruntime = "/r"',
    )
    assert list(config.ca) == ["a", "b"]
    assert (config.agent.state, config.agent.runtime) == ("/s", "/r")


@pytest.mark.parametrize(
    ("second", "where"),
    [
        (b'[agent]\nstate = "/s"', "agent.state"),
        (b"agent = 5", "agent"),
        (b'[ca.a]\nroots = "system"', "ca.a.roots"),
        (b"[[certificate.x.endpoint]]", "certificate.x.endpoint"),
    ],
)
def test_the_same_key_twice_is_refused(second: bytes, where: str) -> None:
    """Nothing is resolved by the order of files, not even an equal value."""
    first = (
        b'[agent]\nstate = "/s"\n[ca.a]\nroots = "system"\n[[certificate.x.endpoint]]'
    )
    assert (
        refusal(first, second) == f"1.toml: {where} is already set by an earlier file"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"a = ",
        b"a = 1\na = 2",
        b"\xff",
        b"[a\n",
        b'pin = "1234',
        b"[token.hsm]\npin = hunter2",
    ],
)
def test_what_is_not_toml_is_refused_by_place(data: bytes) -> None:
    """The file is named, the line is, and its text is not."""
    said = refusal(b"", data)
    assert said.startswith("1.toml: not toml: ")
    assert "1234" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "data",
    [
        b"a = " + b"[" * 5000 + b"]" * 5000,
        b".".join([b"a"] * 3000) + b" = 1",
        b".".join([b"a"] * (MAX_DEPTH + 1)) + b" = 1",
    ],
)
def test_a_tree_that_is_too_deep_is_refused(data: bytes) -> None:
    """Neither the parser's recursion nor ours runs out."""
    assert refusal(data, data) == "0.toml: nested too deeply"
