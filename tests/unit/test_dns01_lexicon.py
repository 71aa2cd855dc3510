"""dns-lexicon as a provider: a child of its own, what it hears, and what is shown.

The library is a tiny stand-in with its layout; the process that imports it is ours.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from agent.cli.dispatch import main
from agent.config.challenges import Dns, Lexicon
from agent.files import FileError
from agent.solvers.dns01 import lexicon
from agent.solvers.dns01.lexicon import Library, require_installed
from agent.solvers.dns01.records import Change
from agent.solvers.dns01.solver import Dns01
from agent.solvers.errors import DnsUpdateError
from tests.fakes.clock import FakeClock
from tests.unit.test_programs import is_gone

RECORD = "_acme-challenge.amf1.example"
CHANGE = Change("amf1.example", "example", RECORD, "VALUE")
SECRET = "Tr0ub4dor&3/horse+staple"
CONFIG = """\
class ConfigResolver:
    def with_dict(self, tree):
        self.tree = tree
        return self
"""
PROVIDER = """\
import json, os, sys, time
from pathlib import Path

class Provider:
    def __init__(self, config):
        self.tree = config.tree
        self.options = self.tree[self.tree["provider_name"]]
        self.heard = []

    def authenticate(self):
        self.heard.append("authenticate")

    def cleanup(self):
        if "heard" in self.options:
            Path(self.options["heard"]).write_text(json.dumps({
                "calls": self.heard,
                "tree": self.tree,
                "environment": dict(os.environ),
                "arguments": Path("/proc/self/cmdline").read_text(),
                "variables": Path("/proc/self/environ").read_text(),
                "leads": os.getpgrp() == os.getpid(),
            }))

    def create_record(self, *words):
        self.heard.append(["create", *words])
        return self.act()

    def delete_record(self, *words):
        self.heard.append(["delete", *words])
        return self.act()

    def act(self):
        print(self.options)
        print(self.options, file=sys.stderr)
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in of the library on the path; return the home of its providers."""
    providers = tmp_path / "packages" / "lexicon" / "_private" / "providers"
    providers.mkdir(parents=True)
    for place in (providers, providers.parent, providers.parent.parent):
        (place / "__init__.py").touch()
    (tmp_path / "packages" / "lexicon" / "config.py").write_text(CONFIG)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "packages")])
    return providers


def provider(library: Path, act: str, **more: object) -> Library:
    """Return the adapter of a provider whose changes do `act`."""
    (library / "some.py").write_text(f"{PROVIDER}        {act}\n")
    table = Lexicon(
        name="some",
        options={"heard": str(library / "heard"), "user": "u"},
        secrets={"auth_token": "credential:x"},
    )
    fields = {name: getattr(table, name) for name in table.__struct_fields__}
    return Library(Lexicon(**{**fields, **more}), 60, lambda _ref: SECRET.encode())


async def test_a_provider_is_asked_to_add_and_to_remove_one_value(
    library: Path,
) -> None:
    """It gets the zone that we found, the options and the secrets, by its own names."""
    subject = provider(library, "return True")
    await subject.present(CHANGE)
    heard = json.loads((library / "heard").read_text())
    assert heard["calls"] == ["authenticate", ["create", "TXT", RECORD, "VALUE"]]
    assert heard["tree"] == {
        "provider_name": "some",
        "domain": "example",
        "ttl": 60,
        "some": {
            "domain": "example",
            "ttl": 60,
            "heard": str(library / "heard"),
            "user": "u",
            "auth_token": SECRET,
        },
    }
    await subject.remove(CHANGE)
    heard = json.loads((library / "heard").read_text())
    assert heard["calls"][1] == ["delete", None, "TXT", RECORD, "VALUE"]


async def test_secrets_are_in_no_argument_and_no_variable(library: Path) -> None:
    """The child has an empty environment and leads a process group of its own."""
    await provider(library, "return True").present(CHANGE)
    heard = json.loads((library / "heard").read_text())
    assert SECRET not in heard["arguments"]
    assert heard["arguments"].rstrip("\0").endswith("lexicon_child.py")
    assert heard["variables"] == ""
    assert SECRET not in json.dumps(heard["environment"])
    assert heard["leads"]


async def test_what_the_library_imports_stays_out_of_the_daemon(library: Path) -> None:
    """Only the child has it in memory."""
    await provider(library, "return None").present(CHANGE)
    assert not [name for name in sys.modules if name.partition(".")[0] == "lexicon"]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("return False", "create of _acme.* failed: the provider says that it did"),
        ("raise Exception('no such zone\\x1b')", "failed: Exception: no such zone $"),
        ("raise KeyError", "failed: KeyError$"),
        ("raise ValueError('x' * 5000)", r"failed: ValueError: x{188}\.\.\.$"),
        ("import nothing_there", "ModuleNotFoundError: No module named 'nothing_ther"),
        ("sys.exit(3)", "ended with status 3 and no answer"),
        ("os.kill(os.getpid(), 9)", "ended with status -9 and no answer"),
    ],
)
async def test_a_failure_is_told(library: Path, act: str, error: str) -> None:
    """With the provider's own words, bounded and printable."""
    with pytest.raises(DnsUpdateError, match=error):
        await provider(library, act).present(CHANGE)


async def test_a_provider_that_the_library_lacks_is_named(library: Path) -> None:
    """The library's own layout says so."""
    subject = provider(library, "return True", name="other", options={}, secrets={})
    with pytest.raises(DnsUpdateError, match=r"providers\.other"):
        await subject.present(CHANGE)


@pytest.mark.parametrize(
    "act",
    [
        "raise Exception(f'403 for https://x/?k={self.options[\"auth_token\"]}')",
        "raise Exception(self.options['auth_token'][4:12])",
        "raise Exception(self.options['auth_token'].upper())",
        "raise Exception(''.join(f'%{ord(c):x}' for c in self.options['auth_token']))",
    ],
)
async def test_no_part_of_a_secret_is_shown(
    library: Path, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests that failed are in exceptions, and a token in the request."""
    caplog.set_level("DEBUG")
    with pytest.raises(DnsUpdateError, match="not shown, there is a part") as caught:
        await provider(library, act).present(CHANGE)
    told = f"{caught.value}{caught.value!r}{caught.value.__cause__!r}{caplog.text}"
    for at in range(len(SECRET) - 6):
        assert SECRET[at : at + 6].casefold() not in told.casefold()


@pytest.mark.parametrize(
    "line",
    ["rubbish", '{"done": 1}', '{"done": true, "more": 1}', "\xff", '{"done": true'],
)
async def test_rubbish_is_no_answer_and_not_shown(
    library: Path, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the line that we know counts as done."""
    child = tmp_path / "child.py"
    child.write_text(f"import os; os.write(1, {line.encode('latin-1')!r})")
    monkeypatch.setattr(lexicon, "CHILD", child)
    with pytest.raises(DnsUpdateError, match="with status 0 and no answer") as caught:
        await provider(library, "return True").present(CHANGE)
    assert "rubbish" not in str(caught.value)


async def test_a_provider_that_hangs_is_killed(library: Path) -> None:
    """At the time limit, with its whole process group."""
    own = library / "pid"
    act = f"Path('{own}').write_text(str(os.getpid())); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(DnsUpdateError, match=r"took longer than 3 s and was killed"):
        await provider(library, act, timeout="3s").present(CHANGE)
    assert time.monotonic() - started < 30
    if own.exists():
        assert is_gone(int(own.read_text()))


async def test_a_cancellation_kills_it(library: Path) -> None:
    """Nothing runs on when the daemon ends."""
    own = library / "pid"
    act = (
        f"Path('{own}.tmp').write_text(str(os.getpid())); "
        f"os.rename('{own}.tmp', '{own}'); time.sleep(60)"
    )
    work = provider(library, act).present(CHANGE)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        while not own.exists():
            await asyncio.sleep(0.01)
        task.cancel()
    assert is_gone(int(own.read_text()))


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe"])
async def test_a_secret_that_is_no_text_is_named_by_its_reference(
    library: Path, octets: bytes
) -> None:
    """Nothing is run."""
    (library / "some.py").write_text("")
    table = Lexicon(name="some", secrets={"auth_token": "credential:x"})
    with pytest.raises(DnsUpdateError, match="credential:x does not hold a secret"):
        await Library(table, 60, lambda _ref: octets).present(CHANGE)


async def test_a_request_has_a_limit(library: Path) -> None:
    """No pipe is filled up."""
    table = Lexicon(name="some", secrets={"auth_token": "credential:x"})
    subject = Library(table, 60, lambda _ref: b"x" * 70_000)
    assert library.exists()
    with pytest.raises(DnsUpdateError, match="exceed 65536 octets"):
        await subject.present(CHANGE)


def test_pre_flight_wants_the_library_and_the_secrets(library: Path) -> None:
    """Before an order a missing secret is found out."""
    assert library.exists()

    def missing(reference: str) -> bytes:
        raise FileError(f"cannot read {reference}")

    table = Lexicon(name="some", secrets={"auth_token": "credential:x"})
    settings = Dns(provider="lexicon", lexicon=table)
    Dns01(lambda: settings, lambda _ref: b"x", FakeClock()).ready()
    with pytest.raises(FileError, match="credential:x"):
        Dns01(lambda: settings, missing, FakeClock()).ready()


TOML = '[dns-01]\nprovider = "lexicon"\nlexicon.name = "some"\n'


def test_without_the_library_check_and_pre_flight_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, and what to install."""
    own = str(Path(__file__).parents[2])
    monkeypatch.setattr(sys, "path", [own])
    monkeypatch.delitem(sys.modules, "lexicon", raising=False)
    settings = Dns(provider="lexicon", lexicon=Lexicon(name="some"))
    with pytest.raises(DnsUpdateError, match="needs dns-lexicon, which is not") as no:
        Dns01(lambda: settings, lambda _ref: b"x", FakeClock()).ready()
    assert "extra lexicon" in no.value.hint
    path = tmp_path / "nfcertd.toml"
    path.write_text(TOML)
    assert main(["check", "--config", str(path)]) != 0
    assert "needs dns-lexicon" in capsys.readouterr().err


def test_with_the_library_check_is_content(
    library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found, not imported."""
    assert library.exists()
    path = tmp_path / "nfcertd.toml"
    path.write_text(TOML)
    assert main(["check", "--config", str(path)]) == 0
    assert "is valid" in capsys.readouterr().out
    require_installed()
    assert "lexicon" not in sys.modules
