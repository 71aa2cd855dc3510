"""How an authorization that nobody needs is deactivated (RFC 8555 section 7.5.2)."""

from agent.acme.messages import Authorization
from agent.client import AcmeClient
from agent.jobs.abandon import Deactivate
from agent.jobs.step import Performed
from agent.ports import Keys
from agent.procedures.signer import account_signer
from agent.records.others import AccountRecord


class AbandonProcedure:
    """Performs effects of abandon jobs of one CA."""

    def __init__(self, client: AcmeClient, keys: Keys) -> None:
        """Take the collaborators."""
        self._client = client
        self._keys = keys

    async def perform(self, effect: Deactivate, account: AccountRecord) -> Performed:
        """Deactivate one authorization, unless it has ended or is valid.

        A valid one is worth something: the next order may need no proof.

        Raises:
            AgentError: It could not be looked at, or the CA refused.
        """
        signer, url = account_signer(self._keys, account), effect.authorization
        reply = await self._client.post(url, None, signer, "authz")
        if reply.read(Authorization, "authorization").status == "pending":
            wish: dict[str, object] = {"status": "deactivated"}
            await self._client.post(url, wish, signer, "authz")
        return Performed()
