"""The two control sockets: who may ask for what.

`status.sock` takes verbs of class read, `control.sock` takes all; file modes keep out
who is in neither group, and SO_PEERCRED says who is in. It does not know what a verb
does.
"""

import asyncio
import contextlib
import grp
import logging
import os
import socket
import struct
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from agent.clock import Clock
from agent.control.verbs import (
    CONTROL_SOCKET,
    MAX_REQUEST,
    RESERVED,
    STATUS_SOCKET,
    VERBS,
    Argument,
    BindError,
    DeniedError,
    LateError,
    MalformedError,
    Peer,
    Request,
    UnknownVerbError,
    VerbClass,
)
from agent.errors import AgentError
from agent.events import Event
from agent.files import describe

_log: Final = logging.getLogger(__name__)

MAX_CLIENTS: Final = 8
"""Clients served at a time on each socket; the others wait in the backlog."""

EXCHANGE_WITHIN: Final = timedelta(seconds=5)
"""How long a client may take to send its request, and to take its response."""

ANSWER_WITHIN: Final = timedelta(seconds=30)
"""How long the handler may take."""

_PAUSE: Final = timedelta(seconds=1)
_NOTICE: Final = 25
_BACKLOG: Final = 16
_OVERFLOW_UID: Final = 65534
_UCRED: Final = struct.Struct("iII")


class Handler(Protocol):
    """Does what was asked."""

    async def handle(self, request: Request, peer: Peer) -> dict[str, object]:
        """Return the answer, which `msgspec.json` can encode.

        MUST be cancellable. Raises `AgentError`, whose words reach the client.
        """
        ...


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verb: str
    arguments: dict[str, Argument] = {}


class Groups(NamedTuple):
    """Names of the groups that the two sockets are given to."""

    read: str = "nfcertd-read"
    admin: str = "nfcertd-admin"


class Server:
    """Serves both sockets."""

    def __init__(
        self,
        directory: Path,
        handler: Handler,
        clock: Clock,
        emit: Callable[[Event], None],
        destroy_uids: Collection[int] = (),
        groups: Groups = Groups(),  # noqa: B008 -- an immutable value
    ) -> None:
        """Serve in `directory`; `destroy_uids` may destroy beside root.

        `emit` hears of every verb that does more than read, before it is done.
        """
        self._emit = emit
        self._handler = handler
        self._clock = clock
        # A uid that a user namespace cannot name must not pass for a listed one.
        self._destroyers = ({0} | set(destroy_uids)) - {_OVERFLOW_UID}
        self._doors = (
            (directory / STATUS_SOCKET, groups.read, frozenset({VerbClass.READ})),
            (directory / CONTROL_SOCKET, groups.admin, frozenset(VerbClass)),
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled; call `ready` as soon as both sockets are open.

        Raises:
            BindError: A socket cannot be made.
        """
        with contextlib.ExitStack() as undo:
            opened = []
            for path, group, classes in self._doors:
                sock = undo.enter_context(_bind(path, group))
                undo.callback(path.unlink, missing_ok=True)
                opened.append((sock, classes))
            ready()
            async with asyncio.TaskGroup() as tasks:
                for sock, classes in opened:
                    tasks.create_task(self._accept(sock, classes, tasks))

    async def _accept(
        self,
        sock: socket.socket,
        classes: frozenset[VerbClass],
        tasks: asyncio.TaskGroup,
    ) -> None:
        places = asyncio.Semaphore(MAX_CLIENTS)
        loop = asyncio.get_running_loop()
        while True:
            await places.acquire()
            try:
                connection, _ = await loop.sock_accept(sock)
            except OSError as error:
                # Out of descriptors, or a client that left: neither ends the service.
                _log.warning("cannot accept a control client: %s", describe(error))
                places.release()
                await self._clock.sleep(_PAUSE)
                continue
            client = tasks.create_task(self._serve(connection, classes))
            client.add_done_callback(lambda _: places.release())

    async def _serve(
        self, connection: socket.socket, classes: frozenset[VerbClass]
    ) -> None:
        with connection:
            peer = _peer(connection)
            # A client that is slow or leaves loses its answer and nothing else.
            with contextlib.suppress(OSError, TimeoutError, EOFError):
                reader, writer = await asyncio.open_unix_connection(
                    sock=connection, limit=MAX_REQUEST
                )
                try:
                    line = await _read_line(reader)
                    writer.write(await self._answer(line, classes, peer))
                    async with asyncio.timeout(EXCHANGE_WITHIN.total_seconds()):
                        await writer.drain()
                        writer.close()
                        await writer.wait_closed()
                finally:
                    writer.transport.abort()

    async def _answer(
        self, line: bytes, classes: frozenset[VerbClass], peer: Peer
    ) -> bytes:
        try:
            request = self._admit(line, classes, peer)
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                result = await self._handler.handle(request, peer)
        except AgentError as error:
            return _refusal(error)
        except TimeoutError:
            limit = ANSWER_WITHIN.total_seconds()
            return _refusal(LateError(f"no answer within {limit:.0f} s"))
        return msgspec.json.encode({"result": result}) + b"\n"

    def _admit(self, line: bytes, classes: frozenset[VerbClass], peer: Peer) -> Request:
        try:
            asked = msgspec.json.decode(line, type=_Asked)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise MalformedError(f"not a request: {error}") from error
        verb_class = VERBS.get(asked.verb)
        if verb_class is None:
            raise UnknownVerbError("no such verb")
        self._permit(asked.verb, verb_class, classes, peer)
        if asked.verb in RESERVED:
            raise UnknownVerbError(f"{asked.verb} is not available in this version")
        if verb_class is not VerbClass.READ:
            self._emit(_used(asked.verb, asked.arguments, peer))
        return Request(
            verb=asked.verb, verb_class=verb_class, arguments=asked.arguments
        )

    def _permit(
        self,
        verb: str,
        verb_class: VerbClass,
        classes: frozenset[VerbClass],
        peer: Peer,
    ) -> None:
        if verb_class not in classes:
            raise DeniedError(
                f"{verb} cannot be asked for on {STATUS_SOCKET}",
                hint=f"ask on {CONTROL_SOCKET}",
            )
        if verb_class is VerbClass.DESTROY and peer.uid not in self._destroyers:
            raise DeniedError(
                f"uid {peer.uid} may not use {verb}",
                hint="be root, or be listed in destroy_uids of [agent]",
            )


def _used(verb: str, arguments: Mapping[str, Argument], peer: Peer) -> Event:
    """Return that an operator used a verb, which is worth more than a line of a log."""
    subject = str(arguments.get("name", "")) or "(all)"
    return Event(
        subject=subject,
        kind=f"operator.{verb}",
        text=f"{verb} asked for by uid {peer.uid}, pid {peer.pid}",
        fields={"VERB": verb, "UID": str(peer.uid), "PID": str(peer.pid)},
        severity=_NOTICE,
    )


def _refusal(error: AgentError) -> bytes:
    words = {"kind": error.kind, "message": str(error), "hint": error.hint}
    return msgspec.json.encode({"error": words}) + b"\n"


def _peer(connection: socket.socket) -> Peer:
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(packed)
    return Peer(uid=uid, pid=pid)


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(EXCHANGE_WITHIN.total_seconds()):
        try:
            return await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            return b""


def _bind(path: Path, group: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        sock.bind(str(fresh))
        _restrict(fresh, path.name, group)
        # Nobody can connect before this, and no client finds the name missing.
        sock.listen(_BACKLOG)
        fresh.replace(path)
    except OSError as error:
        sock.close()
        raise BindError(
            f"cannot make the socket {path}: {describe(error)}",
            hint="RuntimeDirectory= of the unit, or the service user's own directory",
        ) from error
    sock.setblocking(False)  # noqa: FBT003 -- its signature
    return sock


def _restrict(path: Path, name: str, group: str) -> None:
    path.chmod(0o600)
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        _log.warning("%s is for its owner only: there is no group %s", name, group)
        return
    if os.geteuid() != 0 and gid not in {os.getegid(), *os.getgroups()}:
        _log.warning("%s is for its owner only: we are not in group %s", name, group)
        return
    try:
        os.chown(path, -1, gid)
    except OSError as error:
        _log.warning("%s is for its owner only: %s", name, describe(error))
        return
    path.chmod(0o660)
