"""The typed tree of `/etc/nfcertd/nfcertd.toml`; every default is the safe one.

Names that later work needs are reserved: they are known here so that they are refused
with their reason and not as a typing error.
"""

from typing import Annotated, Literal

import msgspec

from agent.config.attestation import Attestation
from agent.config.authorities import Account, Ca
from agent.config.bootstrap import Bootstrap
from agent.config.challenges import Challenge, Dns, DnsPersist, Listen, TlsAlpn
from agent.config.endpoints import Endpoint
from agent.config.hook import Hook
from agent.config.nf import IdentifierType, Nf, Subject
from agent.config.numbers import TnAuthList
from agent.config.orders import Profile, ProfileName
from agent.config.section import Section
from agent.config.star import Star
from agent.config.token_authority import TokenAuthority
from agent.config.tokens import Key, Token
from agent.config.trail import Audit
from agent.config.trust import Trust
from agent.config.units import Duration, Name
from agent.sba.purposes import KeyUsage, Purpose


class Agent(Section, frozen=True, kw_only=True):
    """`[agent]`: the daemon itself.

    Attributes:
        state: Directory of records and certificates.
        runtime: Directory of the two control sockets.
        health: Address and port of the health and metrics listener; empty for none.
        log_level: Least severity that is logged.
        clock: `auto` waits up to 10 minutes for a synchronised clock, `assume` trusts
            it.
        destroy_uids: Users beside root who may use destroying verbs.
    """

    state: str = "/var/lib/nfcertd"
    runtime: str = "/run/nfcertd"
    health: str = "127.0.0.1:9469"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    clock: Literal["auto", "assume"] = "auto"
    destroy_uids: tuple[int, ...] = ()


class Status(Section, frozen=True, kw_only=True):
    """`[certificate.NAME.status]`: whether its CA has revoked it.

    Attributes:
        check: Ask for it, where the certificate says whom.
        allow: Networks such as `127.0.0.0/8` that may be asked although their
            addresses are those of this host or of its link.
    """

    check: bool = True
    allow: tuple[str, ...] = ()


class Certificate(Section, frozen=True, kw_only=True):
    """`[certificate.NAME]`: a certificate that is kept alive.

    Attributes:
        names: DNS names in A-labels and IP addresses, the identifiers of the order and
            the SANs of the CSR; with dns-01 also wildcards, `*.example.org`. Default:
            those of its NF, where it serves.
        nf: Name of an `[nf.NAME]` that it is a certificate of.
        purpose: What it is for; `tls` where it names an NF.
        identifiers: Types of identifiers that are ordered; default those of its CA.
        subject: Its subject; default that of its NF.
        san: All its alternative names: DNS names, addresses, URIs; default its names
            and the URI of its NF.
        key_usage: Bits of its keyUsage; default those of its purpose.
        extended_key_usage: Its extended key usages, by name or dotted; default those of
            its purpose.
        nf_types: Its NF types; default those of its NF.
        tn_auth_list: Telephone numbers and service provider codes that it is for.
        attestation: The device that its keys are in, ordered beside the names.
        ca: Name of a `[ca.NAME]`, or a list: the first one, then those that stand in
            for it.
        account: Name of an `[account.NAME]`; default the CA's only account.
        accounts: One for each CA of the list that has several.
        key: Where its keys are made.
        challenge: How control of the names is proven.
        token_authority: Name of the `[token-authority.NAME]` that tkauth-01 asks;
            default the only one.
        profile: Name of the CA's profile, required; or a table that only prefers it.
        must_staple: Demand stapled OCSP answers (RFC 7633) of whoever serves it.
        chain: The anchor that its chain ends in where the CA offers several: the
            common name of its subject, or `sha256:` and its fingerprint.
        endpoint: Who uses it.
        trust: Names of `[trust.NAME]`, the lists that its peers' roots are in.
        deploy: `manual` waits for `nfcertd release NAME` before an endpoint is told.
        star: Have the CA renew it by itself (RFC 8739).
        grace: How long an unused key is kept before it is destroyed.
        renew_at: Fraction of the lifetime after which it is renewed.
        group: Group that may read the published files.
        status: How its revocation is watched for.
        readers: POSIX ACL entries, such as `user:haproxy`, that may read them as well.
    """

    ca: Name | Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    key: Key
    names: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    nf: Name | None = None
    purpose: Purpose | None = None
    identifiers: (
        Annotated[tuple[IdentifierType, ...], msgspec.Meta(min_length=1, max_length=2)]
        | None
    ) = None
    subject: Subject | None = None
    san: (
        Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)] | None
    ) = None
    key_usage: Annotated[tuple[KeyUsage, ...], msgspec.Meta(min_length=1)] | None = None
    extended_key_usage: (
        Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)] | None
    ) = None
    nf_types: (
        Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)] | None
    ) = None
    tn_auth_list: TnAuthList | None = None
    attestation: Attestation | None = None
    account: Name | None = None
    accounts: tuple[Name, ...] = ()
    challenge: Challenge = "http-01"
    token_authority: Name | None = None
    profile: ProfileName | Profile | None = None
    must_staple: bool = False
    chain: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    endpoint: tuple[Endpoint, ...] = ()
    trust: Annotated[tuple[Name, ...], msgspec.Meta(max_length=4)] = ()
    deploy: Literal["auto", "manual"] = "auto"
    star: Star | None = None
    grace: Duration = "24h"
    renew_at: Annotated[float, msgspec.Meta(ge=0.1, le=0.95)] | None = None
    status: Status = msgspec.field(default_factory=Status)
    group: str | None = None
    readers: tuple[
        Annotated[str, msgspec.Meta(pattern=r"^(user|group):[a-z_][a-z0-9_-]*$")], ...
    ] = ()

    @property
    def wished_profile(self) -> Profile | None:
        """Return the profile as a table, also where only its name was given."""
        if isinstance(self.profile, str):
            return Profile(name=self.profile)
        return self.profile


class Config(Section, frozen=True, kw_only=True):
    """The whole tree."""

    agent: Agent = msgspec.field(default_factory=Agent)
    audit: Audit = msgspec.field(default_factory=Audit)
    bootstrap: Bootstrap | None = None
    http01: Listen = msgspec.field(name="http-01", default_factory=Listen)
    tlsalpn01: TlsAlpn = msgspec.field(name="tls-alpn-01", default_factory=TlsAlpn)
    dns01: Dns | None = msgspec.field(name="dns-01", default=None)
    dnspersist01: DnsPersist = msgspec.field(
        name="dns-persist-01", default_factory=DnsPersist
    )
    token: dict[Name, Token] = msgspec.field(default_factory=dict)
    ca: dict[Name, Ca] = msgspec.field(default_factory=dict)
    account: dict[Name, Account] = msgspec.field(default_factory=dict)
    token_authority: dict[Name, TokenAuthority] = msgspec.field(
        name="token-authority", default_factory=dict
    )
    trust: dict[Name, Trust] = msgspec.field(default_factory=dict)
    nf: dict[Name, Nf] = msgspec.field(default_factory=dict)
    certificate: dict[Name, Certificate] = msgspec.field(default_factory=dict)
    hook: dict[Name, Hook] = msgspec.field(default_factory=dict)
