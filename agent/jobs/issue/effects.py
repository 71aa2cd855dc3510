"""What an issue job can have done, and what can come of it."""

from dataclasses import dataclass
from datetime import datetime

from agent.acme.messages import Authorization, Order
from agent.jobs.step import Failed
from agent.pki.chain import CheckedChain
from agent.records.phases import AuthorizationRecord, OrderRecord
from agent.records.star import StarTerms, StarWanted
from agent.sba.findings import Finding


@dataclass(frozen=True, slots=True)
class MakeKey:
    """Make the key whose CKA_ID is durable."""

    key: str
    name = "make-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a newOrder asks for beyond RFC 8555, where the CA offers it.

    Attributes:
        replaces: The certificate that is renewed (RFC 9773 section 5), or empty.
        profile: The profile (draft-ietf-acme-profiles), or empty.
        required: No other profile will do.
        star: What is wanted of a STAR order (RFC 8739); None for a usual one.
    """

    replaces: str = ""
    profile: str = ""
    required: bool = False
    star: StarWanted | None = None


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """Post newOrder; not idempotent, so an unanswered one is looked for first."""

    key: str
    extras: Extras = Extras()
    name = "create-order"


@dataclass(frozen=True, slots=True)
class FindOrder:
    """Look in the account's list for the order whose answer was lost."""

    key: str
    name = "find-order"


@dataclass(frozen=True, slots=True)
class FetchAuthorization:
    """Ask for the state of an authorization; keeps what is answered presented.

    The others of the order as well: the CA validates them meanwhile.
    """

    authorization: AuthorizationRecord
    others: tuple[AuthorizationRecord, ...] = ()
    name = "fetch-authorization"


@dataclass(frozen=True, slots=True)
class Answer:
    """Present the challenge and tell the CA that it is ready.

    The others of the order are presented first as well: where two share a TXT record,
    a cache between us and the CA would keep the answer that held only one.
    """

    authorization: AuthorizationRecord
    others: tuple[AuthorizationRecord, ...] = ()
    name = "answer"


@dataclass(frozen=True, slots=True)
class Finalize:
    """Post the certification request."""

    key: str
    order: OrderRecord
    name = "finalize"


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """Ask for the state of the order."""

    order: OrderRecord
    name = "fetch-order"


@dataclass(frozen=True, slots=True)
class Download:
    """Fetch the chain and hold it against order, key and anchors.

    `star` says what was agreed for the series that it is the first one of.
    """

    key: str
    certificate: str
    star: StarTerms | None = None
    name = "download"


Effect = (
    MakeKey
    | CreateOrder
    | FindOrder
    | FetchAuthorization
    | Answer
    | Finalize
    | FetchOrder
    | Download
)


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """The CA showed an order; `retry_at` is its Retry-After.

    `star_asked` tells that a STAR order was asked for by this very request.
    """

    url: str
    order: Order
    retry_at: datetime | None = None
    star_asked: bool = False

    @property
    def ignored_star(self) -> bool:
        """Tell whether the CA has silently made a usual order of a STAR order."""
        return self.star_asked and self.order.auto_renewal is None


@dataclass(frozen=True, slots=True)
class OrderNotFound:
    """The account's list holds no open order with our names."""


@dataclass(frozen=True, slots=True)
class AuthorizationSeen:
    """The CA showed an authorization; challenge and token are those we can answer.

    So are the issuers that dns-persist-01 accepts in a record, and what tkauth-01 says
    of the token that it wants.
    """

    authorization: Authorization
    challenge: str
    token: str
    challenge_status: str
    retry_at: datetime | None = None
    issuers: tuple[str, ...] = ()
    token_type: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The CA has taken the answer to a challenge."""

    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The chain has passed every check.

    Attributes:
        chain: What is published.
        renewal_info: The CA offers renewal information (RFC 9773).
        findings: Rules of its profile that the leaf breaks; an error forbids its use.
    """

    chain: CheckedChain
    renewal_info: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyExists:
    """The key was made, or was found made: its SPKI in DER and its token's serial."""

    public: bytes
    token_serial: str


Outcome = (
    OrderSeen
    | OrderNotFound
    | AuthorizationSeen
    | Answered
    | Downloaded
    | KeyExists
    | Failed
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What an issue job must know of the world.

    Attributes:
        account_ready: The account has a URL.
        account_reason: Why it has none, for `plan`.
        account_at: When it is tried again, if that is known.
        in_service_until: When the certificate in service ends.
        extras: What an order asks for beyond its names.
    """

    account_ready: bool
    account_reason: str
    account_at: datetime | None = None
    in_service_until: datetime | None
    extras: Extras = Extras()
