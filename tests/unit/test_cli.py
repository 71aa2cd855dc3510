"""The command line finds its subcommand, asks the daemon, and ends as it says."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from agent.cli.dispatch import COMMANDS, main
from agent.clock import SystemClock
from agent.control.server import Groups, Server
from agent.control.verbs import VERBS, Peer, Request
from agent.errors import AgentError
from agent.journal import log_event
from tests.fakes.views import deployed, missing, status


class NoSuchCertificateError(AgentError):
    """What the daemon answers to a wrong name."""

    kind = "control.refused"


class Daemon:
    """Answers as the daemon does."""

    def __init__(self) -> None:
        """Begin healthy."""
        self.view = status(deployed())
        self.asked: list[tuple[str, Mapping[str, object]]] = []

    async def handle(self, request: Request, peer: Peer) -> dict[str, object]:
        """Answer, or refuse a name that is not ours."""
        assert peer.uid == os.getuid()
        self.asked.append((request.verb, request.arguments))
        if request.arguments.get("name") == "nobody":
            raise NoSuchCertificateError(
                "there is no certificate nobody; known: amf1-sbi", hint="spell it right"
            )
        answers: dict[str, dict[str, object]] = {
            "version": {"version": "9.9"},
            "keys": {"keys": [], "orphans": [], "problems": []},
        }
        return answers.get(request.verb) or dict(msgspec.to_builtins(self.view))


@pytest.fixture
def daemon() -> Daemon:
    """Return a daemon to set up and look into."""
    return Daemon()


@pytest.fixture
async def runtime(tmp_path: Path, daemon: Daemon) -> AsyncIterator[Path]:
    """Serve the control sockets of that daemon."""
    server = Server(
        tmp_path, daemon, SystemClock(), log_event, (), Groups("none", "none")
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(ready.set))
        await ready.wait()
        yield tmp_path
        running.cancel()


async def call(*words: str | Path) -> int:
    """Run `main` in a thread, as it has an event loop of its own."""
    return await asyncio.to_thread(main, [str(word) for word in words])


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("status",), 0, "amf1-sbi     deployed"),
        (("status", "--json"), 0, '"certificates": ['),
        (("plan",), 0, "two thirds of its life"),
        (("keys",), 0, "there is no key"),
        (("version",), 0, "daemon: 9.9"),
        (("renew", "amf1-sbi"), 0, "amf1-sbi: renewal asked for"),
        (("hold", "amf1-sbi"), 0, "amf1-sbi: held"),
        (("release", "amf1-sbi"), 0, "amf1-sbi: released"),
        (("ack", "amf1-sbi"), 0, "amf1-sbi: accepted"),
        (("reload",), 0, "in force"),
    ],
)
async def test_a_subcommand_asks_the_daemon(
    runtime: Path,
    daemon: Daemon,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    shown: str,
) -> None:
    """The verb has the name of the subcommand; the answer is shown."""
    assert await call(*words, "--runtime", runtime) == code
    assert shown in capsys.readouterr().out
    [(verb, arguments)] = daemon.asked
    assert verb == words[0]
    expected = {"name": words[1]} if words[1:] == ("amf1-sbi",) else {}
    assert arguments == expected


async def test_json_is_what_the_daemon_said(
    runtime: Path, daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs get every field."""
    await call("status", "--json", "--runtime", runtime)
    shown = json.loads(capsys.readouterr().out)
    assert shown == msgspec.json.decode(msgspec.json.encode(daemon.view))


async def test_status_ends_with_1_where_something_is_not_well(
    runtime: Path, daemon: Daemon
) -> None:
    """A script can tell without reading."""
    daemon.view = status(missing(), sick=True)
    assert await call("status", "--runtime", runtime) == 1


async def test_a_refusal_is_told_with_its_hint(
    runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4; the daemon's words on standard error."""
    assert await call("renew", "nobody", "--runtime", runtime) == 4
    assert capsys.readouterr().err == (
        "nfcertd: there is no certificate nobody; known: amf1-sbi\n  spell it right\n"
    )


@pytest.mark.parametrize("words", [("status",), ("renew", "x"), ("reload",)])
def test_no_daemon_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """The hint says how to look for it."""
    assert main([*words, "--runtime", str(tmp_path)]) == 3
    assert "systemctl status nfcertd" in capsys.readouterr().err


def test_version_needs_no_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that there is none, and is content."""
    assert main(["version", "--runtime", str(tmp_path)]) == 0
    assert "daemon: cannot ask the daemon" in capsys.readouterr().out


def write(directory: Path, text: str) -> Path:
    """Write a configuration."""
    path = directory / "nfcertd.toml"
    path.write_text(text)
    return path


VALID = """
[ca.operator]
directory = "https://ca.example/directory"
roots = "/etc/nfcertd/root.pem"
[account.operator]
ca = "operator"
key = { file = true }
[certificate.amf1]
names = ["amf1.example"]
ca = "operator"
key = { file = true }
[[certificate.amf1.endpoint]]
reload = { unit = "nginx.service" }
"""


def test_check_accepts_a_valid_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked and nothing is touched."""
    path = write(tmp_path, VALID)
    assert main(["check", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path} is valid: 1 certificate\n"


def test_check_shows_every_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 5 and a line for each."""
    path = write(tmp_path, "[certificate.a]\nnamez = 1\n[tokn.x]\n")
    assert main(["check", "--config", str(path)]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("nfcertd: ") for line in lines)


def test_a_missing_configuration_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path stands in the message."""
    assert main(["check", "--config", str(tmp_path / "none.toml")]) == 5
    assert "none.toml: no such file" in capsys.readouterr().err


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Editors read it."""
    assert main(["schema"]) == 0
    assert "$defs" in json.loads(capsys.readouterr().out)


def test_polkit_prints_the_rule_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One pair of unit and verb for the one endpoint."""
    path = write(tmp_path, VALID)
    assert main(["polkit", "--config", str(path)]) == 0
    assert '["nginx.service", "kill"]' in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["explode"], ["\x1b[2J"], ["--runtime", "x"]])
def test_a_wrong_command_line_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """The subcommands are listed on standard error."""
    assert main(words) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in COMMANDS)
    assert "\x1b" not in error


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"]])
def test_help_is_no_error(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """It goes to standard output."""
    assert main(words) == 0
    assert "usage: nfcertd SUBCOMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_a_file_and_help(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """`nfcertd NAME --help` says what it does."""
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert COMMANDS[name] in " ".join(capsys.readouterr().out.split())


def test_every_verb_that_works_can_be_asked_for() -> None:
    """A verb without a subcommand would be out of reach; `config` is in `status`."""
    works = {verb for verb, kind in VERBS.items() if kind != "destroy"}
    # By `nfcertd trust fetch` and `accept`, and by `nfcertd account roll`.
    spoken = {"trust-fetch", "trust-accept", "account-roll"}
    assert works - COMMANDS.keys() == {"config"} | spoken


def test_asking_loads_nothing_heavy() -> None:
    """The command line starts fast: no HTTP, no cryptography, no token library."""
    program = (
        "import sys\n"
        "from agent.cli.dispatch import main\n"
        "main(['status', '--runtime', '/nonexistent'])\n"
        "heavy = {'aiohttp', 'cryptography', 'josepy', 'pkcs11', 'prometheus_client'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`nfcertd schema | head -1` ends quietly."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m agent schema | head -1"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "TMPDIR": str(tmp_path)},
    )
    assert (done.stdout, done.stderr) == ("{\n", "")
