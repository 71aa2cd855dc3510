"""The switches of the test CA: everything a test may choose before it starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from cryptography import x509

from tests.ca.issuing import Profile
from tests.ca.series import AutoRenewal
from tests.ca.statements import Statements

Address = tuple[str, int]
Resolver = Mapping[str, Address] | Callable[[str], Address]
"""Where http-01 connects for a name: KeyError or LookupError means no such name."""


def system_now() -> datetime:
    """Return the wall time of the host."""
    return datetime.now(UTC)


class Authorizations(Enum):
    """What has to be proven for an order."""

    REQUIRED = auto()
    """Every identifier, by a challenge."""
    BORN_VALID = auto()
    """Nothing: authorizations are listed and already valid, the order is ready."""
    NONE = auto()
    """Nothing: no authorization is listed, the order is ready."""
    MISSING = auto()
    """Nothing: the order is ready, and has no list of authorizations."""
    PENDING_NONE = auto()
    """Nothing: no authorization is listed, and the order is ready at the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How this CA behaves.

    Attributes:
        host: Name or address in the URLs; the CA listens on 127.0.0.1 in any case.
        port: TCP port, or zero for a free one.
        now: The time of the CA, aware UTC; TLS itself lives in real time.
        resolve: Where http-01 connects for a name.
        tls_alpn: Where tls-alpn-01 connects for a name; None does not offer it.
        token_authorities: Roots of the authorities whose tokens are believed; none does
            not offer tkauth-01.
        device_makers: Roots of those whose attestations are believed; none does not
            offer device-attest-01.
        authority_hint: `token-authority` of a tkauth-01 challenge.
        dns: DNS server that dns-01 asks; None does not offer dns-01, nor wildcards.
        dns_types: Which challenge types are offered by that server.
        issuer_names: What dns-persist-01 calls this CA.
        terms: URL of the terms of service; set means that they must be agreed to.
        meta: Further members of the directory's `meta`.
        directory: Further members of the directory.
        eab_keys: MAC keys by key identifier; their presence makes EAB verified.
        eab_required: Refuse newAccount without a binding.
        eab_once: Refuse a binding whose key identifier has registered an account.
        algorithms: JWS algorithms that are taken.
        identifier_types: Types that may be ordered.
        rejected_names: Identifier values that are refused.
        authorizations: What an order has to prove.
        reuse_authorizations: Whether valid ones of the account are listed again.
        order_lifetime: How long an order may stay open.
        authorization_lifetime: How long a proof is good.
        profile: What is put into certificates.
        order_polls: Polls for which every finalized order stays processing.
        challenge_polls: Polls for which every answered challenge stays processing.
        retry_after: Seconds announced while something is processing, or None.
        orders_list: Whether accounts have an `orders` URL.
        alternate_chains: How many other roots certify the issuing key.
        include_root: Whether chains end in their root.
        validity_dates: Whether newOrder may ask for notBefore and notAfter.
        statements: Whether and how CRLs and OCSP responses are served; certificates
            then say where.
        revocation_reasons: Reason codes that a subscriber may use.
        profiles: What is put into certificates by the profile of their order; empty
            does not know profiles.
        default_profile: The profile of orders that name none.
        rejected_profiles: Profiles that are advertised and refused.
        echo_profile: Whether an order shows its profile.
        signer_url: `x5u` of valid orders for telephone numbers (RFC 9448 7).
        certifies_numbers: Whether their TNAuthList is put into certificates.
        auto_renewal: How STAR is spoken; None does not know it.
        renewal_info: Offer renewal information (RFC 9773).
        ask_again: Seconds after which renewal information is to be asked for again, or
            a span, told as a date; None says nothing.
        validation_timeout: Real time that one validation may take.
    """

    host: str = "127.0.0.1"
    port: int = 0
    now: Callable[[], datetime] = system_now
    resolve: Resolver = field(default_factory=dict)
    tls_alpn: Resolver | None = None
    token_authorities: tuple[x509.Certificate, ...] = ()
    device_makers: tuple[x509.Certificate, ...] = ()
    authority_hint: str | None = None
    dns: Address | None = None
    dns_types: tuple[str, ...] = ("dns-01",)
    issuer_names: tuple[str, ...] = ("ca.example",)
    terms: str | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    directory: Mapping[str, object] = field(default_factory=dict)
    eab_keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    eab_required: bool = False
    eab_once: bool = False
    algorithms: tuple[str, ...] = ("ES256", "ES384", "RS256", "EdDSA")
    identifier_types: frozenset[str] = frozenset({"dns", "ip"})
    rejected_names: frozenset[str] = frozenset()
    authorizations: Authorizations = Authorizations.REQUIRED
    reuse_authorizations: bool = False
    order_lifetime: timedelta = timedelta(days=7)
    authorization_lifetime: timedelta = timedelta(days=30)
    profile: Profile = field(default_factory=Profile)
    order_polls: int = 0
    challenge_polls: int = 0
    retry_after: int | None = None
    orders_list: bool = True
    alternate_chains: int = 0
    include_root: bool = False
    validity_dates: bool = False
    statements: Statements | None = None
    revocation_reasons: frozenset[int] = frozenset({0, 1, 3, 4, 5, 9})
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    default_profile: str = ""
    rejected_profiles: frozenset[str] = frozenset()
    echo_profile: bool = True
    signer_url: str | None = None
    certifies_numbers: bool = True
    auto_renewal: AutoRenewal | None = None
    renewal_info: bool = False
    ask_again: int | timedelta | None = 21600
    validation_timeout: timedelta = timedelta(seconds=5)
