"""The control sockets let in whom they should and answer whatever they are sent."""

import asyncio
import grp
import json
import logging
import os
import stat
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.control import server as server_module
from agent.control.client import ask
from agent.control.server import Groups, Server
from agent.control.verbs import (
    MAX_REQUEST,
    RESERVED,
    VERBS,
    BindError,
    MalformedError,
    Peer,
    RefusedError,
    Request,
    UnreachableError,
    VerbClass,
)
from agent.errors import AgentError
from agent.journal import log_event

OWN_GROUP = grp.getgrgid(os.getegid()).gr_name
SHORT = timedelta(seconds=5)


class AbsentError(AgentError):
    """What a handler may run into."""

    kind = "token.absent"


class Recorder:
    """A handler that remembers what it was asked."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.asked: list[tuple[Request, Peer]] = []
        self.never = asyncio.Event()

    async def handle(self, request: Request, peer: Peer) -> dict[str, object]:
        """Answer with the verb; fail or hang where the name asks for it."""
        self.asked.append((request, peer))
        name = request.arguments.get("name")
        if name == "broken":
            raise AbsentError("token hsm is absent", hint="plug it in")
        if name == "hung":
            await self.never.wait()
        return {"did": request.verb, "echo": name}


@pytest.fixture
def handler() -> Recorder:
    """Return a handler to look into."""
    return Recorder()


@asynccontextmanager
async def serving(
    directory: Path,
    handler: Recorder,
    *,
    destroy_uids: Collection[int] = (),
    groups: Groups | None = None,
) -> AsyncIterator[None]:
    """Run a server until left."""
    server = Server(
        directory,
        handler,
        SystemClock(),
        log_event,
        destroy_uids,
        groups or Groups(OWN_GROUP, OWN_GROUP),
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(ready.set))
        await asyncio.wait_for(ready.wait(), 5)
        yield
        running.cancel()


@pytest.fixture
async def directory(tmp_path: Path, handler: Recorder) -> AsyncIterator[Path]:
    """Serve in a directory of its own."""
    async with serving(tmp_path, handler):
        yield tmp_path


async def send(path: Path, line: bytes) -> dict[str, dict[str, object]]:
    """Send octets as they are and return the answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    with suppress(ConnectionError):
        await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    found = json.loads(answer)
    assert isinstance(found, dict)
    return found


def expected(name: str, verb: str) -> str:
    """Return the kind of the refusal of a verb on a socket, empty for none."""
    if name == "status.sock" and VERBS[verb] is not VerbClass.READ:
        return "control.denied"
    if VERBS[verb] is VerbClass.DESTROY and os.getuid() != 0:
        return "control.denied"
    return "control.unknown-verb" if verb in RESERVED else ""


async def test_a_verb_reaches_the_handler_with_its_peer(
    directory: Path, handler: Recorder
) -> None:
    """The kernel says who asked; the answer comes back as it was given."""
    answer = await ask(directory / "status.sock", "plan", {"name": "amf1"}, SHORT)
    assert answer == {"did": "plan", "echo": "amf1"}
    [(request, peer)] = handler.asked
    assert request == Request(
        verb="plan", verb_class=VerbClass.READ, arguments={"name": "amf1"}
    )
    assert peer == Peer(uid=os.getuid(), pid=os.getpid())


@pytest.mark.parametrize(
    ("name", "verb", "refused"),
    [
        (name, verb, expected(name, verb))
        for name in ("status.sock", "control.sock")
        for verb in VERBS
    ],
)
async def test_each_socket_takes_its_classes(
    directory: Path, name: str, verb: str, refused: str
) -> None:
    """Only reading on status.sock; what is reserved exists nowhere yet."""
    answer = await send(directory / name, json.dumps({"verb": verb}).encode() + b"\n")
    assert answer.get("error", {}).get("kind", "") == refused


@pytest.mark.skipif(
    os.getuid() != 0, reason="changes the user of a process: needs root"
)
@pytest.mark.parametrize(
    ("uids", "kind"),
    [
        ((), "control.denied"),
        ((1234,), "control.denied"),
        ((4321,), "control.unknown-verb"),
        ((4321, 65534), "control.unknown-verb"),
    ],
)
async def test_destroying_is_for_root_and_for_who_is_listed(
    tmp_path: Path, handler: Recorder, uids: tuple[int, ...], kind: str
) -> None:
    """Uid 4321 asks to destroy keys: refused unless listed, and then not there yet."""
    async with serving(tmp_path, handler, destroy_uids=uids):
        assert await kind_for_uid(4321, tmp_path) == kind
        assert await kind_for_uid(0, tmp_path) == "control.unknown-verb"


@pytest.mark.skipif(
    os.getuid() != 0, reason="changes the user of a process: needs root"
)
async def test_a_user_that_has_no_name_here_cannot_be_listed(
    tmp_path: Path, handler: Recorder
) -> None:
    """In a user namespace every foreign user shows as 65534."""
    async with serving(tmp_path, handler, destroy_uids=(65534,)):
        assert await kind_for_uid(65534, tmp_path) == "control.denied"


async def kind_for_uid(uid: int, directory: Path) -> str:
    """Ask to destroy keys as another user and return the kind of the refusal."""
    # Relative to the directory, because those above it are closed to others.
    program = (
        "import os, socket, sys\n"
        "os.chdir(sys.argv[1])\n"
        "os.setgroups([])\n"
        "os.setuid(int(sys.argv[2]))\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "sock.connect('control.sock')\n"
        'sock.sendall(b\'{"verb":"keys-destroy"}\\n\')\n'
        "print(sock.recv(65536).decode())\n"
    )
    directory.chmod(0o711)
    (directory / "control.sock").chmod(0o666)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-ISc",
        program,
        str(directory),
        str(uid),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert out, err
    return str(json.loads(out)["error"]["kind"])


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"verb": 1}\n',
        b'{"verb": "status", "typo": 1}\n',
        b'{"verb": "status", "arguments": {"a": {"deep": 1}}}\n',
        b'{"verb": "status", "arguments": []}\n',
        b'{"verb": "\xff"}\n',
        b"[" * 60_000 + b"\n",
        b"x" * (MAX_REQUEST * 3) + b"\n",
    ],
    ids=range(11),
)
async def test_what_is_no_request_is_answered_as_malformed(
    directory: Path, handler: Recorder, line: bytes
) -> None:
    """Octets that a client invents never reach the handler and never end the server."""
    answer = await send(directory / "status.sock", line)
    assert answer["error"]["kind"] == "control.malformed"
    assert handler.asked == []
    assert await ask(directory / "status.sock", "status", {}, SHORT)


async def test_a_verb_that_does_not_exist_is_refused(directory: Path) -> None:
    """The client gets the kind and the words."""
    with pytest.raises(RefusedError) as caught:
        await ask(directory / "control.sock", "explode", {}, SHORT)
    assert caught.value.remote_kind == "control.unknown-verb"


async def test_an_error_of_the_handler_reaches_the_client(directory: Path) -> None:
    """Kind, message and hint come over; the server goes on."""
    with pytest.raises(RefusedError, match="token hsm is absent") as caught:
        await ask(directory / "status.sock", "keys", {"name": "broken"}, SHORT)
    assert caught.value.remote_kind == "token.absent"
    assert caught.value.hint == "plug it in"


async def test_a_client_that_leaves_costs_nothing(
    directory: Path, handler: Recorder
) -> None:
    """Half a request and a closed connection end that client only."""
    for _ in range(server_module.MAX_CLIENTS * 2):
        _, writer = await asyncio.open_unix_connection(str(directory / "status.sock"))
        writer.write(b'{"verb"')
        writer.close()
    assert await ask(directory / "status.sock", "status", {}, SHORT)
    assert len(handler.asked) == 1


async def test_too_many_clients_wait_for_their_turn(
    directory: Path, handler: Recorder
) -> None:
    """With every place taken by a hung answer the other socket still works."""
    line = b'{"verb": "status", "arguments": {"name": "hung"}}\n'
    writers = []
    for _ in range(server_module.MAX_CLIENTS):
        _, writer = await asyncio.open_unix_connection(str(directory / "status.sock"))
        writer.write(line)
        writers.append(writer)
    while len(handler.asked) < server_module.MAX_CLIENTS:
        await asyncio.sleep(0.01)
    with pytest.raises(UnreachableError, match="no answer"):
        await ask(directory / "status.sock", "status", {}, timedelta(milliseconds=200))
    assert await ask(directory / "control.sock", "status", {}, SHORT)
    handler.never.set()
    assert await ask(directory / "status.sock", "status", {}, SHORT)
    for writer in writers:
        writer.close()


async def test_what_changes_something_is_logged_with_its_user(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Uid and pid stand in the log before the verb is done; reading is not logged."""
    caplog.set_level(logging.INFO)
    await ask(directory / "control.sock", "status", {}, SHORT)
    await ask(directory / "control.sock", "renew", {"name": "amf1"}, SHORT)
    [line] = [record for record in caplog.records if record.name == "nfcertd"]
    assert line.getMessage() == (
        f"amf1: renew asked for by uid {os.getuid()}, pid {os.getpid()}"
    )
    assert line.__dict__["fields"]["VERB"] == "renew"


async def test_the_sockets_are_for_their_group(directory: Path) -> None:
    """Mode 0660 and the group; nothing else is left in the directory."""
    found = {path.name: path.stat() for path in directory.iterdir()}
    assert found.keys() == {"status.sock", "control.sock"}
    for status in found.values():
        assert stat.S_IMODE(status.st_mode) == 0o660
        assert status.st_gid == os.getegid()


async def test_without_the_group_the_sockets_are_the_owners(
    tmp_path: Path, handler: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Mode 0600 and a line in the log."""
    async with serving(
        tmp_path, handler, groups=Groups("no-such-group", "no-such-group")
    ):
        for path in tmp_path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "no group no-such-group" in caplog.text


async def test_a_socket_that_a_crash_left_is_replaced(
    tmp_path: Path, handler: Recorder
) -> None:
    """A new daemon takes the name over; leaving removes it."""
    for _ in range(2):
        (tmp_path / "status.sock").touch()
        (tmp_path / ".status.sock.new").touch()
        async with serving(tmp_path, handler):
            assert await ask(tmp_path / "status.sock", "version", {}, SHORT)
        assert list(tmp_path.iterdir()) == []


async def test_a_missing_directory_says_so(tmp_path: Path, handler: Recorder) -> None:
    """The error names the socket."""
    server = Server(tmp_path / "none", handler, SystemClock(), log_event)
    with pytest.raises(BindError, match=r"none/status\.sock: no such file"):
        await server.run(lambda: None)


async def test_no_daemon_is_told_from_a_refusal(tmp_path: Path) -> None:
    """The hint says how to look for it."""
    with pytest.raises(UnreachableError, match="no such file") as caught:
        await ask(tmp_path / "status.sock", "status", {}, SHORT)
    assert "systemctl status" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UnreachableError),
        (b'{"result"', UnreachableError),
        (b"nonsense\n", MalformedError),
        (b'{"result": 1}\n', MalformedError),
        (b'{"error": {}}\n', RefusedError),
    ],
)
async def test_the_client_survives_an_odd_daemon(
    tmp_path: Path, answer: bytes, error: type[AgentError]
) -> None:
    """Whatever comes back becomes an error of ours."""

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    path = tmp_path / "odd.sock"
    server = await asyncio.start_unix_server(odd, path)
    with pytest.raises(error):
        await ask(path, "status", {}, SHORT)
    server.close()


async def test_a_request_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    """The bound holds on both sides."""
    with pytest.raises(MalformedError, match="too long"):
        await ask(tmp_path / "x", "renew", {"name": "x" * MAX_REQUEST}, SHORT)
