"""The solver of dns-01: where, what, in which order, and what is left behind.

It knows aliases, concurrency and cancellation. How a record is changed is a provider's.
"""

import asyncio
import copy
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from weakref import WeakValueDictionary

from agent.acme.messages import is_token
from agent.clock import Clock
from agent.config.challenges import Dns
from agent.config.dns import PORT
from agent.config.units import duration
from agent.errors import AgentError
from agent.ports import Presentation
from agent.solvers.dns01.command import Command
from agent.solvers.dns01.lexicon import Library
from agent.solvers.dns01.lookups import Lookups
from agent.solvers.dns01.propagation import propagated, standing
from agent.solvers.dns01.records import (
    Change,
    Provider,
    account_record_name,
    record_name,
    txt_value,
)
from agent.solvers.dns01.update import Rfc2136
from agent.solvers.errors import (
    DnsLookupError,
    DnsPropagationError,
    DnsUpdateError,
    TokenSyntaxError,
)

_log: Final = logging.getLogger(__name__)

REMOVE_WITHIN: Final = timedelta(seconds=10)
"""Longest time that leaving may take; a value that stays is public and harmless."""
LOOK_UP_WITHIN: Final = timedelta(seconds=60)
"""Longest time for finding a record's zone, or a zone's servers."""


def by_name(presentation: Presentation) -> str:
    """Return where a CA looks by dns-01."""
    return record_name(presentation.name)


def by_account(presentation: Presentation) -> str:
    """Return where a CA looks by dns-account-01."""
    return account_record_name(presentation.name, presentation.account_url)


class Dns01:
    """The `Solver` of dns-01, one for the process.

    Many values may be presented at the same time, also at one name, and one value more
    than once: it is removed when the last who presented it has left.
    """

    def __init__(
        self,
        settings: Callable[[], Dns | None],
        read_secret: Callable[[str], bytes],
        clock: Clock,
        *,
        port: int = PORT,
        record: Callable[[Presentation], str] = by_name,
    ) -> None:
        """Present as configured.

        Args:
            settings: Returns the table `[dns-01]` in force; what was presented is
                removed in the way in which it was presented.
            read_secret: Resolves a reference to a secret.
            clock: Paces the questions to servers.
            port: Where authoritative servers listen.
            record: Where a CA looks for the value.
        """
        self._record = record
        self._settings = settings
        self._read_secret = read_secret
        self._clock = clock
        self._port = port
        self._held: Counter[Change] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def presented(self) -> frozenset[Change]:
        """Return what is presented now."""
        return frozenset(self._held)

    def ready(self) -> None:
        """Return where records could be written, as far as this host can tell.

        Raises:
            DnsUpdateError: The table, its key or what is run is missing.
            FileError: A secret cannot be read.
        """
        settings = self._in_force()
        provider = self._provider(settings)
        if settings.tsig is not None:
            self._read_secret(settings.tsig.key)
        if isinstance(provider, Library):
            provider.ready()

    def for_accounts(self) -> "Dns01":
        """Return the `Solver` of dns-account-01; both keep out of each other's way."""
        solver = copy.copy(self)
        solver._record = by_account  # noqa: SLF001 -- of this very class
        return solver

    async def values(self, record: str, resolvers: Sequence[str]) -> frozenset[str]:
        """Return the TXT values that all authoritative servers of a record have.

        Args:
            record: The name that is looked up, maybe an alias.
            resolvers: Addresses of resolvers; empty takes those of `[dns-01]`.

        Raises:
            DnsLookupError: No server says.
        """
        settings = self._settings()
        own = () if settings is None else settings.resolvers
        lookups = Lookups(resolvers or own, port=self._port)
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN.total_seconds()):
                target = await lookups.target(record)
                zone = await lookups.zone(target)
                servers = await lookups.servers(zone)
                return await standing(target, servers)
        except TimeoutError as error:
            raise DnsLookupError(f"looking for {record} took too long") from error

    async def write(self, name: str, record: str, value: str) -> None:
        """Add a value that is never removed, and return once all servers have it.

        Args:
            name: What is proven.
            record: Where the value belongs, maybe an alias.
            value: Text of ASCII characters.

        Raises:
            DnsLookupError: It is not known where the record is to be written.
            DnsUpdateError: The value was not written.
            DnsPropagationError: A server of the zone did not have it in time.
            FileError: The TSIG key cannot be read.
        """
        settings = self._in_force()
        lookups = Lookups(settings.resolvers, port=self._port)
        target, zone = await _locate(record, settings, lookups)
        change = Change(name, zone, target, value)
        async with self._lock(change):
            await self._provider(settings).present(change)
        await self._wait(change, settings, lookups)

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Present a value until all servers have it; the payload for the CA is `{}`.

        Raises:
            DnsLookupError: It is not known where the record is to be written.
            DnsUpdateError: The value was not written.
            DnsPropagationError: A server of the zone did not have it in time.
            FileError: The TSIG key cannot be read.
            TokenSyntaxError: The token is not base64url.
        """
        if not is_token(presentation.token):
            raise TokenSyntaxError(
                f"the challenge for {presentation.name} has a token that is not "
                "base64url"
            )
        settings = self._in_force()
        lookups = Lookups(settings.resolvers, port=self._port)
        target, zone = await _locate(self._record(presentation), settings, lookups)
        value = txt_value(presentation.key_authorization)
        change = Change(presentation.name, zone, target, value)
        async with self._written(change, self._provider(settings)):
            await self._wait(change, settings, lookups)
            yield {}

    def _in_force(self) -> Dns:
        settings = self._settings()
        if settings is None:
            raise DnsUpdateError("there is no table [dns-01] any more")
        return settings

    def _provider(self, settings: Dns) -> Provider:
        if settings.provider == "exec" and settings.exec is not None:
            return Command(settings.exec)
        if settings.provider == "lexicon" and settings.lexicon is not None:
            return Library(settings.lexicon, settings.ttl, self._read_secret)
        if settings.tsig is None:
            raise DnsUpdateError("[dns-01] has no tsig key")
        return Rfc2136(settings, settings.tsig, self._read_secret)

    @asynccontextmanager
    async def _written(self, change: Change, provider: Provider) -> AsyncIterator[None]:
        self._held[change] += 1
        written = False
        try:
            async with self._lock(change):
                await provider.present(change)
            written = True
            yield
        finally:
            self._held -= Counter([change])  # without those that nobody holds any more
            # Whether an update was lost, or cut short by a cancellation, nobody knows.
            await _to_its_end(self._remove(change, provider, loud=written))

    def _lock(self, change: Change) -> asyncio.Lock:
        """Return the lock of a record: providers may read it, change it, write it."""
        return self._locks.setdefault(change.record, asyncio.Lock())

    async def _remove(self, change: Change, provider: Provider, *, loud: bool) -> None:
        try:
            async with (
                asyncio.timeout(REMOVE_WITHIN.total_seconds()),
                self._lock(change),
            ):
                if change not in self._held:
                    await provider.remove(change)
        except (AgentError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            level = logging.WARNING if loud else logging.DEBUG
            _log.log(level, "cannot remove a value of %s: %s", change.record, reason)

    async def _wait(self, change: Change, settings: Dns, lookups: Lookups) -> None:
        within = duration(settings.propagation)
        if not within:
            return
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN.total_seconds()):
                servers = await lookups.servers(change.zone)
        except TimeoutError as error:
            raise DnsPropagationError(
                f"looking for the name servers of {change.zone} took too long"
            ) from error
        await propagated(change, servers, within, self._clock)


async def _locate(record: str, settings: Dns, lookups: Lookups) -> tuple[str, str]:
    """Find the name to write to, behind all aliases, and its zone."""
    try:
        async with asyncio.timeout(LOOK_UP_WITHIN.total_seconds()):
            target = await lookups.target(record)
            zone = settings.zone or await lookups.zone(target)
    except TimeoutError as error:
        raise DnsLookupError(
            f"looking for the zone of {record} took too long"
        ) from error
    return target, zone.removesuffix(".")


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Let bounded work end though we are cancelled meanwhile, and be cancelled then."""
    # No TaskGroup: it would pass the cancellation on.
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
