"""Asks the daemon; used by the command line, so it imports little."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, cast

import msgspec

from agent.control.verbs import (
    MAX_REQUEST,
    MAX_RESPONSE,
    Argument,
    MalformedError,
    RefusedError,
    UnreachableError,
)
from agent.files import describe

PATIENCE: Final = timedelta(seconds=40)
"""How long the daemon may take; longer than it gives itself."""


class _Words(msgspec.Struct, frozen=True):
    kind: str = "control"
    message: str = "refused without a reason"
    hint: str = ""


class _Answered(msgspec.Struct, frozen=True):
    result: dict[str, object] | None = None
    error: _Words | None = None


async def ask(
    path: Path,
    verb: str,
    arguments: Mapping[str, Argument],
    patience: timedelta = PATIENCE,
) -> dict[str, object]:
    """Return the daemon's answer to a verb.

    Args:
        path: `status.sock` or `control.sock` in the runtime directory.
        verb: One of `agent.control.verbs.VERBS`.
        arguments: What the verb is about.
        patience: Longest time for the whole exchange.

    Raises:
        UnreachableError: There is no daemon, or we may not talk to it.
        RefusedError: The daemon answered with an error.
        MalformedError: The request is too long, or the answer is none.
    """
    line = msgspec.json.encode({"verb": verb, "arguments": arguments}) + b"\n"
    if len(line) > MAX_REQUEST:
        raise MalformedError(f"a request for {verb} of {len(line)} octets is too long")
    try:
        async with asyncio.timeout(patience.total_seconds()):
            answer = await _exchange(path, line)
    except TimeoutError as error:
        raise UnreachableError(
            f"no answer on {path} within {patience.total_seconds():.0f} s"
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"cannot ask the daemon on {path}: {describe(error)}", hint=_hint(error)
        ) from error
    return _read(answer)


def _hint(error: OSError) -> str:
    match error:
        case PermissionError():
            return "be root, or in group nfcertd-read (status) or nfcertd-admin"
        case FileNotFoundError() | ConnectionRefusedError():
            return "is nfcertd running: systemctl status nfcertd"
        case _:
            return ""


async def _exchange(path: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_REQUEST)
    try:
        writer.write(line)
        answer = bytearray()
        while len(answer) <= MAX_RESPONSE and (more := await reader.read(MAX_REQUEST)):
            answer += more
    finally:
        writer.transport.abort()
    return bytes(answer)


def _read(answer: bytes) -> dict[str, object]:
    if not answer.endswith(b"\n"):
        raise UnreachableError("the daemon ended the connection without an answer")
    try:
        answered = msgspec.json.decode(answer, type=_Answered)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise MalformedError("the daemon's answer is not understood") from error
    if answered.error is not None:
        words = answered.error
        raise RefusedError(words.message, remote_kind=words.kind, hint=words.hint)
    return cast("dict[str, object]", answered.result or {})
