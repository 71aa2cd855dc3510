"""Problem documents (RFC 8555 section 6.7, RFC 9457): an open set of types."""

from collections.abc import Iterator
from typing import Final

import msgspec

from agent.acme.identifiers import Identifier

PREFIX: Final = "urn:ietf:params:acme:error:"
MAX_TEXT: Final = 500
"""Characters of a server's text that are kept."""
MAX_PARTS: Final = 100
"""Sub-problems that are worded: as many as an order has identifiers."""
MAX_ALL: Final = 4000
"""Characters that they share; each keeps its identifier and its type."""
LEAST_TEXT: Final = 120


class _Core(msgspec.Struct, frozen=True, kw_only=True):
    """What decides, where the rest of a document is not as it should be."""

    type: str
    detail: object = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem document; unknown members are ignored.

    Attributes:
        type: URN or URL; `about:blank` where the server gave none.
        detail: The server's words for a person; shown, never parsed.
        status: The HTTP status that the server wrote into the document.
        instance: URL that a person should visit (`userActionRequired`).
        identifier: Which identifier a sub-problem is about.
        subproblems: The parts of a `compound` problem.
    """

    type: str = "about:blank"
    detail: str = ""
    status: int | None = None
    instance: str = ""
    identifier: Identifier | None = None
    subproblems: tuple["Problem", ...] = ()

    @property
    def token(self) -> str:
        """Return the name inside the ACME namespace, or the whole type."""
        return self.type.removeprefix(PREFIX)

    def describe(self) -> str:
        """Word the problem and its sub-problems in one bounded clause."""
        return "; ".join(_clauses(self))


def _clauses(problem: Problem) -> Iterator[str]:
    yield _clause(problem, MAX_TEXT)
    # Section 6.7.1 knows one level; what is deeper is a stranger's way to be long.
    parts = problem.subproblems[:MAX_PARTS]
    room = max(MAX_ALL // max(len(parts), 1), LEAST_TEXT)
    for part in parts:
        yield _clause(part, min(room, MAX_TEXT))


def _clause(problem: Problem, limit: int) -> str:
    about = f"{problem.identifier.value}: " if problem.identifier else ""
    return printable(f"{about}{problem.token}: {problem.detail}".rstrip(": "), limit)


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """Return a stranger's text without control characters and of bounded length."""
    clean = "".join(c if c.isprintable() else " " for c in text[:limit])
    return clean if len(text) <= limit else f"{clean}..."


def parse_problem(body: bytes, status: int) -> Problem:
    """Return the problem that an error body holds, whatever the body is.

    A body that is no problem document still yields a `Problem`: the HTTP status is
    never hidden behind a decoding error, nor is a type behind a malformed member.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = printable(body[:200].decode("utf-8", "replace"), 200)
        return Problem(detail=f"no problem document: {text}", status=status)


def _decode(body: bytes) -> Problem:
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.ValidationError:
        core = msgspec.json.decode(body, type=_Core)
        detail = core.detail if isinstance(core.detail, str) else ""
        return Problem(type=core.type, detail=detail)
