"""The solver of tls-alpn-01: which name is served with what, and for how long.

It knows names and presentations. Connections, certificates and the first octets of
clients are its neighbours'.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from agent.acme.messages import is_token
from agent.clock import Clock
from agent.config.challenges import TlsAlpn
from agent.ports import Presentation
from agent.solvers.door import Door
from agent.solvers.errors import BusyError, TokenSyntaxError
from agent.solvers.selfcheck import require_shown
from agent.solvers.tlsalpn01.handshakes import (
    NO_APPLICATION_PROTOCOL,
    UNRECOGNIZED_NAME,
    handshaking,
)
from agent.solvers.tlsalpn01.hello import ClientHello
from agent.solvers.tlsalpn01.validation import PROTOCOL, Validation, sni, validation

CHALLENGE: Final = "tls-alpn-01"


@dataclass(slots=True)
class _Served:
    """What one name is served with, and how many have presented it."""

    key_authorization: str = field(repr=False)
    made: Validation
    holders: int = 0


class TlsAlpn01:
    """The `Solver` of tls-alpn-01, one for the process.

    A CA says which name it validates and not which challenge, so a name is presented
    for one key authorization at a time; a second one waits.
    """

    def __init__(
        self,
        settings: TlsAlpn,
        clock: Clock,
        handed_over: Sequence[socket.socket] = (),
    ) -> None:
        """Serve as configured.

        Args:
            settings: The table `[tls-alpn-01]`.
            clock: Dates the certificates.
            handed_over: Listening sockets from systemd; see `Door`.
        """
        self._settings = settings
        self._clock = clock
        self._served: dict[str, _Served] = {}
        self._door = Door(CHALLENGE, settings.listen, handed_over, self._serving)

    @property
    def presented(self) -> frozenset[str]:
        """Return the server names that are answered now."""
        return frozenset(self._served)

    @property
    def where(self) -> tuple[tuple[str, int], ...]:
        """Return hosts and ports that are listened on now; empty when idle."""
        return self._door.where

    def ready(self) -> None:
        """Return where a challenge could be presented now; nothing is served.

        Raises:
            BindError: An address cannot be listened on.
        """
        self._door.ready()

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Serve the digest of a key authorization; the payload for the CA is `{}`.

        Raises:
            BindError: An address cannot be listened on.
            BusyError: Another challenge for the name is presented.
            TokenSyntaxError: The token is not base64url.
            SelfCheckError: We do not see our own certificate.
        """
        if not is_token(presentation.token):
            raise TokenSyntaxError(
                f"the challenge for {presentation.name} has a token that is not "
                "base64url"
            )
        name = sni(presentation.identifier)
        with self._remember(name, presentation) as made:
            async with self._door.held_open():
                await self._check(name, made)
                yield {}

    @contextmanager
    def _remember(self, name: str, presentation: Presentation) -> Iterator[Validation]:
        secret = presentation.key_authorization
        served = self._served.get(name)
        if served is None:
            made = validation(presentation.identifier, secret, self._clock.now())
            served = self._served[name] = _Served(secret, made)
        elif served.key_authorization != secret:
            raise BusyError(
                f"another challenge for {presentation.name} is being validated"
            )
        served.holders += 1
        try:
            yield served.made
        finally:
            served.holders -= 1
            if not served.holders:
                del self._served[name]

    def _serving(
        self, sockets: Sequence[socket.socket]
    ) -> AbstractAsyncContextManager[None]:
        return handshaking(sockets, self._choose)

    def _choose(self, hello: ClientHello) -> ssl.SSLContext | int:
        """Serve those who ask for nothing but `acme-tls/1` (RFC 8737 section 3)."""
        if hello.protocols != (PROTOCOL.encode(),):
            return NO_APPLICATION_PROTOCOL
        served = self._served.get(hello.server_name)
        return UNRECOGNIZED_NAME if served is None else served.made.context

    async def _check(self, name: str, made: Validation) -> None:
        if not self._settings.self_check:
            return
        await require_shown(
            self._door.where,
            partial(_look, name),
            (PROTOCOL, made.certificate),
            "the validation certificate",
        )


async def _look(name: str, host: str, port: int) -> tuple[str | None, bytes | None]:
    """Return the protocol and the certificate that an address shows for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([PROTOCOL])
    _, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=name
    )
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return tls.selected_alpn_protocol(), tls.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
