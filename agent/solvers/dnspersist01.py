"""The solver of dns-persist-01: a record that stands, instead of one for each order.

It looks whether the record is there, and tells the operator which one is missing. Only
where the configuration says so it writes the record itself, by the provider of dns-01;
it never removes one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from agent.acme.persist import (
    Permission,
    are_issuers,
    permitted,
    record_name,
    record_value,
)
from agent.clock import Clock
from agent.config.challenges import DnsPersist
from agent.ports import Presentation
from agent.solvers.errors import IssuerNamesError, PersistentRecordError

CHALLENGE: Final = "dns-persist-01"


class Records(Protocol):
    """Where standing records are; the solver of dns-01 has them."""

    async def values(self, record: str, resolvers: Sequence[str]) -> frozenset[str]:
        """Return the TXT values that all authoritative servers have.

        Raises:
            DnsLookupError: No server says.
        """
        ...

    async def write(self, name: str, record: str, value: str) -> None:
        """Add a value for a name, and return once all servers have it.

        Raises:
            AgentError: It was not added, or not seen in time.
        """
        ...


class DnsPersist01:
    """The `Solver` of dns-persist-01, one for the process."""

    def __init__(
        self,
        settings: Callable[[], DnsPersist],
        records: Records,
        clock: Clock,
    ) -> None:
        """Look and write by what dns-01 has.

        Args:
            settings: Returns the table `[dns-persist-01]` in force.
            records: Where records are looked up and written.
            clock: Says whether a record has ended.
        """
        self._settings = settings
        self._records = records
        self._clock = clock

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Return once the record is there; the payload for the CA is `{}`.

        Raises:
            IssuerNamesError: The CA names no issuers, or not as it must.
            PersistentRecordError: The record is not there, and not ours to write.
            AgentError: As dns-01 raises where it looks up or writes.
        """
        if not are_issuers(presentation.issuers):
            raise IssuerNamesError(
                f"the challenge for {presentation.name} does not name its issuers as "
                "dns-persist-01 wants"
            )
        permission = Permission(
            presentation.issuers, presentation.account_url, presentation.wildcard
        )
        await self._ensure(presentation.name, permission)
        yield {}

    async def _ensure(self, name: str, permission: Permission) -> None:
        record, settings = record_name(name), self._settings()
        seen = await self._records.values(record, settings.resolvers)
        if permitted(seen, permission, self._clock.now()):
            return
        value = record_value(permission, settings.persist_until)
        if not settings.write:
            raise PersistentRecordError(
                f"no txt record at {record} lets {permission.issuers[0]} issue for "
                "this account",
                hint=f'provision it: {record}. TXT "{value}"',
            )
        await self._records.write(name, record, value)
