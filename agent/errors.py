"""The base of every error that this package raises on purpose.

It knows how an error carries data. It does not know what follows from one: that is
decided by one table, `agent.renewal.disposition`, keyed by `AgentError.kind`.
"""

from datetime import datetime
from typing import ClassVar


class AgentError(Exception):
    """Base of all expected failures.

    `str()` is one lower-case clause without a final period that names what failed,
    where, and what to do; it never holds a secret. Every concrete subclass sets `kind`,
    a stable slug such as `token.absent` that the disposition table knows.

    Attributes:
        kind: Stable slug of the failure; the key of the disposition table.
        retry_at: The instant before which the peer asked not to be asked again.
        hint: What the operator can do about it, one clause, or empty.
    """

    kind: ClassVar[str] = "agent"

    def __init__(
        self, message: str, *, retry_at: datetime | None = None, hint: str = ""
    ) -> None:
        """Keep the message and the data that a decision needs."""
        super().__init__(message)
        self.retry_at = retry_at
        self.hint = hint
