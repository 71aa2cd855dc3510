"""One request and its answer, as plain values between the rooms of the CA.

Knows bytes and headers. Does not know sockets, nor what a resource means.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.ca.faults import Action
    from tests.ca.issuing import Authority, Issued

Headers = tuple[tuple[str, str], ...]


class Delivery(Enum):
    """How the bytes of an answer leave."""

    WHOLE = auto()
    """As an honest server sends them."""
    DROP = auto()
    """Not at all: the connection is reset."""
    TRUNCATE = auto()
    """The length is announced, `size` octets are sent, and the connection closes."""
    HUGE = auto()
    """A stream of `size` octets without an announced length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response.

    Attributes:
        status: The HTTP status.
        headers: Names and values; a name may repeat.
        body: The octets.
        delivery: How they leave.
        size: Octets that leave, for the deliveries that need it.
        bare: True for an answer of a middlebox, without the headers of the CA.
        problem: Type of the problem document inside, or empty.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    delivery: Delivery = Delivery.WHOLE
    size: int = 0
    bare: bool = False
    problem: str = ""

    def header(self, name: str) -> str:
        """Return the first value of a header, or empty."""
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return values[0] if values else ""

    def adding(self, name: str, value: str) -> "Answer":
        """Return this answer with one more header."""
        return replace(self, headers=(*self.headers, (name, value)))

    def without(self, name: str) -> "Answer":
        """Return this answer without a header."""
        kept = tuple(h for h in self.headers if h[0].lower() != name.lower())
        return replace(self, headers=kept)

    def setting(self, name: str, value: str) -> "Answer":
        """Return this answer with a header that has exactly this value."""
        return self.without(name).adding(name, value)


def json_answer(
    document: Mapping[str, object],
    *,
    status: int = 200,
    headers: Headers = (),
    media_type: str = "application/json",
    problem: str = "",
) -> Answer:
    """Return an answer whose body is a JSON object."""
    return Answer(
        status=status,
        headers=(("Content-Type", media_type), *headers),
        body=json.dumps(document).encode(),
        problem=problem,
    )


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request on its way through the CA.

    Attributes:
        resource: The name of the resource.
        parts: The identifiers in the path.
        url: The full URL as the client sent it, which the JWS has to repeat.
        actions: The faults that strike this request.
        pause: Waits some seconds of real time, or less when the CA closes.
        now: The time of the CA.
        issued: The certificate that the answer holds, if it does.
        authority: The issuer.
    """

    method: str
    resource: str
    url: str
    parts: tuple[str, ...] = ()
    content_type: str = ""
    user_agent: str = ""
    body: bytes = b""
    actions: tuple["Action", ...] = ()
    pause: Callable[[float], Awaitable[None]]
    now: Callable[[], datetime]
    authority: "Authority"
    burn_nonce: Callable[[], None] = field(default=lambda: None)
    issued: "Issued | None" = None
