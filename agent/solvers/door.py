"""Listening sockets of a challenge type, open only while something is presented.

It knows addresses, sockets that systemd handed over, and how many are inside. What is
answered on a connection is told by the caller.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
)
from typing import Final

from agent.solvers.errors import BindError

SYSTEMD: Final = "systemd"
"""The entry of `listen` that stands for the sockets that systemd handed over."""

Serve = Callable[[Sequence[socket.socket]], AbstractAsyncContextManager[None]]
"""Takes listening sockets over and answers on them until left, which MUST NOT wait."""


class Door:
    """What all presentations of one challenge type share."""

    def __init__(
        self,
        challenge: str,
        listen: Sequence[str],
        handed_over: Sequence[socket.socket],
        serve: Serve,
    ) -> None:
        """Listen on nothing yet.

        Args:
            challenge: The type: the name of systemd's sockets and of the table.
            listen: Addresses with ports, or `systemd`.
            handed_over: Listening sockets from systemd; they stay the caller's, are
                never closed here, and are accepted on only while the door is open.
            serve: Answers on sockets.
        """
        self._challenge = challenge
        self._listen = tuple(listen)
        self._handed_over = tuple(handed_over)
        self._serve = serve
        self._opening = asyncio.Lock()
        self._inside = 0
        self._open = AsyncExitStack()
        self._where: tuple[tuple[str, int], ...] = ()

    @property
    def where(self) -> tuple[tuple[str, int], ...]:
        """Return hosts and ports that are listened on now; empty when idle."""
        return self._where

    def ready(self) -> None:
        """Return where the door is open, is being opened, or could be opened now.

        Raises:
            BindError: An address cannot be listened on.
        """
        if not self._inside and not self._opening.locked():
            with ExitStack() as undo:
                self._sockets(undo)

    @asynccontextmanager
    async def held_open(self) -> AsyncIterator[None]:
        """Listen at least until left.

        Raises:
            BindError: An address cannot be listened on.
        """
        async with self._opening:
            if not self._inside:
                async with AsyncExitStack() as door:
                    await door.enter_async_context(self._listening())
                    self._open = door.pop_all()
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                # It does not suspend, so no cancellation leaves the door half open.
                await self._open.aclose()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        from agent.listener import bound_addresses  # noqa: PLC0415 -- memory

        with ExitStack() as undo:
            sockets = self._sockets(undo)
            async with self._serve(sockets):
                undo.pop_all()
                self._where = tuple(
                    (str(host), port) for host, port in bound_addresses(sockets)
                )
                try:
                    yield
                finally:
                    self._where = ()

    def _sockets(self, undo: ExitStack) -> list[socket.socket]:
        # aiohttp's server half is loaded at the first challenge, not at start.
        from agent.listener import ListenError, bind, parse_address  # noqa: PLC0415 -- memory

        sockets: list[socket.socket] = []
        for entry in self._listen:
            try:
                opened = (
                    self._from_systemd()
                    if entry == SYSTEMD
                    else [bind(parse_address(entry))]
                )
            except ListenError as error:
                raise BindError(
                    f"cannot serve {self._challenge}: {error}", hint=error.hint
                ) from error
            sockets.extend(undo.enter_context(sock) for sock in opened)
        return sockets

    def _from_systemd(self) -> list[socket.socket]:
        inet = (socket.AF_INET, socket.AF_INET6)
        usable = [sock for sock in self._handed_over if sock.family in inet]
        if not usable:
            name = self._challenge
            raise BindError(
                f"cannot serve {name}: systemd handed over no TCP socket named {name}",
                hint=f"enable the socket unit, or set listen in [{name}]",
            )
        return [sock.dup() for sock in usable]
