"""Servers of this process on a loop and thread of their own: tests may block."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final, TypeVar

PATIENCE: Final = 60.0
"""Real seconds for a start and for an end."""
T = TypeVar("T")


@contextmanager
def looped(server: AbstractAsyncContextManager[T], name: str) -> Iterator[T]:
    """Enter an asynchronous context on a new thread, and leave it there at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name)
    thread.start()
    try:
        entering = server.__aenter__()
        value = asyncio.run_coroutine_threadsafe(entering, loop).result(PATIENCE)
        try:
            yield value
        finally:
            leaving = server.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(leaving, loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
