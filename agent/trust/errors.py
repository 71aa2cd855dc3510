"""Why a list of trusted roots is not taken; what is trusted stays as it is."""

from agent.errors import AgentError


class TrustError(AgentError):
    """Base of everything that a list can be refused for."""

    kind = "trust"


class SourceError(TrustError):
    """The source answered, and not with a list."""

    kind = "trust.source"


class UnknownError(TrustError):
    """A list that something depends on has no version yet."""

    kind = "trust.unknown"


class FormatError(TrustError):
    """What the source gave is no list of the form that its table names."""

    kind = "trust.format"


class EntryError(TrustError):
    """An entry is no certificate of a CA, or cannot be read."""

    kind = "trust.entry"


class BoundsError(TrustError):
    """The list is larger than any list of roots should be."""

    kind = "trust.bounds"


class SignatureError(TrustError):
    """The list is not signed by its pinned signer or a successor of it."""

    kind = "trust.signature"


class ExpiredError(TrustError):
    """The list has ended, or begins in the future: it may be a replayed one."""

    kind = "trust.expired"


class RollbackError(TrustError):
    """The list is older than the one in force, or another one of the same number."""

    kind = "trust.rollback"


class OverrulableError(TrustError):
    """A document that an operator may accept in spite of what is wrong with it.

    Attributes:
        digest: SHA-256 of what the document says, lower-case hexadecimal.
    """

    kind = "trust.overrulable"

    def __init__(self, message: str, *, digest: str, hint: str) -> None:
        """Keep which document it was: exactly that one can be accepted."""
        super().__init__(message, hint=hint)
        self.digest = digest


class StepError(OverrulableError):
    """The list's number is too far ahead of the one in force."""

    kind = "trust.step"


class EmptyError(OverrulableError):
    """Nothing would be left that is trusted."""

    kind = "trust.empty"
