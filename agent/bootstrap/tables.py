"""What a bundle may say: identity and trust, never what runs on the host.

These are the tables of the configuration without every key that names a path, a
program, a module, a unit, a token or a proxy: those the host's own files say. What a
file holds there stands here as text, and what a reference names there stands here
encrypted. docs/bootstrap.md is the same in words.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from agent.config.nf import Country, Csr, IdentifierType, Plmn, Snpn
from agent.config.section import Section
from agent.config.token_authority import Https, Obeyed
from agent.config.trust import Url
from agent.config.units import Duration, Name

Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=50_000)]
"""Certificates, or one public key, as the text of a PEM file."""
Sealed = Annotated[
    str,
    msgspec.Meta(pattern=r"^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$", max_length=8192),
]
"""A secret: a compact JWE (RFC 7516 section 7.1) to the host's key."""
Instance = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class IdentityTable(Section, frozen=True, kw_only=True):
    """`client`: who the host is toward a peer that wants mutual TLS."""

    certificate: Pem
    key: Sealed


class CaTable(Section, frozen=True, kw_only=True):
    """`ca.NAME`: as `[ca.NAME]`; its anchors are always its own."""

    directory: Https
    roots: Pem
    chain_roots: Pem | None = None
    issuers: Pem | None = None
    allowed_hosts: Annotated[tuple[str, ...], msgspec.Meta(max_length=32)] = ()
    timeout: Duration = "30s"
    client: IdentityTable | None = None
    trusted_by_peers: bool = False
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    requests_per_second: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 20.0
    orders_per_hour: Annotated[int, msgspec.Meta(ge=1, le=100000)] | None = None
    identifiers: Annotated[
        tuple[IdentifierType, ...], msgspec.Meta(min_length=1, max_length=2)
    ] = ("NfInstanceId", "dns")
    csr: Csr = Csr()


class EabTable(Section, frozen=True, kw_only=True):
    """`eab` of an account: its MAC key is a secret."""

    kid: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,256}$")]
    key: Sealed
    algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"


class AccountTable(Section, frozen=True, kw_only=True):
    """`account.NAME`: as `[account.NAME]`; where its key is made the host says."""

    ca: Name
    contact: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] = ()
    terms_agreed: bool = False
    eab: EabTable | None = None


class NfTable(Section, frozen=True, kw_only=True):
    """`nf.NAME`: as `[nf.NAME]`."""

    instance_id: str
    types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    fqdn: str | tuple[str, ...] = ()
    plmn: Plmn | None = None
    snpn: Snpn | None = None
    country: Country | None = None


class AuthorityTable(Section, frozen=True, kw_only=True):
    """`token-authority.NAME`: as `[token-authority.NAME]`."""

    url: Https
    roots: Pem
    client: IdentityTable | None = None
    bearer: Sealed | None = None
    wrap_atc: bool = False
    reuse: bool = True
    obey: Annotated[tuple[Obeyed, ...], msgspec.Meta(max_length=32)] = ()
    timeout: Duration = "30s"


class TrustTable(Section, frozen=True, kw_only=True):
    """`trust.NAME`: as `[trust.NAME]`, from an EST server or signed; never a file."""

    est: Url | None = None
    signed: Url | None = None
    roots: Pem
    signer: Pem | None = None
    list: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    interval: Duration = "6h"
    timeout: Duration = "30s"
    overlap: Duration = "30d"
    delay: Duration = "24h"
    max_step: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100


class Payload(Section, frozen=True, kw_only=True):
    """What is signed.

    Attributes:
        version: Of this form.
        instance: Which host it is for, as its `[bootstrap]` calls it.
        sequence: Rises with every bundle for a host.
        issued: When it was made; a host does not take it before.
        expires: Until when a host takes it; what was taken stays in force.
        ca: CAs.
        account: Accounts at them, or at CAs of the host's files.
        nf: Network functions on the host.
        token_authority: Who attests identifiers.
        trust: Lists of trusted roots that are followed.
    """

    version: Literal[1]
    instance: Instance
    sequence: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    issued: Annotated[datetime, msgspec.Meta(tz=True)]
    expires: Annotated[datetime, msgspec.Meta(tz=True)]
    ca: dict[Name, CaTable] = msgspec.field(default_factory=dict)
    account: dict[Name, AccountTable] = msgspec.field(default_factory=dict)
    nf: dict[Name, NfTable] = msgspec.field(default_factory=dict)
    token_authority: dict[Name, AuthorityTable] = msgspec.field(
        name="token-authority", default_factory=dict
    )
    trust: dict[Name, TrustTable] = msgspec.field(default_factory=dict)


TABLES: Final[Mapping[str, type[Section]]] = {
    "ca": CaTable,
    "account": AccountTable,
    "nf": NfTable,
    "token-authority": AuthorityTable,
    "trust": TrustTable,
}
"""The tables of a bundle, by the names that they have in the configuration."""
