"""The resources of RFC 8555 section 7.1 as they come over the wire.

Unknown members are ignored (section 7.1: servers may extend). Statuses are text,
because a state that we do not know means "poll again", not a decoding error. Every
string is bounded, and URLs are opaque: they go back byte for byte.
"""

import re
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec

from agent.acme.errors import ProtocolError
from agent.acme.identifiers import Identifier
from agent.acme.problem import Problem, printable

Url = Annotated[str, msgspec.Meta(max_length=4096, pattern=r"^https://[!-~]+\Z")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""RFC 3339 with its offset; one without could not be compared with our clock."""
Status = Annotated[str, msgspec.Meta(max_length=64)]
MAX_IDENTIFIERS: Final = 100
MAX_SPAN: Final = 100 * 366 * 86400
"""Seconds of a century: longer spans of STAR are nobody's."""
Resource = TypeVar("Resource")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")


class Meta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`meta` of the directory; `terms_of_service` may be any URI, also `data:`.

    Attributes:
        profiles: Profiles by name (draft-ietf-acme-profiles); what they say is for
            people.
        auto_renewal: What STAR orders may ask for (RFC 8739 section 3.2); read where
            it is wanted, so that one which cannot be read costs nobody else anything.
    """

    terms_of_service: Annotated[str, msgspec.Meta(max_length=65536)] | None = None
    external_account_required: bool = False
    profiles: dict[str, object] | None = None
    auto_renewal: object = msgspec.field(name="auto-renewal", default=None)


class Directory(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The directory (section 7.1.1)."""

    new_nonce: Url
    new_account: Url
    new_order: Url
    revoke_cert: Url | None = None
    key_change: Url | None = None
    renewal_info: Url | None = None
    meta: Meta = msgspec.field(default_factory=Meta)


class AutoRenewalMeta(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """`auto-renewal` of the directory (RFC 8739 section 3.2); seconds."""

    min_lifetime: Annotated[int, msgspec.Meta(ge=0, le=MAX_SPAN)]
    max_duration: Annotated[int, msgspec.Meta(ge=1, le=MAX_SPAN)]
    allow_certificate_get: bool = False


class AutoRenewal(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """`auto-renewal` of an order (RFC 8739 section 3.1.1); seconds."""

    end_date: Instant
    lifetime: Annotated[int, msgspec.Meta(ge=1, le=MAX_SPAN)]
    lifetime_adjust: Annotated[int, msgspec.Meta(ge=0, le=MAX_SPAN)] = 0
    allow_certificate_get: bool = False


class AccountObject(msgspec.Struct, frozen=True, kw_only=True):
    """An account (section 7.1.2); many servers leave `orders` out."""

    status: Status = "valid"
    contact: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=4096)], ...],
        msgspec.Meta(max_length=100),
    ] = ()
    orders: Url | None = None


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge (section 7.1.5); newer types have no token.

    Attributes:
        issuers: `issuer-domain-names` of dns-persist-01.
        token_type: `tkauth-type` of tkauth-01.
        authority: `token-authority` of tkauth-01, a hint.
    """

    type: Annotated[str, msgspec.Meta(max_length=64)]
    url: Url
    status: Status = "pending"
    token: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    issuers: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=512)], ...],
        msgspec.Meta(max_length=50),
    ] = msgspec.field(name="issuer-domain-names", default=())
    token_type: Annotated[str, msgspec.Meta(max_length=64)] = msgspec.field(
        name="tkauth-type", default=""
    )
    authority: Annotated[str, msgspec.Meta(max_length=2048)] = msgspec.field(
        name="token-authority", default=""
    )
    error: Problem | None = None


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization (section 7.1.4)."""

    identifier: Identifier
    status: Status
    challenges: Annotated[tuple[Challenge, ...], msgspec.Meta(max_length=50)] = ()
    expires: Instant | None = None
    wildcard: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order (section 7.1.3); private CAs leave `authorizations` out."""

    status: Status
    finalize: Url
    identifiers: Annotated[
        tuple[Identifier, ...], msgspec.Meta(max_length=MAX_IDENTIFIERS)
    ] = ()
    authorizations: Annotated[
        tuple[Url, ...], msgspec.Meta(max_length=MAX_IDENTIFIERS)
    ] = ()
    expires: Instant | None = None
    certificate: Url | None = None
    error: Problem | None = None
    replaces: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    profile: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    auto_renewal: AutoRenewal | None = msgspec.field(name="auto-renewal", default=None)
    star_certificate: Url | None = msgspec.field(name="star-certificate", default=None)


class OrderList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of an account's orders (section 7.1.2.1)."""

    orders: tuple[Url, ...] = ()


def decode(body: bytes, kind: type[Resource], what: str) -> Resource:
    """Return the resource that a body holds.

    Raises:
        ProtocolError: The body is no such resource; names the member at fault.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = printable(str(error), 200)
        raise ProtocolError(f"the ca sent an unusable {what}: {reason}") from error
    except RecursionError as error:
        raise ProtocolError(f"the ca sent an unusable {what}: too deep") from error


def is_token(text: str | None) -> bool:
    """Tell whether a challenge's token has only base64url characters (section 8.3).

    Anything else would become a path or a header of somebody's choosing.
    """
    return bool(text) and _TOKEN.fullmatch(text or "") is not None
