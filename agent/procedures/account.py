"""How the effects of an account's jobs are performed (RFC 8555 section 7.3)."""

from collections.abc import Callable
from typing import Final

from agent.acme import jws
from agent.acme.eab import binding, decode_key
from agent.acme.errors import (
    AccountClosedError,
    KeyChangeRefusedError,
    KeyChangeUnsupportedError,
    ProblemError,
    ProtocolError,
)
from agent.acme.messages import AccountObject, Directory
from agent.acme.problem import printable
from agent.client import AcmeClient, Reply, Signer
from agent.config.authorities import Account, Eab
from agent.jobs import account, account_changes, register, retire, roll
from agent.jobs.step import Performed
from agent.ports import Keys
from agent.procedures.signer import account_signer
from agent.records.keys import KeyRecord
from agent.records.others import AccountRecord

_UNDONE: Final = frozenset({404, 405, 501})
"""Statuses of a keyChange that is advertised and not there."""
_NOT_DONE: Final = "notImplemented"
"""What step-ca calls it, beyond what is registered."""
_UNKNOWN: Final = "accountDoesNotExist"
_UNAUTHORIZED: Final = 401
_CREATED: Final = 201


class AccountProcedure:
    """Performs effects of the jobs of accounts of one CA."""

    def __init__(
        self, client: AcmeClient, keys: Keys, read_secret: Callable[[str], bytes]
    ) -> None:
        """Take the collaborators; `read_secret` resolves a reference to a secret."""
        self._client = client
        self._keys = keys
        self._read_secret = read_secret

    async def perform(
        self, effect: account.Effect, record: AccountRecord, config: Account
    ) -> account.Outcome:
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
            case account_changes.UpdateContact(contact):
                return await self._update(record, contact)
            case account_changes.Deactivate(again):
                return await self._deactivate(record, again=again)
            case retire.DestroyKey(identity):
                await self._keys.destroy(record.spare(identity))
                return Performed()
            case _:
                return await self._roll(effect, record)

    async def _roll(self, effect: roll.Effect, record: AccountRecord) -> roll.Outcome:
        match effect:
            case roll.FindKeyChange():
                _key_change(await self._client.directory())
                return roll.KeyChangeOffered()
            case roll.MakeNewKey(key):
                made = await self._keys.make(key)
                return roll.NewKeyExists(made.public, made.token_serial)
            case roll.ChangeKey(key):
                return await self._change_key(record, key)
            case roll.ProbeNewKey(key) | roll.ProbeOldKey(key):
                return await self._probe(key)

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
            error.hint = _registration_hint(error, record, config, directory)
            raise
        return _registered(reply, config)

    def _bind(self, public: bytes, eab: Eab, url: str) -> dict[str, str]:
        return binding(
            public,
            kid=eab.kid,
            key=decode_key(self._read_secret(eab.key)),
            algorithm=eab.algorithm,
            url=url,
        )

    async def _change_key(
        self, record: AccountRecord, new: KeyRecord
    ) -> roll.KeyChanged:
        """Post keyChange (section 7.3.5): the new key's JWS inside that of the old.

        Raises:
            KeyChangeRefusedError: The CA advertises it and does not do it.
            KeyChangeUnsupportedError: The CA does not even advertise it.
            AgentError: As `AcmeClient.post`.
        """
        old = record.key
        if old is None:
            raise ProtocolError("the account has no key")
        url = _key_change(await self._client.directory())
        protected = jws.inner_header(new.public, url=url)
        payload = jws.encode_payload(
            {"account": record.url, "oldKey": jws.public_jwk(old.public)}
        )
        signed = await self._keys.sign(new, jws.signing_input(protected, payload))
        inner = jws.members(protected, payload, signed)
        signer = account_signer(self._keys, record)
        try:
            await self._client.post(url, inner, signer, "keyChange")
        except ProblemError as error:
            if error.problem.token != _NOT_DONE and error.status not in _UNDONE:
                raise
            raise KeyChangeRefusedError(
                f"the ca offers a key change and does not do it: {error}",
                hint="the old account key stays in force; ask the ca's operator",
                retry_at=error.retry_at,
            ) from error
        return roll.KeyChanged()

    async def _probe(self, key: KeyRecord) -> roll.Probed:
        """Ask which account a key has, without making one (section 7.3.1)."""

        async def sign(data: bytes) -> bytes:
            return await self._keys.sign(key, data)

        directory = await self._client.directory()
        signer = Signer(public=key.public, sign=sign, account_url=None)
        try:
            reply = await self._client.post(
                directory.new_account,
                {"onlyReturnExisting": True},
                signer,
                "newAccount",
            )
        except ProblemError as error:
            if error.problem.token != _UNKNOWN:
                raise
            return roll.Probed("")
        return roll.Probed(_located(reply))

    async def _update(
        self, record: AccountRecord, contact: tuple[str, ...]
    ) -> account_changes.Updated:
        """Post the contacts (section 7.3.2)."""
        signer = account_signer(self._keys, record)
        payload: dict[str, object] = {"contact": list(contact)}
        reply = await self._client.post(record.url, payload, signer, "account")
        _check_open(reply.read(AccountObject, "account"))
        return account_changes.Updated(contact)

    async def _deactivate(
        self, record: AccountRecord, *, again: bool
    ) -> account_changes.Deactivated:
        """Post the status (section 7.3.6).

        From then on the account is refused with 401, and so is the request that is
        repeated because its answer was lost.
        """
        signer = account_signer(self._keys, record)
        payload: dict[str, object] = {"status": account_changes.DEACTIVATED}
        try:
            reply = await self._client.post(record.url, payload, signer, "account")
        except ProblemError as error:
            kind = error.problem.token
            closed = kind == "unauthorized" and (again or error.status == _UNAUTHORIZED)
            if not closed and kind != _UNKNOWN:
                raise
            return account_changes.Deactivated()
        status = reply.read(AccountObject, "account").status
        if status != account_changes.DEACTIVATED:
            raise ProtocolError(f"the ca says that the account is {printable(status)}")
        return account_changes.Deactivated()


def _key_change(directory: Directory) -> str:
    if directory.key_change is None:
        raise KeyChangeUnsupportedError(
            "the ca offers no key roll-over: its directory has no keyChange",
            hint="leave the account's key as it is, or ask the ca's operator",
        )
    return directory.key_change


def _registration_hint(
    error: ProblemError, record: AccountRecord, config: Account, directory: Directory
) -> str:
    """Return what a person can do about a refused registration."""
    path = f"account.{record.name}"
    kind = error.problem.token
    if kind == "externalAccountRequired":
        return f"ask the ca's operator for an external account binding, set {path}.eab"
    terms = directory.meta.terms_of_service
    if terms is not None and not config.terms_agreed:
        return (
            f"read the terms at {printable(terms, 200)} and, if you agree, set "
            f"{path}.terms_agreed = true"
        )
    if config.eab is not None and kind == "unauthorized":
        return f"the ca may not know the binding {config.eab.kid}, see {path}.eab"
    return error.hint


def _located(reply: Reply) -> str:
    if not reply.location:
        raise ProtocolError("the ca registered an account without a location")
    return reply.location


def _check_open(shown: AccountObject) -> None:
    """Refuse an account that is over (section 7.1.6): no request will ever pass."""
    if shown.status != "valid":
        raise AccountClosedError(
            f"the ca says that the account is {printable(shown.status)}",
            hint="ask the ca's operator, or let another account order",
        )


def _registered(reply: Reply, config: Account) -> register.Registered:
    url = _located(reply)
    shown = reply.read(AccountObject, "account")
    _check_open(shown)
    # An account that was there already has the contacts of then (section 7.3).
    contact = config.contact if reply.status == _CREATED else shown.contact
    eab = "" if config.eab is None else config.eab.kid
    return register.Registered(url, shown.orders or "", contact, eab)
