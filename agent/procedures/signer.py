"""Who signs requests in the name of an account."""

from agent.acme.errors import ProtocolError
from agent.client import Signer
from agent.ports import Keys
from agent.records.others import AccountRecord


def account_signer(keys: Keys, account: AccountRecord) -> Signer:
    """Return who signs for a registered account.

    Raises:
        ProtocolError: The account has no key; jobs are not run before it has one.
    """
    key = account.key
    if key is None:
        raise ProtocolError("the account has no key")

    async def sign(data: bytes) -> bytes:
        return await keys.sign(key, data)

    return Signer(public=key.public, sign=sign, account_url=account.url or None)
