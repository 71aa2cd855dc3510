"""The record of dns-persist-01 (draft-ietf-acme-dns-persist): who may certify a name.

It stands for years, is written in the syntax of a CAA issue value (RFC 8659 section
4.2), and says which CA may issue for which account. It holds no secret and no token.
"""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

LABEL: Final = "_validation-persist"
MAX_ISSUERS: Final = 10
"""A challenge names 1 to 10 issuers; another number is malformed."""

_MAX_NAME: Final = 253
_ISSUER: Final = re.compile(
    r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9]+")
_VALUE: Final = re.compile(r"[\x21-\x3a\x3c-\x7e]*")
_WILDCARD: Final = "wildcard"
_LAST: Final = datetime.max.replace(tzinfo=UTC).timestamp()


class Permission(NamedTuple):
    """What a CA must find.

    Attributes:
        issuers: Names of the CA, any of which the record may begin with.
        account_url: The account, octet for octet.
        wildcard: Names below are to be certified as well.
    """

    issuers: tuple[str, ...]
    account_url: str
    wildcard: bool


def record_name(name: str) -> str:
    """Return where the record of a name and of all names below it stands.

    >>> record_name("example.org")
    '_validation-persist.example.org'
    """
    return f"{LABEL}.{name}"


def are_issuers(names: Sequence[str]) -> bool:
    """Tell whether a challenge names issuers as it must: lower-case A-labels, no dot.

    Anything else would let a CA, or somebody in between, have text of his choosing
    written into DNS.
    """
    return 0 < len(names) <= MAX_ISSUERS and all(
        len(name) <= _MAX_NAME and _ISSUER.fullmatch(name) for name in names
    )


def record_value(permission: Permission, until: datetime | None = None) -> str:
    """Return what is to be written for the first of the issuers.

    Args:
        permission: With issuers that `are_issuers`.
        until: When the permission ends, if ever.
    """
    parts = [permission.issuers[0], f"accounturi={permission.account_url}"]
    if permission.wildcard:
        parts.append(f"policy={_WILDCARD}")
    if until is not None:
        parts.append(f"persistUntil={int(until.timestamp())}")
    return "; ".join(parts)


def permits(value: str, permission: Permission, now: datetime) -> bool:
    """Tell whether one TXT value gives a permission.

    Unknown parameters are ignored; a value that is not of the syntax, or that says the
    same parameter twice, gives none.
    """
    issuer, _, rest = value.partition(";")
    parameters = _parameters(rest)
    if parameters is None or issuer.strip(" \t").lower() not in permission.issuers:
        return False
    until = parameters.get("persistuntil")
    return (
        parameters.get("accounturi") == permission.account_url
        and (not permission.wildcard or _is_wildcard(parameters))
        and (until is None or _is_later(until, now))
    )


def permitted(values: Collection[str], permission: Permission, now: datetime) -> bool:
    """Tell whether any of a record's values gives a permission."""
    return any(permits(value, permission, now) for value in values)


def _parameters(text: str) -> dict[str, str] | None:
    """Return parameters by their tag in lower case; None for another syntax."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        tag, equals, value = (piece.strip(" \t") for piece in part.partition("="))
        if not (tag or equals):
            continue
        known = tag.lower() in found
        if known or not (equals and _TAG.fullmatch(tag) and _VALUE.fullmatch(value)):
            return None
        found[tag.lower()] = value
    return found


def _is_wildcard(parameters: dict[str, str]) -> bool:
    return parameters.get("policy", "").lower() == _WILDCARD


def _is_later(text: str, now: datetime) -> bool:
    """Tell whether seconds since 1970 are still to come; other texts never are."""
    plain = text.isascii() and text.isdecimal()
    return plain and now.timestamp() < min(float(text), _LAST)
