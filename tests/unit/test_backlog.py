"""Clients that come all at once wait in the kernel, and none is turned away."""

import socket
from contextlib import ExitStack

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from agent.listener import bind, parse_address, respond, serving

CROWD = 100


def crowd(port: int, stack: ExitStack) -> int:
    """Connect many clients that nobody accepts; return how many got through."""
    for number in range(CROWD):
        client = stack.enter_context(socket.socket())
        client.settimeout(0.2)
        try:
            client.connect(("127.0.0.1", port))
        except TimeoutError:
            return number
    return CROWD


def test_a_listener_holds_a_crowd() -> None:
    """A CA that validates from many places comes as one."""
    with ExitStack() as stack:
        sock = stack.enter_context(bind(parse_address("127.0.0.1:0")))
        assert crowd(sock.getsockname()[1], stack) == CROWD


async def test_a_listener_of_systemd_keeps_its_backlog() -> None:
    """Listening again, as a server does, sets it anew: it must not become smaller."""
    with ExitStack() as stack:
        sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        async with serving([sock], _answer):
            # The loop is blocked meanwhile, so nothing is accepted.
            assert crowd(sock.getsockname()[1], stack) == CROWD


async def _answer(request: BaseRequest) -> StreamResponse:
    return respond(200, request.path.encode())
