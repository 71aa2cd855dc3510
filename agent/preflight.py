"""Pre-flight: what would surely fail later is found out before a CA's quota is spent.

It knows the state directory, keys, solvers and endpoints by narrow ports. It does not
know ACME: it is asked once for each order, before newOrder.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from agent.config.endpoints import Reload
from agent.config.model import Certificate
from agent.errors import AgentError
from agent.records.keys import KeyRecord

_log: Final = logging.getLogger("nfcertd")

LEAST_FREE: Final = 16 << 20
"""Octets that must be free in the state directory: records, and two publications."""
LEAST_FILES: Final = 64
"""Files that must be free there, where the file system counts them."""
SAMPLE: Final = b"nfcertd pre-flight"
"""What is signed to see that a key can."""


class StorageError(AgentError):
    """What a CA would issue could not be stored and published."""

    kind = "preflight.storage"


class Signing(Protocol):
    """Signs with keys by their record; part of `agent.ports.Keys`."""

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Return a signature; raises where the key or its token cannot."""
        ...


Ready = Callable[[], None]
"""Raises an `AgentError` where a challenge could not be presented now."""
Find = Callable[[Reload], Awaitable[None]]
"""Raises an `AgentError` where the target of a reload is not there."""


class Preflight:
    """Looks before an order; satisfies the port of `agent.workshop`."""

    def __init__(
        self, state: Path, keys: Signing, ready: Mapping[str, Ready], find: Find
    ) -> None:
        """Take what is looked at.

        Args:
            state: The state directory.
            keys: Signs.
            ready: By type of challenge; a type without one is not looked at.
            find: Looks for the target of a reload.
        """
        self._state = state
        self._keys = keys
        self._ready = ready
        self._find = find

    async def check(
        self, name: str, table: Certificate, key: KeyRecord, *, challenged: bool
    ) -> None:
        """Return where an order can be worked off.

        Args:
            name: The certificate.
            table: Its table.
            key: The key that it is ordered for.
            challenged: The CA has asked this certificate for a challenge before. One
                that never does is not held up by an address that cannot be bound.

        Raises:
            AgentError: It cannot; nothing has been asked of the CA.
        """
        self._check_storage()
        await self._keys.sign(key, SAMPLE)
        ready = self._ready.get(table.challenge)
        if challenged and ready is not None and table.names:
            ready()
        for endpoint in table.endpoint:
            if endpoint.reload is not None:
                await self._look_for(name, endpoint.reload)

    def _check_storage(self) -> None:
        try:
            there = os.statvfs(self._state)
        except OSError as error:
            raise StorageError(
                f"the state directory {self._state} cannot be looked at"
            ) from error
        if there.f_flag & os.ST_RDONLY:
            raise StorageError(f"the state directory {self._state} is read-only")
        free = there.f_bavail * there.f_frsize
        if free < LEAST_FREE or (there.f_files and there.f_favail < LEAST_FILES):
            raise StorageError(
                f"the state directory {self._state} has {free >> 20} MiB free and "
                f"{there.f_favail} files, less than {LEAST_FREE >> 20} MiB "
                f"or {LEAST_FILES} files",
                hint="free space on the disk",
            )

    async def _look_for(self, name: str, reload: Reload) -> None:
        """Say that an endpoint is not there; it is awaited once there is a certificate.

        To be without a certificate as well would make nothing better.
        """
        try:
            await self._find(reload)
        except AgentError as error:
            text = "%s is ordered although its endpoint is not there: %s"
            _log.warning(text, name, error)
