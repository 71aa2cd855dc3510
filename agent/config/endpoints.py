"""The tables of endpoints: how they are told and how they prove what they serve."""

from typing import Annotated, Literal

import msgspec

from agent.config.section import Section
from agent.config.units import Duration


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
        verify_peers: The snippet demands certificates of its peers, from the
            certificate's lists of trusted roots.
        staple: It staples OCSP answers; `must_staple` needs that.
        farewell: How it is taken out of service when its network function is
            decommissioned: told like for a new certificate, or not at all, because
            whoever runs it stops it.
        pin_source: RFC 7512 pin-source in the snippet's key URI, the endpoint's own.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9._-]{0,62})?$")] = ""
    reload: Reload | None = None
    verify: Verify | None = None
    key_reference: Literal["snippet", "pem-path", "fixed-uri"] = "snippet"
    template: Literal["nginx", "nginx-engine", "nginx-store"] = "nginx"
    verify_peers: bool = False
    staple: bool = False
    farewell: Literal["reload", "none"] = "reload"
    pin_source: Annotated[str, msgspec.Meta(pattern=r"^(file:)?/")] | None = None
