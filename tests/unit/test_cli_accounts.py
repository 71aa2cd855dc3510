"""How accounts are shown, and what `nfcertd account` asks for."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from agent.cli.dispatch import main
from agent.cli.exits import Exit
from agent.cli.render_accounts import accounts
from agent.cli.shapes import AccountShape, FailureShape, JobShape, StatusShape
from agent.cli.text import Screen
from agent.clock import SystemClock
from agent.control.server import Groups, Server
from agent.control.verbs import Peer, Request
from agent.journal import log_event
from tests.vectors.records import DAY, NOW

ACCOUNT = AccountShape(
    name="operator",
    ca="plmn",
    url="https://ca.example/account/1",
    valid=True,
    state="valid",
    key="63" * 16,
    key_store="hsm",
    key_created=NOW - 30 * DAY,
    contact=("mailto:pki@operator.example",),
    roll_at=NOW + 60 * DAY,
)
FAILING = JobShape(
    slot="roll",
    phase="gate",
    next="the ca refused",
    at=NOW + DAY,
    failure=FailureShape(message="the ca refused", hint="ask its operator"),
)
CLOSED = AccountShape(name="old", ca="plmn", state="the account old is deactivated")


def drawn(*shown: AccountShape) -> list[str]:
    """Return the lines of `nfcertd accounts`."""
    return accounts(StatusShape(now=NOW, accounts=shown), Screen())


def test_an_account_is_shown_with_its_key_and_its_next_roll_over() -> None:
    """URL, key, age, contacts, and when the key is replaced."""
    lines = drawn(ACCOUNT)
    assert lines[0].split("  ")[0] == "ACCOUNT"
    assert lines[1].split() == ["operator", "plmn", "valid", "30", "d", "in", "60", "d"]
    text = "\n".join(lines)
    for part in (ACCOUNT.url, ACCOUNT.key, "hsm", "mailto:pki@operator.example"):
        assert part in text


def test_what_an_account_waits_for_is_shown() -> None:
    """Its state in words, and the failures of its jobs with what to do."""
    text = "\n".join(drawn(CLOSED, AccountShape(name="x", jobs=(FAILING,))))
    assert "the account old is deactivated" in text
    assert "never by itself" in text
    assert "roll (gate): the ca refused in 24 h" in text
    assert "ask its operator" in text
    assert drawn() == ["no account is known"]


class Daemon:
    """Answers as the daemon does.

    Attributes:
        asked: Verbs with their arguments.
        accounts: What it says of accounts.
    """

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.accounts: list[dict[str, object]] = []

    async def handle(self, request: Request, peer: Peer) -> dict[str, object]:
        """Answer a verb."""
        assert peer.uid == os.getuid()
        self.asked.append((request.verb, request.arguments))
        return {"now": NOW.isoformat(), "accounts": self.accounts}


@pytest.fixture
def daemon() -> Daemon:
    """Return a daemon to set up and look into."""
    return Daemon()


@pytest.fixture
async def runtime(tmp_path: Path, daemon: Daemon) -> AsyncIterator[Path]:
    """Serve the control sockets of that daemon, for whoever runs the tests."""
    mine = (os.getuid(),)
    groups = Groups("none", "none")
    server = Server(tmp_path, daemon, SystemClock(), log_event, mine, groups)
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
    ("words", "verb", "arguments"),
    [
        (("roll", "a"), "account-roll", {"name": "a", "cancel": False}),
        (("roll", "a", "--cancel"), "account-roll", {"name": "a", "cancel": True}),
        (
            ("deactivate", "a", "--confirm", "a"),
            "account-deactivate",
            {"name": "a", "confirm": "a"},
        ),
    ],
    ids=["roll", "cancel", "deactivate"],
)
async def test_each_action_is_a_verb(
    runtime: Path,
    daemon: Daemon,
    words: tuple[str, ...],
    verb: str,
    arguments: dict[str, object],
) -> None:
    """What is final needs the name twice, on the command line already."""
    assert await call("account", *words, "--runtime", runtime) == Exit.OK
    assert daemon.asked == [(verb, arguments)]


def test_an_action_that_is_not_confirmed_is_a_wrong_command_line() -> None:
    """Nobody is asked."""
    with pytest.raises(SystemExit) as caught:
        main(["account", "deactivate", "a"])
    assert caught.value.code == Exit.USAGE


@pytest.mark.parametrize(
    ("state", "code"), [("valid", Exit.OK), ("not registered yet", Exit.NOT_WELL)]
)
async def test_the_exit_code_tells_whether_all_can_order(
    runtime: Path,
    daemon: Daemon,
    capsys: pytest.CaptureFixture[str],
    state: str,
    code: Exit,
) -> None:
    """As JSON and as text."""
    daemon.accounts = [{"name": "operator", "valid": True, "state": state}]
    assert await call("accounts", "--runtime", runtime) == code
    assert await call("accounts", "--json", "--runtime", runtime) == code
    assert '"name": "operator"' in capsys.readouterr().out
