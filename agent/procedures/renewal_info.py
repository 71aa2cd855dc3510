"""How the CA is asked for renewal information (RFC 9773)."""

from datetime import UTC, datetime
from typing import Final

from agent.acme.errors import RenewalInfoError
from agent.acme.renewal import RenewalInfo, renewal_url
from agent.client import AcmeClient
from agent.jobs.renewal_info import AskRenewalInfo, Informed

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A window that begins before it is a mistake; it also keeps arithmetic in range."""


class RenewalInfoProcedure:
    """Performs effects of renewal-info jobs of one CA."""

    def __init__(self, client: AcmeClient) -> None:
        """Take the client; nobody signs these requests."""
        self._client = client

    async def perform(self, effect: AskRenewalInfo, ends: datetime) -> Informed:
        """Ask once, by an unauthenticated GET (section 4.1).

        Args:
            effect: Names the certificate.
            ends: When the certificate ends; a window beyond it is none.

        Raises:
            AgentError: There is no answer, or none that can be used.
        """
        base = (await self._client.directory()).renewal_info
        if base is None:
            raise RenewalInfoError("the ca no longer offers renewal information")
        reply = await self._client.get(renewal_url(base, effect.certid), "renewalInfo")
        info = reply.read(RenewalInfo, "renewal information")
        window = info.suggested_window
        if not EARLIEST < window.start < window.end <= ends:
            raise RenewalInfoError(
                f"the ca suggests a window that is none: from {window.start} "
                f"to {window.end}, and the certificate ends at {ends}",
                retry_at=reply.retry_at,
            )
        return Informed(
            start=window.start.astimezone(UTC),
            end=window.end.astimezone(UTC),
            explanation=info.explanation_url,
            retry_at=reply.retry_at,
        )
