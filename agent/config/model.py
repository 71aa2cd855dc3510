"""The typed tree of `/etc/nfcertd/nfcertd.toml`; every default is the safe one.

Names that later work needs are reserved: they are known here so that they are refused
with their reason and not as a typing error.
"""

from typing import Annotated, Literal

import msgspec

from agent.config.units import Duration, Name, SecretReference
from agent.records.keys import KeyType


class Section(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Base of every table: unknown keys are refused."""


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


class Token(Section, frozen=True, kw_only=True):
    """`[token.NAME]`: a PKCS#11 token.

    Attributes:
        module: Path of the PKCS#11 module, a shared object.
        token: RFC 7512 URI that names the token by `token=` or `serial=`.
        pin: Where the user PIN is; None where the token needs no login.
        deadline: Longest time that one call into the module may take.
        hung_limit: How long a hung module may hold due work before the process ends.
        destroy: `never` leaves old keys to the HSM's own administration.
        relax: Attribute checks that this token cannot satisfy, by name.
    """

    module: Annotated[str, msgspec.Meta(pattern="^/")]
    token: Annotated[str, msgspec.Meta(pattern="^pkcs11:")]
    pin: SecretReference | None = None
    deadline: Duration = "30s"
    hung_limit: Duration = "10m"
    destroy: Literal["when-unused", "never"] = "when-unused"
    relax: tuple[
        Literal["sensitive", "always-sensitive", "never-extractable", "local"], ...
    ] = ()


class Ca(Section, frozen=True, kw_only=True):
    """`[ca.NAME]`: an ACME server.

    Attributes:
        directory: URL of the directory resource; https only.
        roots: PEM file of the anchors for its TLS and for its certificates, or
            `system`.
        chain_roots: PEM file of the anchors that issued chains must end in; default
            `roots`.
        allowed_hosts: Hosts, beside the directory's, that its URLs may name.
        timeout: Longest time that one request may take.
    """

    directory: Annotated[str, msgspec.Meta(pattern="^https://")]
    roots: Annotated[str, msgspec.Meta(pattern="^(/.+|system)$")]
    chain_roots: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    allowed_hosts: tuple[str, ...] = ()
    timeout: Duration = "30s"


class Key(Section, frozen=True, kw_only=True):
    """`key = { ... }`: where a key is made and how often it is replaced.

    Attributes:
        token: Name of a `[token.NAME]`; absent for software keys.
        file: True asks for a software key, in a file of mode 0600 or 0640.
        type: What kind of key.
        adopt: RFC 7512 URI of an existing key to use instead of making one.
        rotate: When a renewal makes a new key.
    """

    token: Name | None = None
    file: bool = False
    type: KeyType = "ec-p256"
    adopt: Annotated[str, msgspec.Meta(pattern="^pkcs11:")] | None = None
    rotate: Annotated[
        str, msgspec.Meta(pattern=r"^(every-renewal|never|(\d+(h|d|w))+)$")
    ] = "every-renewal"


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
        contact: URLs; most private CAs need none.
        terms_agreed: True is the operator's agreement to the CA's terms of service.
        eab: What binds the account to one that the CA knows already; used once.
    """

    ca: Name
    key: Key
    contact: tuple[str, ...] = ()
    terms_agreed: bool = False
    eab: Eab | None = None


class Listen(Section, frozen=True, kw_only=True):
    """`[http-01]`: how key authorizations are served.

    Attributes:
        listen: Addresses with ports, both families; `systemd` takes the socket that
            systemd hands over under the name `http-01`.
        webroot: Directory that another web server serves as
            `/.well-known/acme-challenge/`; used instead of a listener.
        self_check: Ask ourselves for the key authorization before the CA does.
    """

    listen: tuple[str, ...] = ("systemd",)
    webroot: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    self_check: bool = True


class Tsig(Section, frozen=True, kw_only=True):
    """`tsig = { ... }`: the key that signs updates (RFC 8945).

    Attributes:
        name: Name of the key, the same at the server.
        algorithm: MAC algorithm, the same at the server.
        key: Where the key is, base64 as key generators print it.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,253}$")]
    key: SecretReference
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"


class Executable(Section, frozen=True, kw_only=True):
    """`exec = { ... }`: an executable that changes TXT records.

    Attributes:
        command: Absolute path and further arguments; no shell reads them.
        timeout: Longest time that one run may take; then its process group is killed.
    """

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)]
    timeout: Duration = "60s"


class Dns(Section, frozen=True, kw_only=True):
    """`[dns-01]`: how TXT records are written.

    Attributes:
        provider: `rfc2136` updates a server itself; `exec` runs an executable.
        server: Addresses that take updates, with a port unless it is 53; a further
            one is asked only where those before it do not answer.
        transport: How updates travel.
        tsig: What signs updates; `rfc2136` needs it.
        zone: Zone of all records; None looks for the nearest SOA record.
        ttl: Seconds that resolvers may keep the records.
        propagation: How long the zone's servers may take to have a record; `0s` does
            not ask them.
        resolvers: Addresses of resolvers; empty takes those of the host.
        exec: What `exec` runs.
    """

    provider: Literal["rfc2136", "exec"]
    server: str | tuple[str, ...] = ()
    transport: Literal["tcp", "udp"] = "tcp"
    tsig: Tsig | None = None
    zone: str | None = None
    ttl: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 60
    propagation: Duration = "2m"
    resolvers: tuple[str, ...] = ()
    exec: Executable | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the servers as a tuple, also where one was given as text."""
        return (self.server,) if isinstance(self.server, str) else self.server


class Reload(Section, frozen=True, kw_only=True):
    """`reload = { ... }`: how an endpoint is told.

    Attributes:
        unit: systemd unit; signalled or reloaded through systemd.
        pidfile: Root-owned file with the main process id; needs the drop-in
            `signal.conf`.
        verb: `signal` sends `signal`; `reload` asks systemd to reload the unit.
        signal: Name of the signal.
        cgroup: Control group path that the pid of `pidfile` must be in.
    """

    unit: (
        Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:_.@\\-]+\.service$")] | None
    ) = None
    pidfile: Annotated[str, msgspec.Meta(pattern="^/")] | None = None
    verb: Literal["signal", "reload"] = "signal"
    signal: Literal["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT"] = "SIGHUP"
    cgroup: Annotated[str, msgspec.Meta(pattern="^/.")] | None = None


class Verify(Section, frozen=True, kw_only=True):
    """`verify = { ... }`: how an endpoint proves what it serves.

    Attributes:
        connect: Addresses with ports that are asked, all of them.
        server_name: SNI; default the certificate's first name that is no wildcard.
        within: How long after the signal the new certificate may take to be served.
    """

    connect: str | tuple[str, ...]
    server_name: str | None = None
    within: Duration = "10s"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the addresses as a tuple, also where one was given as text."""
        return (self.connect,) if isinstance(self.connect, str) else self.connect


class Endpoint(Section, frozen=True, kw_only=True):
    """`[[certificate.NAME.endpoint]]`: a TLS endpoint that uses the certificate.

    Attributes:
        name: Tells several endpoints of one certificate apart; empty for the only one.
        reload: How it is told; None where it watches the files itself.
        verify: How it proves what it serves; None where nothing can be asked.
        key_reference: How the endpoint's configuration refers to the key.
        template: Which snippet is written for it.
        pin_source: RFC 7512 pin-source in the snippet's key URI, the endpoint's own.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,62})?$")] = ""
    reload: Reload | None = None
    verify: Verify | None = None
    key_reference: Literal["snippet", "pem-path", "fixed-uri"] = "snippet"
    template: Literal["nginx", "nginx-engine", "nginx-store"] = "nginx"
    pin_source: Annotated[str, msgspec.Meta(pattern=r"^(file:)?/")] | None = None


class Certificate(Section, frozen=True, kw_only=True):
    """`[certificate.NAME]`: a certificate that is kept alive.

    Attributes:
        names: DNS names, the identifiers of the order and the SANs of the CSR; with
            dns-01 also wildcards, `*.example.org`.
        ca: Name of a `[ca.NAME]`, or a list with one name.
        account: Name of an `[account.NAME]`; default the CA's only account.
        key: Where its keys are made.
        challenge: How control of the names is proven.
        endpoint: Who uses it.
        deploy: `manual` waits for `nfcertd release NAME` before an endpoint is told.
        grace: How long an unused key is kept before it is destroyed.
        renew_at: Fraction of the lifetime after which it is renewed.
        group: Group that may read the published files.
        readers: POSIX ACL entries, such as `user:haproxy`, that may read them as well.
    """

    names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)]
    ca: Name | Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    key: Key
    account: Name | None = None
    challenge: Literal["http-01", "dns-01"] = "http-01"
    endpoint: tuple[Endpoint, ...] = ()
    deploy: Literal["auto", "manual"] = "auto"
    grace: Duration = "24h"
    renew_at: Annotated[float, msgspec.Meta(ge=0.1, le=0.95)] | None = None
    group: str | None = None
    readers: tuple[
        Annotated[str, msgspec.Meta(pattern=r"^(user|group):[a-z_][a-z0-9_-]*$")], ...
    ] = ()


class Config(Section, frozen=True, kw_only=True):
    """The whole tree."""

    agent: Agent = msgspec.field(default_factory=Agent)
    http01: Listen = msgspec.field(name="http-01", default_factory=Listen)
    dns01: Dns | None = msgspec.field(name="dns-01", default=None)
    token: dict[Name, Token] = msgspec.field(default_factory=dict)
    ca: dict[Name, Ca] = msgspec.field(default_factory=dict)
    account: dict[Name, Account] = msgspec.field(default_factory=dict)
    certificate: dict[Name, Certificate] = msgspec.field(default_factory=dict)
