"""The exact log of requests, in the order of their arrival.

Knows what was asked and how it was answered. Does not know why.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

NEVER: Final = datetime.min.replace(tzinfo=UTC)


class PayloadKind(StrEnum):
    """What a request carried."""

    NONE = "none"
    """No body at all: GET and HEAD."""
    POST_AS_GET = "post-as-get"
    """A JWS with the empty payload."""
    EMPTY = "empty"
    """A JWS with the payload `{}`."""
    OBJECT = "object"
    """A JWS with another JSON object."""
    UNREADABLE = "unreadable"
    """Something that is no JWS with one of these payloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request.

    Attributes:
        method: The HTTP method.
        resource: The name of the resource, or `unknown`.
        status: The HTTP status of the answer; zero when the connection was dropped,
            None while the answer is not decided.
        url: The full URL as the client sent it.
        payload_kind: What the body was.
        nonce: The nonce that the request carried, or empty.
        replay_nonce: The nonce that the answer handed out, or empty.
        problem: The type of the problem document of the answer, or empty.
        faults: The names of the faults that struck.
        at: When it arrived, by the clock of the CA.
    """

    method: str
    resource: str
    status: int | None = None
    url: str = ""
    payload_kind: PayloadKind = PayloadKind.NONE
    nonce: str = ""
    replay_nonce: str = ""
    problem: str = ""
    faults: tuple[str, ...] = ()
    at: datetime = NEVER

    def __str__(self) -> str:
        """Return method and resource, as tests write sequences."""
        return f"{self.method} {self.resource}"


class Log:
    """A sequence of entries that tests read."""

    def __init__(self) -> None:
        """Begin empty."""
        self._entries: list[Entry] = []

    def begin(self, entry: Entry) -> int:
        """Keep a request that has arrived, and return its ticket."""
        self._entries.append(entry)
        return len(self._entries) - 1

    def finish(
        self,
        ticket: int,
        *,
        status: int,
        replay_nonce: str,
        problem: str,
        faults: tuple[str, ...],
    ) -> None:
        """Note how the request of `ticket` was answered."""
        self._entries[ticket] = replace(
            self._entries[ticket],
            status=status,
            replay_nonce=replay_nonce,
            problem=problem,
            faults=faults,
        )

    def __iter__(self) -> Iterator[Entry]:
        """Iterate in the order of arrival."""
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        """Return how many requests have arrived."""
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        """Return one entry."""
        return self._entries[index]

    @property
    def sequence(self) -> list[str]:
        """Return the requests as `METHOD resource`."""
        return [str(entry) for entry in self._entries]

    def of(self, resource: str) -> list[Entry]:
        """Return the entries of one resource."""
        return [entry for entry in self._entries if entry.resource == resource]

    def count(self, resource: str, *, status: int | None = None) -> int:
        """Count the requests of a resource, or those answered with `status`."""
        entries = self.of(resource)
        return sum(status in {None, entry.status} for entry in entries)
