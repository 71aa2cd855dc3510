"""What client and daemon agree on: verbs, their classes, requests and errors.

One JSON object on one line each way, then the connection ends: `{"verb", "arguments"}`
is answered by `{"result"}` or by `{"error": {"kind", "message", "hint"}}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from agent.errors import AgentError

STATUS_SOCKET: Final = "status.sock"
"""Name of the socket that takes verbs of class read."""

CONTROL_SOCKET: Final = "control.sock"
"""Name of the socket that takes every verb."""

MAX_REQUEST: Final = 1 << 16
"""Octets of a request line."""

MAX_RESPONSE: Final = 8 << 20
"""Octets of a response line that the client takes."""


class VerbClass(StrEnum):
    """What a verb may do, and so who may use it."""

    READ = "read"
    OPERATE = "operate"
    DESTROY = "destroy"


VERBS: Final[Mapping[str, VerbClass]] = {
    "status": VerbClass.READ,
    "plan": VerbClass.READ,
    "keys": VerbClass.READ,
    "version": VerbClass.READ,
    "config": VerbClass.READ,
    "trust": VerbClass.READ,
    "renew": VerbClass.OPERATE,
    "hold": VerbClass.OPERATE,
    "release": VerbClass.OPERATE,
    "reload": VerbClass.OPERATE,
    "ack": VerbClass.OPERATE,
    "trust-fetch": VerbClass.OPERATE,
    "trust-accept": VerbClass.OPERATE,
    "account-roll": VerbClass.OPERATE,
    "accept": VerbClass.OPERATE,
    "csr": VerbClass.OPERATE,
    "import": VerbClass.OPERATE,
    "bootstrap": VerbClass.DESTROY,
    "revoke": VerbClass.DESTROY,
    "replace": VerbClass.DESTROY,
    "decommission": VerbClass.DESTROY,
    "keys-destroy": VerbClass.DESTROY,
    "account-deactivate": VerbClass.DESTROY,
}
"""Every verb; the only place that says what class it has."""

RESERVED: Final = frozenset({"keys-destroy"})
"""Verbs whose class is settled and that do nothing yet."""


class ControlError(AgentError):
    """Base of what can go wrong between a client and the daemon."""

    kind = "control"


class BindError(ControlError):
    """A control socket cannot be made."""

    kind = "control.bind"


class MalformedError(ControlError):
    """What was sent is no request."""

    kind = "control.malformed"


class UnknownVerbError(ControlError):
    """There is no such verb."""

    kind = "control.unknown-verb"


class DeniedError(ControlError):
    """This socket, or this user, may not use the verb."""

    kind = "control.denied"


class LateError(ControlError):
    """The answer took too long; what was asked for may still happen."""

    kind = "control.timeout"


class UnreachableError(ControlError):
    """The client finds no daemon, or may not talk to it."""

    kind = "control.unreachable"


class RefusedError(ControlError):
    """The daemon answered with an error.

    Attributes:
        remote_kind: The kind of the daemon's error, such as `control.denied`.
    """

    kind = "control.refused"

    def __init__(self, message: str, *, remote_kind: str, hint: str) -> None:
        """Keep the daemon's words."""
        super().__init__(message, hint=hint)
        self.remote_kind = remote_kind


class LaterError(RefusedError):
    """The daemon refused for a reason that passes by itself: ask again."""

    kind = "control.later"


class Peer(NamedTuple):
    """Who asks, as the kernel says it."""

    uid: int
    pid: int


Argument = str | int | bool | list[str] | None
"""What an argument of a verb may be: flat, so that depth is bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A verb that this peer may use, with its arguments, whose meaning is unchecked."""

    verb: str
    verb_class: VerbClass
    arguments: Mapping[str, Argument]
