"""http-01 answers what was presented, to whom it should, and only while it should."""

import asyncio
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from agent.config.challenges import Listen
from agent.ports import Presentation, Solver
from agent.solvers.errors import (
    BindError,
    PublishError,
    SelfCheckError,
    SolverError,
    TokenSyntaxError,
)
from agent.solvers.http01 import PREFIX, Http01
from tests.fakes.presented import presented

TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
SECRET = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"


def presentation(token: str = TOKEN, secret: str = SECRET) -> Presentation:
    """Return a challenge for one name."""
    return presented("amf1.example", token, secret)


def anywhere() -> Http01:
    """Return a solver that listens on a port of both loopback addresses."""
    return Http01(Listen(listen=("127.0.0.1:0", "[::1]:0")))


@pytest.fixture
def handed_over() -> Iterator[socket.socket]:
    """Hand over a listening socket, as systemd does."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


async def get(
    url: str, method: str = "GET", *, timeout: float = 5
) -> tuple[int, str, bytes]:
    """Return status, content type and body of one plain request."""
    limit = aiohttp.ClientTimeout(total=timeout)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.request(method, url, allow_redirects=False) as answer,
    ):
        return answer.status, answer.content_type, await answer.read()


def base(solver: Http01, index: int = 0) -> str:
    """Return the URL of one of the addresses that are listened on."""
    host, port = solver.where[index]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def test_it_is_a_solver() -> None:
    """The type checker and the reader see which port it satisfies."""
    solver: Solver = anywhere()
    assert isinstance(solver, Http01)


@pytest.mark.parametrize("index", [0, 1])
async def test_the_key_authorization_is_served_on_both_families(index: int) -> None:
    """RFC 8555 section 8.3: the body is exactly the key authorization."""
    solver = anywhere()
    async with solver.prepare(presentation()) as payload:
        assert payload == {}
        answer = await get(base(solver, index) + PREFIX + TOKEN)
    assert answer == (200, "application/octet-stream", SECRET.encode())


async def test_head_shows_the_length_and_no_body() -> None:
    """A HEAD is answered as a GET without its body."""
    solver = anywhere()
    async with solver.prepare(presentation()):
        answer = await get(base(solver) + PREFIX + TOKEN, "HEAD")
    assert answer == (200, "application/octet-stream", b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", PREFIX),
        ("GET", PREFIX + "unknown"),
        ("GET", PREFIX + TOKEN + "/"),
        ("GET", PREFIX + TOKEN + "?x=1"),
        ("GET", "/" + TOKEN),
        ("GET", "//.well-known/acme-challenge/" + TOKEN),
        ("GET", "/.well-known/acme-challenge/%4CoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfow"),
        ("GET", PREFIX + "../acme-challenge/" + TOKEN),
        ("POST", PREFIX + TOKEN),
        ("PUT", PREFIX + TOKEN),
        ("OPTIONS", PREFIX + TOKEN),
    ],
)
async def test_everything_else_is_not_found(method: str, path: str) -> None:
    """Only GET and HEAD of exactly the path of a known token are answered."""
    solver = anywhere()
    async with solver.prepare(presentation()):
        head, body = await raw(solver, f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert body == b""


async def raw(solver: Http01, request: str) -> tuple[bytes, bytes]:
    """Return head and body of the answer to octets that are sent as they are."""
    reader, writer = await asyncio.open_connection(*solver.where[0])
    writer.write(request.encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: a\r\nX: " + "x" * 70_000 + "\r\n\r\n",
        "GET /" + "x" * 70_000 + " HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n" + "X: x\r\n" * 500 + "\r\n",
        "\x16\x03\x01 not http at all\r\n\r\n",
        f"GET {TOKEN} HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["long field", "long line", "many fields", "not http", "no path"],
)
async def test_a_request_beyond_the_limits_is_refused_without_words(
    request_text: str,
) -> None:
    """A malformed or oversized request gets a 4xx with no body and no version."""
    solver = anywhere()
    async with solver.prepare(presentation()):
        head, body = await raw(solver, request_text)
    assert head.startswith(b"HTTP/1.")
    assert head[9:10] == b"4"
    assert b"aiohttp" not in head
    assert body == b""


async def test_nothing_listens_while_nothing_is_presented() -> None:
    """The port is closed again as soon as the last challenge has left."""
    solver = anywhere()
    assert not solver.where
    async with solver.prepare(presentation()):
        host, port = solver.where[0]
    assert not solver.where
    assert solver.presented == frozenset()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), 1).close()


async def test_two_certificates_share_the_listener() -> None:
    """A challenge that leaves does not take the other's listener away."""
    solver = anywhere()
    async with solver.prepare(presentation("other", "other.x")):
        first = solver.where
        async with solver.prepare(presentation()):
            assert solver.where == first
        assert (await get(base(solver) + PREFIX + "other"))[2] == b"other.x"
        assert (await get(base(solver) + PREFIX + TOKEN))[0] == 404
    assert not solver.where


async def test_the_same_challenge_may_be_presented_twice() -> None:
    """A resumed order presents again; the first who leaves removes nothing."""
    solver = anywhere()
    async with solver.prepare(presentation()):
        async with solver.prepare(presentation()):
            pass
        assert (await get(base(solver) + PREFIX + TOKEN))[2] == SECRET.encode()
    assert solver.presented == frozenset()


async def test_sockets_of_systemd_are_accepted_on_only_while_presented(
    handed_over: socket.socket,
) -> None:
    """A socket that was handed over stays open and is silent in between."""
    solver = Http01(Listen(), [handed_over])
    for _ in range(2):
        async with solver.prepare(presentation()):
            assert (await get(base(solver) + PREFIX + TOKEN))[0] == 200
    assert handed_over.fileno() >= 0
    port = handed_over.getsockname()[1]
    with pytest.raises(TimeoutError):
        await get(f"http://127.0.0.1:{port}/", timeout=0.2)


async def test_a_missing_socket_of_systemd_says_what_to_do() -> None:
    """Without the socket unit the default configuration cannot serve."""
    with pytest.raises(BindError, match="handed over no TCP socket") as caught:
        async with Http01(Listen()).prepare(presentation()):
            pass
    assert "socket unit" in caught.value.hint


async def test_a_port_in_use_names_the_address_and_the_way_out(
    handed_over: socket.socket,
) -> None:
    """The first address opens, the second is taken: none stays open."""
    taken = f"127.0.0.1:{handed_over.getsockname()[1]}"
    solver = Http01(Listen(listen=("127.0.0.1:0", taken)))
    with pytest.raises(BindError) as caught:
        async with solver.prepare(presentation()):
            pass
    assert str(caught.value) == (
        f"cannot serve http-01: cannot listen on {taken}: address already in use"
    )
    assert "another process" in caught.value.hint
    assert not solver.where
    assert solver.presented == frozenset()


@pytest.mark.parametrize("entry", ["localhost:80", "80", "::1:80", "127.0.0.1:99999"])
async def test_an_entry_that_is_no_address_is_refused(entry: str) -> None:
    """Names are not resolved, and an IPv6 address needs its brackets."""
    with pytest.raises(BindError, match="not a literal address"):
        async with Http01(Listen(listen=(entry,))).prepare(presentation()):
            pass


@pytest.mark.parametrize("token", ["", "../x", "a/b", "a b", "a\n", "ä", "a" * 201])
async def test_a_token_that_is_not_base64url_is_refused(token: str) -> None:
    """A CA cannot choose a path on our host."""
    with pytest.raises(TokenSyntaxError):
        async with anywhere().prepare(presentation(token)):
            pass


async def test_the_secret_is_in_no_representation() -> None:
    """Neither the presentation nor the solver print the key authorization."""
    solver = anywhere()
    async with solver.prepare(presentation()):
        assert SECRET not in repr(solver) + repr(presentation())


async def test_what_we_do_not_get_ourselves_the_ca_is_not_asked_to_get() -> None:
    """Two key authorizations for one token: who is served the other's is told."""
    solver = anywhere()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(outcome(solver))
        second = group.create_task(outcome(solver, TOKEN + ".another-account"))
    assert (first.result(), second.result()) == (SelfCheckError.kind, "")
    assert solver.presented == frozenset()


async def test_the_self_check_can_be_switched_off() -> None:
    """A host that may not talk to itself presents without looking."""
    solver = Http01(Listen(listen=("127.0.0.1:0",), self_check=False))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(outcome(solver))
        second = group.create_task(outcome(solver, TOKEN + ".another-account"))
    assert (first.result(), second.result()) == ("", "")


async def outcome(solver: Http01, secret: str = SECRET) -> str:
    """Return the kind of the failure to present, or nothing."""
    try:
        async with solver.prepare(presentation(secret=secret)):
            return ""
    except SolverError as error:
        return error.kind


async def test_a_webroot_has_the_file_while_it_is_presented(tmp_path: Path) -> None:
    """Another web server reads it: mode 0644, exact content, gone afterwards."""
    solver = Http01(Listen(webroot=str(tmp_path)))
    async with solver.prepare(presentation()):
        file = tmp_path / TOKEN
        assert file.read_text() == SECRET
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        async with solver.prepare(presentation()):
            pass
        assert file.exists()
        assert not solver.where
    assert list(tmp_path.iterdir()) == []


async def test_a_webroot_that_is_missing_says_so(tmp_path: Path) -> None:
    """The failure names the directory and leaves nothing presented."""
    solver = Http01(Listen(webroot=str(tmp_path / "none")))
    with pytest.raises(PublishError, match="no such file") as caught:
        async with solver.prepare(presentation()):
            pass
    assert "service user" in caught.value.hint
    assert solver.presented == frozenset()


async def test_a_file_that_was_taken_away_is_no_failure(tmp_path: Path) -> None:
    """Leaving succeeds where nothing is presented any more."""
    async with Http01(Listen(webroot=str(tmp_path))).prepare(presentation()):
        (tmp_path / TOKEN).unlink()


async def test_wildcards_of_both_families_check_themselves_on_loopback() -> None:
    """A wildcard is no address to connect to; the self-check knows which is."""
    solver = Http01(Listen(listen=("0.0.0.0:0", "[::]:0")))
    async with solver.prepare(presentation()):
        assert [host for host, _ in solver.where] == ["0.0.0.0", "::"]
