"""How the effects of a registration are performed."""

from collections.abc import Callable

from agent.acme.eab import binding, decode_key
from agent.acme.errors import ProblemError, ProtocolError
from agent.acme.messages import AccountObject
from agent.client import AcmeClient, Reply
from agent.config.authorities import Account, Eab
from agent.jobs import register
from agent.ports import Keys
from agent.procedures.signer import account_signer
from agent.records.others import AccountRecord


class AccountProcedure:
    """Performs effects of register jobs."""

    def __init__(
        self, client: AcmeClient, keys: Keys, read_secret: Callable[[str], bytes]
    ) -> None:
        """Take the collaborators; `read_secret` resolves a reference to a secret."""
        self._client = client
        self._keys = keys
        self._read_secret = read_secret

    async def perform(
        self, effect: register.Effect, record: AccountRecord, config: Account
    ) -> register.Outcome:
        """Perform one effect.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        match effect:
            case register.MakeAccountKey(key):
                made = await self._keys.make(key)
                return register.AccountKeyExists(made.public, made.token_serial)
            case register.Register():
                return await self._register(record, config)

    async def _register(
        self, record: AccountRecord, config: Account
    ) -> register.Registered:
        """Post newAccount (RFC 8555 section 7.3); 200 is the account that the key has.

        So a lost answer costs nothing, and an account is found again by its key alone.
        """
        directory = await self._client.directory()
        # The operator's configuration is the agreement; never agreed to silently.
        payload: dict[str, object] = {}
        if config.contact:
            payload["contact"] = list(config.contact)
        if config.terms_agreed:
            payload["termsOfServiceAgreed"] = True
        if config.eab is not None and record.key is not None:
            payload["externalAccountBinding"] = self._bind(
                record.key.public, config.eab, directory.new_account
            )
        try:
            reply = await self._client.post(
                directory.new_account,
                payload,
                account_signer(self._keys, record),
                "newAccount",
            )
        except ProblemError as error:
            terms = directory.meta.terms_of_service
            if terms is not None and not config.terms_agreed:
                error.hint = (
                    f"read the terms at {terms[:200]} and, if you agree, set "
                    f"account.{record.name}.terms_agreed = true"
                )
            raise
        return _registered(reply)

    def _bind(self, public: bytes, eab: Eab, url: str) -> dict[str, str]:
        return binding(
            public,
            kid=eab.kid,
            key=decode_key(self._read_secret(eab.key)),
            algorithm=eab.algorithm,
            url=url,
        )


def _registered(reply: Reply) -> register.Registered:
    if not reply.location:
        raise ProtocolError("the ca registered an account without a location")
    account = reply.read(AccountObject, "account")
    if account.status != "valid":
        raise ProtocolError(f"the ca says that the account is {account.status[:64]}")
    return register.Registered(reply.location, account.orders or "")
