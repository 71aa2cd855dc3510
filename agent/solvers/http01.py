"""http-01: key authorizations over plain HTTP (RFC 8555 section 8.3).

It knows three ways of serving: an own listener, sockets that systemd handed over, and a
directory that another web server serves. It does not know orders, accounts or CAs.
Listeners are open only while something is presented: an idle agent serves nobody.
"""

import asyncio
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.config.challenges import Listen
from agent.files import FileError, describe, read_bounded, write_atomic
from agent.ports import Presentation
from agent.solvers.door import Door
from agent.solvers.errors import PublishError, SelfCheckError, TokenSyntaxError
from agent.solvers.selfcheck import require_shown

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest
    from aiohttp.web_response import StreamResponse

_log: Final = logging.getLogger(__name__)

PREFIX: Final = "/.well-known/acme-challenge/"
"""Where a CA looks (RFC 8555 section 8.3)."""

MAX_TOKEN: Final = 200
"""Characters of a token; a longer one could not be a file name everywhere."""

_MAX_ANSWER: Final = 8192
_OK: Final = re.compile(rb"HTTP/1\.[01] 200 ")
_TOKEN: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TOKEN}}}", re.ASCII)


class Http01:
    """The `Solver` of http-01, one for the process.

    The same challenge may be presented more than once, and many at the same time; each
    is served until the last who presented it has left.
    """

    def __init__(
        self, settings: Listen, handed_over: Sequence[socket.socket] = ()
    ) -> None:
        """Serve as configured.

        Args:
            settings: The table `[http-01]`.
            handed_over: Listening sockets from systemd; see `Door`.
        """
        self._settings = settings
        self._served: dict[str, list[str]] = {}
        self._door = Door("http-01", settings.listen, handed_over, self._serving)

    @property
    def presented(self) -> frozenset[str]:
        """Return the tokens that are presented now."""
        return frozenset(self._served)

    @property
    def where(self) -> tuple[tuple[str, int], ...]:
        """Return hosts and ports that are listened on now; empty when idle."""
        return self._door.where

    def ready(self) -> None:
        """Return where a challenge could be presented now; nothing is served.

        Raises:
            BindError: An address cannot be listened on.
            PublishError: The webroot cannot be written.
        """
        webroot = self._settings.webroot
        if webroot is not None:
            if not os.access(webroot, os.W_OK | os.X_OK):
                raise PublishError(f"{webroot} cannot be written")
        else:
            self._door.ready()

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Serve a key authorization; the payload that tells the CA is `{}`.

        Raises:
            BindError: An address cannot be listened on.
            PublishError: The webroot cannot be written.
            TokenSyntaxError: The token is not base64url.
            SelfCheckError: The answer to ourselves is not the key authorization.
        """
        if not _TOKEN.fullmatch(presentation.token):
            raise TokenSyntaxError(
                f"the challenge for {presentation.name} has a token that is not "
                "base64url"
            )
        webroot = self._settings.webroot
        with self._remember(presentation):
            if webroot is not None:
                with self._in_directory(Path(webroot), presentation):
                    yield {}
                return
            async with self._door.held_open():
                await self._check(presentation)
                yield {}

    @contextmanager
    def _remember(self, presentation: Presentation) -> Iterator[None]:
        held = self._served.setdefault(presentation.token, [])
        held.append(presentation.key_authorization)
        try:
            yield
        finally:
            held.remove(presentation.key_authorization)
            if not held:
                self._served.pop(presentation.token, None)

    @contextmanager
    def _in_directory(
        self, directory: Path, presentation: Presentation
    ) -> Iterator[None]:
        path = directory / presentation.token
        with ExitStack() as undo:
            undo.callback(self._withdraw, path, presentation)
            try:
                write_atomic(path, presentation.key_authorization.encode(), 0o644)
            except FileError as error:
                raise PublishError(
                    f"cannot present {presentation.name}: {error}",
                    hint=f"let the service user write to {directory}",
                ) from error
            self._read_back(path, presentation)
            yield

    def _withdraw(self, path: Path, presentation: Presentation) -> None:
        if len(self._served[presentation.token]) > 1:
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            # The answer is public since the CA fetched it: not worth a failed issuance.
            _log.warning("cannot remove %s: %s", path, describe(error))

    def _read_back(self, path: Path, presentation: Presentation) -> None:
        if not self._settings.self_check:
            return
        try:
            found = read_bounded(path, _MAX_ANSWER)
        except FileError as error:
            raise SelfCheckError(
                f"cannot read back what was presented: {error}"
            ) from error
        if found != presentation.key_authorization.encode():
            raise SelfCheckError(f"{path} was changed while it was being presented")

    def _serving(
        self, sockets: Sequence[socket.socket]
    ) -> AbstractAsyncContextManager[None]:
        from agent.listener import serving  # noqa: PLC0415 -- memory

        return serving(sockets, self._answer)

    async def _answer(self, request: "BaseRequest") -> "StreamResponse":
        from agent.listener import respond  # noqa: PLC0415 -- loaded already

        token = request.raw_path.removeprefix(PREFIX)
        held = self._served.get(token)
        if (
            request.method not in {"GET", "HEAD"}
            or held is None
            or request.raw_path != PREFIX + token
        ):
            return respond(404)
        return respond(200, held[-1].encode(), "application/octet-stream")

    async def _check(self, presentation: Presentation) -> None:
        if not self._settings.self_check:
            return
        await require_shown(
            self._door.where,
            partial(_fetch, presentation),
            presentation.key_authorization.encode(),
            "the key authorization",
        )


async def _fetch(presentation: Presentation, host: str, port: int) -> bytes:
    """Return what an address answers; nothing where that is no success."""
    answer = await _exchange(host, port, presentation)
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if _OK.match(head) else b""


def _host(presentation: Presentation) -> str:
    """Return what the CA writes into the Host field (RFC 3986 section 3.2.2)."""
    name = presentation.name
    return f"[{name}]" if ":" in name else name


async def _exchange(host: str, port: int, presentation: Presentation) -> bytes:
    reader, writer = await asyncio.open_connection(host, port, limit=_MAX_ANSWER)
    try:
        writer.write(
            f"GET {PREFIX}{presentation.token} HTTP/1.0\r\n"
            f"Host: {_host(presentation)}\r\n\r\n".encode()
        )
        answer = b""
        while len(answer) < _MAX_ANSWER and (more := await reader.read(_MAX_ANSWER)):
            answer += more
    finally:
        writer.transport.abort()
    return answer
