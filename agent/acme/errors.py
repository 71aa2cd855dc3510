"""What an ACME server can do to us: say no, or break the protocol."""

from datetime import datetime

from agent.acme.problem import Problem, printable
from agent.errors import AgentError


class ProtocolError(AgentError):
    """The server broke RFC 8555: missing header, bad JSON, wrong content type."""

    kind = "acme.protocol"


class ProblemError(AgentError):
    """The server said no with a problem document (RFC 8555 section 6.7).

    Attributes:
        problem: What the server said.
        status: The HTTP status.
        url: The resource that refused.
        terms: The terms of service that the refusal links to; empty for none.
    """

    kind = "acme.problem"

    def __init__(
        self,
        problem: Problem,
        *,
        status: int,
        url: str,
        retry_at: datetime | None = None,
        terms: str = "",
    ) -> None:
        """Word the problem for the operator and keep it as data."""
        super().__init__(
            f"the ca refused: {problem.describe()} (http status {status})",
            retry_at=retry_at,
            hint=_what_to_see(problem, terms),
        )
        self.problem = problem
        self.status = status
        self.url = url
        self.terms = terms


def _what_to_see(problem: Problem, terms: str) -> str:
    """Return where a person is sent (sections 6.7 and 7.3.3); empty for nowhere."""
    places = [f"see {printable(problem.instance)}"] if problem.instance else []
    if terms:
        places.append(f"the terms of service are at {printable(terms)}")
    return "; ".join(places)


class AccountClosedError(AgentError):
    """The CA shows the account as deactivated or revoked (section 7.1.6)."""

    kind = "acme.account-closed"


class KeyChangeUnsupportedError(AgentError):
    """The directory has no keyChange (section 7.1.1)."""

    kind = "acme.key-change-missing"


class KeyChangeRefusedError(AgentError):
    """The CA advertises keyChange and does not do it; the old key stays in force."""

    kind = "acme.key-change-refused"


class ChallengeUnavailableError(AgentError):
    """The authorization offers no challenge of the configured type."""

    kind = "acme.challenge-unavailable"


class NotOfferedError(AgentError):
    """The CA offers no such service, or is no longer configured."""

    kind = "acme.not-offered"


class OrderMismatchError(AgentError):
    """The order that came back is not the order that was asked for."""

    kind = "acme.order-mismatch"


class RenewalInfoError(AgentError):
    """Renewal information that cannot be used (RFC 9773 section 4.2)."""

    kind = "acme.renewal-info"


class ReplacesRefusedError(AgentError):
    """The CA takes the order only where it does not say what it replaces."""

    kind = "acme.replaces-refused"


class ProfileUnavailableError(AgentError):
    """The CA does not offer the profile that is required, or did not take it."""

    kind = "acme.profile-unavailable"


class StarRefusedError(AgentError):
    """The CA does not take a STAR order (RFC 8739); it is asked for a usual one."""

    kind = "acme.star-refused"


class ProfileRefusedError(AgentError):
    """The CA takes the order only without the profile that was preferred."""

    kind = "acme.profile-refused"


class KeyReuseError(AgentError):
    """An account key is about to become a certificate's key."""

    kind = "acme.key-reuse"
