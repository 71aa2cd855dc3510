"""All key stores of the configuration behind one port: tokens by name, and files.

It knows which store a key is in. It loads PKCS#11 only when a token is configured: the
binding costs memory that a host without a token should not pay.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent.clock import Clock
from agent.config import tokens as tables
from agent.config.units import duration
from agent.keys.errors import PinUnprovenError, TokenAbsentError
from agent.keys.ports import AdoptedKey, PinLedger, TokenKey, TokenStatus
from agent.keys.software import FileKeys
from agent.pki.uri import token_uri
from agent.ports import MadeKey
from agent.records.keys import FILE_STORE, KeyRecord, PinStatus

if TYPE_CHECKING:
    from agent.keys.module import Module
    from agent.keys.token import Token


class _Store(Protocol):
    """What every store does with a key."""

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make the key or find it."""
        ...

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Sign in the shape of JWS."""
        ...

    async def use(
        self, key: KeyRecord, work: Callable[[CertificateIssuerPrivateKeyTypes], bytes]
    ) -> bytes:
        """Run `work` with the private key."""
        ...

    async def destroy(self, key: KeyRecord) -> None:
        """Destroy the key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the key stores need from the process.

    Attributes:
        clock: Where time comes from.
        ledger: The durable memory of PINs.
        read_secret: Resolves a reference of the configuration to a secret.
        files: The store of software keys.
        draw: Source of random octets.
    """

    clock: Clock
    ledger: PinLedger
    read_secret: Callable[[str], bytes]
    files: FileKeys
    draw: Callable[[int], bytes] = field(default=secrets.token_bytes)


class Keys:
    """Keys by their record, wherever they are; satisfies `agent.ports.Keys`.

    One instance serves the whole process: two of them would put two threads into one
    PKCS#11 module.
    """

    def __init__(
        self, tokens: Mapping[str, tables.Token], surroundings: Surroundings
    ) -> None:
        """Take the tables `[token.NAME]`; no token is contacted yet."""
        self._surroundings = surroundings
        self._modules: dict[str, Module] = {}
        self._settings: dict[str, tables.Token] = {}
        self._tokens: dict[str, Token] = {}
        self.configure(tokens)

    @property
    def files(self) -> FileKeys:
        """Return the store of software keys."""
        return self._surroundings.files

    @property
    def tokens(self) -> tuple[str, ...]:
        """Return the names of the configured tokens."""
        return tuple(self._tokens)

    def configure(self, tokens: Mapping[str, tables.Token]) -> None:
        """Take a new configuration; tokens whose table is unchanged stay logged in.

        Raises:
            agent.pki.uri.UriError: A token's URI is none; nothing has changed then.
        """
        changed = {
            name: self._token(name, settings)
            for name, settings in tokens.items()
            if self._settings.get(name) != settings
        }
        kept = {name: self._tokens[name] for name in tokens if name not in changed}
        self._tokens = kept | changed
        self._settings = dict(tokens)

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make the key, or find it where a crash hid that it was made already."""
        return await self._store(key).make(key)

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Return a JWS signature (RFC 7518: raw r||s for EC) over unhashed data."""
        return await self._store(key).sign(key, data)

    async def use(
        self, key: KeyRecord, work: Callable[[CertificateIssuerPrivateKeyTypes], bytes]
    ) -> bytes:
        """Run `work` where blocking signatures are allowed, with the private key."""
        return await self._store(key).use(key, work)

    async def destroy(self, key: KeyRecord) -> None:
        """Destroy private and public object; succeeds where neither exists."""
        await self._store(key).destroy(key)

    async def adopt(self, token: str, uri: str) -> AdoptedKey:
        """Return the existing key that a URI names on a token."""
        return await self.token(token).adopt(uri)

    async def list_keys(self, token: str) -> tuple[TokenKey, ...]:
        """Return every key pair on a token, also those that are not ours."""
        return await self.token(token).list_keys()

    async def check(self, token: str) -> TokenStatus:
        """Contact a token cheaply; raises where it is down."""
        return await self.token(token).check()

    def status(self) -> dict[str, TokenStatus]:
        """Return what the last contact with each token showed; makes none."""
        return {name: token.status() for name, token in self._tokens.items()}

    def token(self, name: str) -> "Token":
        """Return a token by its name in the configuration.

        Raises:
            TokenAbsentError: The configuration has no such table (any more).
        """
        try:
            return self._tokens[name]
        except KeyError:
            raise TokenAbsentError(
                f"token {name} is not in the configuration",
                hint=f"restore the table [token.{name}] while its keys are in use",
            ) from None

    async def accepted_pin(self, token: str) -> bytes:
        """Return the PIN that a token has accepted; empty where it needs none.

        For what speaks to the hardware beside the token's module: a PIN that no login
        has proven would cost an attempt that nobody remembers.

        Raises:
            AgentError: There is no such token, the PIN cannot be read, or is another
                one than the token has accepted.
        """
        from agent.keys.pin import is_known  # noqa: PLC0415 -- imported lately

        self.token(token)
        reference = self._settings[token].pin
        if reference is None:
            return b""
        pin = self._surroundings.read_secret(reference)
        record = self._surroundings.ledger.load(token)
        accepted = record.status is PinStatus.ACCEPTED
        # On a thread: scrypt takes tens of milliseconds.
        if accepted and await asyncio.to_thread(is_known, record, pin):
            return pin
        raise PinUnprovenError(
            f"the PIN of token {token} is not the one that it has accepted",
            hint="correct the secret that `pin` refers to, or restart nfcertd",
        )

    async def close(self) -> None:
        """Log out, finalise every module that answers, and end their threads."""
        for module in self._modules.values():
            await module.close()
        self._modules.clear()
        self._tokens.clear()
        self._settings.clear()

    def _store(self, key: KeyRecord) -> _Store:
        if key.store == FILE_STORE:
            return self.files
        return self.token(key.store)

    def _token(self, name: str, settings: tables.Token) -> "Token":
        # Only here is PKCS#11 imported: see the module's docstring.
        from agent.keys.login import PinGuard  # noqa: PLC0415 -- imported lately
        from agent.keys.session import Access, Place  # noqa: PLC0415 -- the same
        from agent.keys.token import Token  # noqa: PLC0415 -- the same

        around = self._surroundings
        place = Place(
            name=name,
            uri=token_uri(settings.token),
            deadline=duration(settings.deadline),
            clock=around.clock,
            draw=around.draw,
        )
        guard = None
        if settings.pin is not None:
            read = partial(around.read_secret, settings.pin)
            guard = PinGuard(name, read, around.ledger, around.clock)
        return Token(Access(place, self._module(settings.module), guard), settings)

    def _module(self, path: str) -> "Module":
        from agent.keys.module import Module  # noqa: PLC0415 -- imported lately

        # Two paths to one file are one module: C_Initialize counts for both.
        real = str(Path(path).resolve())
        if real not in self._modules:
            self._modules[real] = Module(real, self._surroundings.clock)
        return self._modules[real]
