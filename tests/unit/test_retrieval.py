"""Fetching by plain http: bounded in every way, and never from inside unasked."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from agent import retrieval
from agent.retrieval import (
    MAX_BODY,
    ForbiddenAddressError,
    RetrievalError,
    Retriever,
)

LOOPBACK = ("127.0.0.0/8", "::1/128")
OK = b"HTTP/1.1 200 OK\r\n"


class Peer:
    """A server that answers the same to everybody.

    Attributes:
        url: Where it is.
        heard: What it was sent.
    """

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self.url = ""
        self.heard: list[bytes] = []


@asynccontextmanager
async def serving(*answer: bytes, hold: bool = False) -> AsyncIterator[Peer]:
    """Answer with these octets, then close, unless the connection is held."""
    peer = Peer()
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.heard.append(await reader.read(1 << 16))
        for part in answer:
            writer.write(part)
        if hold:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peer.url = f"http://127.0.0.1:{port}/ca.crl?x=1"
    try:
        yield peer
    finally:
        done.set()
        server.close()
        await server.wait_closed()


async def test_a_body_is_fetched_to_its_end() -> None:
    """Where the connection ends, or where its length says."""
    async with serving(OK, b"Server: x\r\n\r\n", b"abc", b"def") as peer:
        assert await Retriever().fetch(peer.url, None, LOOPBACK) == b"abcdef"
    assert peer.heard[0].startswith(b"GET /ca.crl?x=1 HTTP/1.0\r\nHost: 127.0.0.1:")
    length = b"Content-Length: 3\r\n\r\n"
    async with serving(OK, length, b"abc", hold=True) as peer:
        assert await Retriever().fetch(peer.url, None, LOOPBACK) == b"abc"


async def test_an_ocsp_request_is_posted() -> None:
    """With its media type and its length."""
    async with serving(OK, b"\r\n", b"answer") as peer:
        assert await Retriever().fetch(peer.url, b"ask", LOOPBACK) == b"answer"
    assert peer.heard[0].startswith(b"POST ")
    assert (
        b"Content-Type: application/ocsp-request\r\nContent-Length: 3" in peer.heard[0]
    )
    assert peer.heard[0].endswith(b"\r\n\r\nask")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((b"HTTP/1.1 404 Not Found\r\n\r\n",), "status 404"),
        ((b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2/\r\n\r\n",), "status 302"),
        ((b"nonsense\r\n\r\n",), "status"),
        ((b"",), "no answer"),
        ((OK, b"x" * (1 << 17)), "no answer"),
        ((OK, b"Content-Length: many\r\n\r\n"), "no answer"),
        ((OK, b"Content-Length: -1\r\n\r\n"), "octets"),
        ((OK, b"Content-Length: 99999999999\r\n\r\n"), "octets"),
        ((OK, b"Content-Length: 5\r\n\r\n", b"abc"), "cut short"),
        ((OK, b"\r\n", *[b"x" * (1 << 20)] * 11), f"more than {MAX_BODY}"),
    ],
)
async def test_what_is_no_whole_answer_is_an_error(
    answer: tuple[bytes, ...], words: str
) -> None:
    """Redirects are not followed; nothing is read without bound."""
    async with serving(*answer) as peer:
        with pytest.raises(RetrievalError, match=words):
            await Retriever().fetch(peer.url, None, LOOPBACK)


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, whatever it is silent about."""
    monkeypatch.setattr(retrieval, "WITHIN", timedelta(milliseconds=50))
    async with serving(OK, hold=True) as peer:
        with pytest.raises(RetrievalError, match="in time"):
            await Retriever().fetch(peer.url, None, LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "[fe80::1]",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_nothing_inside_is_talked_to_unless_allowed(host: str) -> None:
    """A certificate cannot make this host talk to itself or to its link."""
    with pytest.raises(ForbiddenAddressError, match="of this host or of its link"):
        await Retriever().fetch(f"http://{host}:9/", None)


@pytest.mark.parametrize(
    "url", ["https://ca.example/", "ldap://x/", "http:///", "http://[/"]
)
async def test_only_http_is_spoken(url: str) -> None:
    """And only to a host."""
    with pytest.raises(ForbiddenAddressError):
        await Retriever().fetch(url, None)


async def test_a_port_where_nobody_listens_is_an_error() -> None:
    """With the system's words."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(RetrievalError, match=r"no answer from 127\.0\.0\.1"):
        await Retriever().fetch(f"http://127.0.0.1:{port}/", None, LOOPBACK)


async def test_few_are_fetched_at_once() -> None:
    """The others wait for their turn."""
    retriever = Retriever()
    async with (
        serving(OK, b"\r\n", hold=True) as peer,
        asyncio.TaskGroup() as tasks,
    ):
        fetches = [
            tasks.create_task(retriever.fetch(peer.url, None, LOOPBACK))
            for _ in range(retrieval.MAX_AT_ONCE + 2)
        ]
        await _until(lambda: len(peer.heard) == retrieval.MAX_AT_ONCE)
        await asyncio.sleep(0.05)
        assert len(peer.heard) == retrieval.MAX_AT_ONCE
        for fetch in fetches:
            fetch.cancel()


async def _until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.01)
