"""What stands where for dns-01: pure functions of names and key authorizations."""

import base64
import hashlib
from typing import Final, NamedTuple, Protocol

LABEL: Final = "_acme-challenge"
"""The label before the name that is proven (RFC 8555 section 8.4)."""


LABEL_OCTETS: Final = 10
"""Octets of a digest that name an account."""


class Change(NamedTuple):
    """One value of one TXT record, to be added or removed.

    Attributes:
        domain: The name that is proven.
        zone: The zone of the record; empty where nobody needs it.
        record: Where the value stands: `_acme-challenge` of the domain, or what that
            is an alias of.
        value: 43 characters; everybody may read it.
    """

    domain: str
    zone: str
    record: str
    value: str


class Provider(Protocol):
    """A way to change TXT records; both methods MUST be idempotent and bounded."""

    async def present(self, change: Change) -> None:
        """Add the value and leave other values of the record alone.

        Raises:
            DnsUpdateError: It was not added, or nobody knows.
        """
        ...

    async def remove(self, change: Change) -> None:
        """Remove exactly this value; MUST succeed where it is not there.

        Raises:
            DnsUpdateError: It was not removed, or nobody knows.
        """
        ...


def record_name(identifier: str) -> str:
    """Return where a CA looks for the TXT record of a name or of a wildcard.

    >>> record_name("*.example.org")
    '_acme-challenge.example.org'
    """
    return f"{LABEL}.{identifier.removeprefix('*.')}"


def account_record_name(identifier: str, account_url: str) -> str:
    """Return where a CA looks by dns-account-01 (draft-ietf-acme-dns-account-label).

    Every account has a record of its own, so that several may delegate their own; the
    label follows the account's URL and so survives a change of its key.
    """
    digest = hashlib.sha256(account_url.encode()).digest()
    label = base64.b32encode(digest[:LABEL_OCTETS]).decode().lower()
    return f"_{label}.{record_name(identifier)}"


def txt_value(key_authorization: str) -> str:
    """Return what the record must hold: base64url of SHA-256 (RFC 8555 section 8.4)."""
    digest = hashlib.sha256(key_authorization.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
