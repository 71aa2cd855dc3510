"""How an answer leaves through aiohttp, honest or not.

Knows sockets. Does not know ACME. Every wait is bounded.
"""

import asyncio
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from tests.ca.exchange import Answer, Delivery

_SEND_SECONDS: Final = 10.0
_CHUNK: Final = 64 * 1024


async def deliver(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send an answer the way it asks for."""
    if answer.delivery is Delivery.DROP:
        return _drop(request)
    headers = CIMultiDict(answer.headers)
    if answer.delivery is Delivery.WHOLE:
        return web.Response(status=answer.status, headers=headers, body=answer.body)
    response = web.StreamResponse(status=answer.status, headers=headers)
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            if answer.delivery is Delivery.TRUNCATE:
                await _truncate(request, response, answer)
            else:
                await _flood(request, response, answer.size)
    except (ConnectionError, TimeoutError):
        # The client has gone, or has stopped to read, as a careful one does.
        return _drop(request)
    return response


def _drop(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncate(
    request: web.BaseRequest, response: web.StreamResponse, answer: Answer
) -> None:
    response.content_length = max(len(answer.body), answer.size + 1)
    await response.prepare(request)
    await response.write(answer.body[: answer.size])
    await response.write_eof()
    if request.transport is not None:
        request.transport.close()


async def _flood(
    request: web.BaseRequest, response: web.StreamResponse, size: int
) -> None:
    await response.prepare(request)
    left = size
    while left > 0:
        await response.write(b" " * min(left, _CHUNK))
        left -= _CHUNK
    await response.write_eof()
