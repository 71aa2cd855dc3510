"""The tables of CAs and their accounts."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from agent.config.nf import Csr, IdentifierType, Level
from agent.config.section import Section
from agent.config.tokens import AccountKey
from agent.config.units import Duration, Name, SecretReference


class ClientIdentity(Section, frozen=True, kw_only=True):
    """`client = { ... }`: who we are toward a CA that wants mutual TLS.

    Attributes:
        certificate: PEM file of our certificate and its intermediates.
        key: Where its key is, PEM without a passphrase.
    """

    certificate: Annotated[str, msgspec.Meta(pattern="^/")]
    key: Annotated[
        str, msgspec.Meta(pattern=r"^(credential:[A-Za-z0-9._-]+|file:/.+|pkcs11:.+)$")
    ]


class Ca(Section, frozen=True, kw_only=True):
    """`[ca.NAME]`: an ACME server.

    Attributes:
        directory: URL of the directory resource; https only.
        roots: PEM file of the anchors for its TLS and for its certificates, `system`,
            or `trust:NAME`, the list of that name.
        chain_roots: PEM file of the anchors that issued chains must end in, or
            `trust:NAME`; default `roots`.
        allowed_hosts: Hosts, beside the directory's, that its URLs may name.
        timeout: Longest time that one request may take.
        client: What we prove ourselves with in TLS, for a CA that wants it.
        proxy: URL of an HTTP proxy that is asked to CONNECT; never the environment's.
        trusted_by_peers: The peers of our endpoints trust its anchors, so that it may
            stand in for another CA of a certificate's list.
        concurrency: Certificates that are ordered from it at the same time.
        requests_per_second: Bound on the requests to it; as many may go at once.
        orders_per_hour: Bound on the orders, one in 20 of them at once; None for none.
        identifiers: Types of identifiers that are ordered for an NF.
        csr: What it takes in requests for certificates of NFs.
        issuers: PEM file of the certificates that must have signed what it issues
            directly; None where any issuer below the roots may.
        lint: Level of each rule of the profile, by its id; `default` for all others.
        on_lint_error: What becomes of a certificate that is refused for its profile.
    """

    directory: Annotated[str, msgspec.Meta(pattern="^https://")]
    roots: Annotated[str, msgspec.Meta(pattern="^(/.+|system|trust:.+)$")]
    chain_roots: Annotated[str, msgspec.Meta(pattern="^(/|trust:.)")] | None = None
    allowed_hosts: tuple[str, ...] = ()
    timeout: Duration = "30s"
    client: ClientIdentity | None = None
    proxy: (
        Annotated[str, msgspec.Meta(pattern=r"^http://[^\s/?#@]+:\d{1,5}/?$")] | None
    ) = None
    trusted_by_peers: bool = False
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    requests_per_second: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 20.0
    orders_per_hour: Annotated[int, msgspec.Meta(ge=1, le=100000)] | None = None
    identifiers: Annotated[
        tuple[IdentifierType, ...], msgspec.Meta(min_length=1, max_length=2)
    ] = ("NfInstanceId", "dns")
    csr: Csr = Csr()
    issuers: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    lint: dict[str, Level] = msgspec.field(default_factory=dict)
    on_lint_error: Literal["keep", "revoke"] = "keep"


class Eab(Section, frozen=True, kw_only=True):
    """`eab = { ... }`: external account binding (RFC 8555 section 7.3.4).

    Attributes:
        kid: Key identifier that the CA gave.
        key: Where the MAC key is, base64url as the CA gave it.
        algorithm: MAC algorithm of the binding.
    """

    kid: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,256}$")]
    key: SecretReference
    algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"


class Account(Section, frozen=True, kw_only=True):
    """`[account.NAME]`: an ACME account.

    Attributes:
        ca: Name of a `[ca.NAME]`.
        key: The account key; never equal to a certificate key.
        contact: URLs; most private CAs need none. A change is told to the CA.
        terms_agreed: True is the operator's agreement to the CA's terms of service.
        eab: What binds the account to one that the CA knows already; used once.
        grace: How long a key that was replaced is kept before it is destroyed.
    """

    ca: Name
    key: AccountKey
    contact: tuple[str, ...] = ()
    terms_agreed: bool = False
    eab: Eab | None = None
    grace: Duration = "24h"


def allowed_hosts(table: Ca) -> frozenset[str]:
    """Return the hosts that a CA's URLs may name: its directory's, and those listed."""
    own = urlsplit(table.directory).netloc.lower()
    return frozenset({own, *(host.lower() for host in table.allowed_hosts)})
