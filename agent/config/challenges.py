"""The tables of challenge types: how control of a name is proven."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from agent.config.section import Section
from agent.config.units import Duration, Program, SecretReference

Challenge = Literal[
    "http-01",
    "tls-alpn-01",
    "dns-01",
    "dns-account-01",
    "dns-persist-01",
    "tkauth-01",
]
"""The challenge types of this version; each has a line in `PROVES`."""


class Proves(NamedTuple):
    """What a challenge type can prove, beside plain dns names.

    Attributes:
        addresses: IP addresses (RFC 8738).
        wildcards: `*.example.org` (RFC 8555 section 7.1.3).
        network_functions: NF instance ids (TS 33.310 annex J), and lists of telephone
            numbers (RFC 9448).
        before: The longest text that it puts before a name; empty where none.
    """

    addresses: bool
    wildcards: bool
    network_functions: bool = False
    before: str = ""


PROVES: Final[Mapping[Challenge, Proves]] = {
    "http-01": Proves(addresses=True, wildcards=False),
    "tls-alpn-01": Proves(addresses=True, wildcards=False),
    # "The "dns-01" challenge MUST NOT be used" for addresses (RFC 8738 section 7)
    "dns-01": Proves(addresses=False, wildcards=True, before="_acme-challenge."),
    "dns-account-01": Proves(
        addresses=False, wildcards=True, before=f"_{'a' * 16}._acme-challenge."
    ),
    "dns-persist-01": Proves(
        addresses=False, wildcards=True, before="_validation-persist."
    ),
    "tkauth-01": Proves(addresses=False, wildcards=False, network_functions=True),
}


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


class TlsAlpn(Section, frozen=True, kw_only=True):
    """`[tls-alpn-01]`: where validation certificates are served.

    Attributes:
        listen: Addresses with ports, both families; `systemd` takes the socket that
            systemd hands over under the name `tls-alpn-01`.
        self_check: Shake hands with ourselves before the CA does.
    """

    listen: tuple[str, ...] = ("systemd",)
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

    command: Program
    timeout: Duration = "60s"


Option = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,62}$")]
"""What dns-lexicon calls a provider, or an option of one; never a path or a module."""


class Lexicon(Section, frozen=True, kw_only=True):
    """`lexicon = { ... }`: a provider of dns-lexicon, which is installed as an extra.

    Attributes:
        name: The provider, as dns-lexicon calls it.
        options: The provider's options that everybody may read.
        secrets: Its other options: where each one is.
        timeout: Longest time that one change may take; then its process is killed.
    """

    name: Option
    options: dict[Option, Annotated[str, msgspec.Meta(max_length=1000)]] = (
        msgspec.field(default_factory=dict)
    )
    secrets: dict[Option, SecretReference] = msgspec.field(default_factory=dict)
    timeout: Duration = "60s"


class Dns(Section, frozen=True, kw_only=True):
    """`[dns-01]`: how TXT records are written.

    Attributes:
        provider: `rfc2136` updates a server itself; `exec` runs an executable;
            `lexicon` takes a provider of dns-lexicon.
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
        lexicon: Which provider `lexicon` takes.
    """

    provider: Literal["rfc2136", "exec", "lexicon"]
    server: str | tuple[str, ...] = ()
    transport: Literal["tcp", "udp"] = "tcp"
    tsig: Tsig | None = None
    zone: str | None = None
    ttl: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 60
    propagation: Duration = "2m"
    resolvers: tuple[str, ...] = ()
    exec: Executable | None = None
    lexicon: Lexicon | None = None

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the servers as a tuple, also where one was given as text."""
        return (self.server,) if isinstance(self.server, str) else self.server


class DnsPersist(Section, frozen=True, kw_only=True):
    """`[dns-persist-01]`: who writes the standing records.

    Attributes:
        write: Write a record that is missing by the provider of `[dns-01]`; otherwise
            an operator provisions it.
        persist_until: When records that we write end; None for never.
        resolvers: Addresses of resolvers; empty takes those of `[dns-01]`, or of the
            host.
    """

    write: bool = False
    persist_until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    resolvers: tuple[str, ...] = ()
