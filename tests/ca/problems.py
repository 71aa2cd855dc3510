"""Problem documents as this CA words them (RFC 8555 6.7).

Knows the URN prefix and the usual HTTP status of each error type. Does not know which
request earned which problem.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "urn:ietf:params:acme:error:"

_STATUS: Final[Mapping[str, int]] = {
    "alreadyReplaced": 409,
    "autoRenewalCanceled": 403,
    "autoRenewalExpired": 403,
    "autoRenewalRevocationNotSupported": 403,
    "caa": 403,
    "externalAccountRequired": 403,
    "orderNotReady": 403,
    "rateLimited": 429,
    "serverInternal": 500,
    "unauthorized": 403,
    "userActionRequired": 403,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem document.

    Attributes:
        type: An ACME error token such as `malformed`, or any URI.
        detail: Words for a human.
        status: The HTTP status; zero means the usual one of the type.
        members: Further members, such as `algorithms` or `subproblems`.
    """

    type: str
    detail: str = ""
    status: int = 0
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Return the type as it goes over the wire."""
        return self.type if ":" in self.type else PREFIX + self.type

    @property
    def code(self) -> int:
        """Return the HTTP status that goes with it."""
        return self.status or _STATUS.get(self.type, 400)

    def document(self) -> dict[str, object]:
        """Return the JSON object."""
        base = {"type": self.uri, "detail": self.detail, "status": self.code}
        return base | dict(self.members)


class ProblemError(Exception):
    """A request is answered with a problem document."""

    def __init__(
        self, problem: Problem, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Keep the problem and the headers that go with it."""
        super().__init__(f"{problem.type}: {problem.detail}")
        self.problem = problem
        self.headers = headers


def refusal(kind: str, detail: str, status: int = 0, **members: object) -> ProblemError:
    """Return the exception that answers with a problem of `kind`."""
    return ProblemError(
        Problem(type=kind, detail=detail, status=status, members=members)
    )
