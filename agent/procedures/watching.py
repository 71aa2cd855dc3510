"""What an endpoint serves: a look at all its addresses, or a watch until it is so."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agent.clock import Clock
from agent.config.endpoints import Endpoint
from agent.config.lookup import server_name
from agent.config.model import Certificate
from agent.config.units import duration
from agent.ports import Prober
from agent.records.certificate import CertificateRecord
from agent.records.deployment import Sighting

STEADY: Final = timedelta(milliseconds=500)
"""How long nothing else may be seen: while a server replaces its workers old and new
are answered mixed, for up to 113 ms as measured."""
PAUSE: Final = timedelta(milliseconds=100)
ONE_LOOK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploying:
    """What one deployment, or one farewell, is about.

    Attributes:
        record: The certificate's record, with the intent in it.
        config: The certificate's table.
        endpoint: The endpoint; one that was removed is neither told nor asked.
    """

    record: CertificateRecord
    config: Certificate
    endpoint: Endpoint

    @property
    def server_name(self) -> str:
        """Return the SNI to ask with."""
        verify = self.endpoint.verify
        name = None if verify is None else verify.server_name
        return name or server_name(self.config) or self.config.names[0]


class Watcher:
    """Looks at endpoints over the wire."""

    def __init__(self, prober: Prober, clock: Clock) -> None:
        """Take the collaborators."""
        self._prober = prober
        self._clock = clock

    async def look(
        self, about: Deploying, within: timedelta = ONE_LOOK
    ) -> tuple[Sighting, ...]:
        """Return what every address serves; nothing where none is named."""
        verify = about.endpoint.verify
        if verify is None:
            return ()
        return tuple(
            [
                await self._prober.look(address, about.server_name, within)
                for address in verify.addresses
            ]
        )

    async def watch(
        self, about: Deploying, is_so: Callable[[Sighting], bool]
    ) -> tuple[tuple[Sighting, ...], bool]:
        """Look until it is so everywhere for `STEADY`, or the endpoint's time is up.

        Returns:
            What was seen last, and whether it was so.
        """
        verify = about.endpoint.verify
        within = duration(verify.within) if verify is not None else timedelta(0)
        deadline = self._clock.monotonic() + within.total_seconds()
        since: float | None = None
        while True:
            seen = await self.look(about, min(within, ONE_LOOK))
            now = self._clock.monotonic()
            if not all(map(is_so, seen)):
                since = None
            elif since is None:
                since = now
            elif now - since >= STEADY.total_seconds():
                return seen, True
            if now >= deadline and since is None:
                return seen, False
            await self._clock.sleep(PAUSE)
