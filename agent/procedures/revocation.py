"""How a revocation is performed."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.acme import jws
from agent.acme.errors import NotOfferedError
from agent.client import AcmeClient, Signer
from agent.jobs import revoke
from agent.jobs.step import Performed
from agent.ports import Keys
from agent.procedures.signer import account_signer
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyRecord
from agent.records.others import AccountRecord
from agent.records.revocation import IssuedRecord


class RevokeProcedure:
    """Performs effects of revoke jobs of one CA."""

    def __init__(self, client: AcmeClient, keys: Keys) -> None:
        """Take the collaborators."""
        self._client = client
        self._keys = keys

    async def perform(
        self, effect: revoke.Revoke, issued: IssuedRecord, signer: Signer
    ) -> Performed:
        """Post revokeCert; the answer is empty (RFC 8555 section 7.6).

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        url = (await self._client.directory()).revoke_cert
        if url is None:
            raise NotOfferedError(
                "the ca's directory offers no revocation",
                hint="ask the ca's operator to revoke it",
            )
        leaf = x509.load_pem_x509_certificate(issued.leaf.encode("ascii"))
        payload: dict[str, object] = {
            "certificate": jws.b64(leaf.public_bytes(Encoding.DER))
        }
        if effect.reason is not None:
            payload["reason"] = effect.reason
        await self._client.post(url, payload, signer, "revokeCert")
        return Performed()

    def signer(
        self,
        record: CertificateRecord,
        issued: IssuedRecord,
        effect: revoke.Revoke,
        account: AccountRecord | None,
    ) -> Signer:
        """Return who signs: the account where it may and can, else the key."""
        if effect.by_key or account is None:
            return self.by_key(record.key(issued.key))
        return self.by_account(account)

    def by_account(self, account: AccountRecord) -> Signer:
        """Return the account as signer."""
        return account_signer(self._keys, account)

    def by_key(self, key: KeyRecord) -> Signer:
        """Return a certificate's key as signer; the request shows it as `jwk`."""

        async def sign(data: bytes) -> bytes:
            return await self._keys.sign(key, data)

        return Signer(public=key.public, sign=sign, account_url=None)
