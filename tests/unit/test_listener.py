"""The bounded listener keeps strangers within their bounds."""

import asyncio
import socket

import pytest
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from agent import listener
from agent.listener import ListenError, bind, parse_address, respond, serving


async def answer(request: BaseRequest) -> StreamResponse:
    """Answer with the path."""
    return respond(200, request.path.encode())


async def ask(port: int) -> bytes:
    """Return everything that one plain request brings."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    found = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return found


async def test_idle_connections_lock_nobody_out() -> None:
    """With the places taken by silent strangers a new client is still answered."""
    sock = bind(parse_address("127.0.0.1:0"))
    port = sock.getsockname()[1]
    silent: list[socket.socket] = []
    async with serving([sock], answer):
        for _ in range(listener.MAX_CONNECTIONS + 8):
            silent.append(socket.create_connection(("127.0.0.1", port)))
            await asyncio.sleep(0)
        assert (await ask(port)).endswith(b"\r\n\r\n/x")
    for one in silent:
        one.close()


async def test_a_response_closes_its_connection_and_names_no_library() -> None:
    """One request for each connection; the header tells nothing to a scanner."""
    sock = bind(parse_address("127.0.0.1:0"))
    async with serving([sock], answer):
        head = await ask(sock.getsockname()[1])
    assert b"Server: nfcertd\r\n" in head
    assert b"Connection: close" in head


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ("[::]:0", "[::]:0"),
    ],
)
def test_an_address_prints_as_it_was_written(text: str, shown: str) -> None:
    """Parsing and printing are inverse."""
    assert str(parse_address(text)) == shown


@pytest.mark.parametrize("text", ["", ":80", "[127.0.0.1]:80", "1.2.3.4", "[::1]:-1"])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    """The message repeats the text."""
    with pytest.raises(ListenError, match="not a literal address"):
        parse_address(text)


def test_an_address_of_nobody_says_what_is_wrong() -> None:
    """TEST-NET-1 is on no interface."""
    with pytest.raises(
        ListenError, match=r"cannot listen on 192\.0\.2\.1:80"
    ) as caught:
        bind(parse_address("192.0.2.1:0")._replace(port=80))
    assert "no interface" in caught.value.hint


def test_both_wildcards_can_have_the_same_port() -> None:
    """IPV6_V6ONLY leaves IPv4 to the other socket."""
    first = bind(parse_address("[::]:0"))
    port = first.getsockname()[1]
    second = bind(parse_address(f"0.0.0.0:{port}"))
    first.close()
    second.close()
