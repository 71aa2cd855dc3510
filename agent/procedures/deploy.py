"""How the effects of a deployment are performed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agent.clock import Clock
from agent.config.endpoints import Endpoint
from agent.config.lookup import server_name
from agent.config.model import Certificate
from agent.config.units import duration
from agent.jobs import deploy
from agent.jobs.step import Performed
from agent.ports import Prober, Publisher, Signaller
from agent.records.certificate import CertificateRecord
from agent.records.deployment import Sight, Sighting

STEADY: Final = timedelta(milliseconds=500)
"""How long only the new certificate must be seen: while a server replaces its workers
old and new are answered mixed, for up to 113 ms as measured."""
PAUSE: Final = timedelta(milliseconds=100)
ONE_LOOK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploying:
    """What one deployment is about.

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


async def look(
    prober: Prober, about: Deploying, within: timedelta
) -> tuple[Sighting, ...]:
    """Return what every address of an endpoint serves; nothing where none is named."""
    verify = about.endpoint.verify
    if verify is None:
        return ()
    return tuple(
        [
            await prober.look(address, about.server_name, within)
            for address in verify.addresses
        ]
    )


class DeployProcedure:
    """Performs effects of deploy jobs and the pruning of publications."""

    def __init__(
        self, publisher: Publisher, signaller: Signaller, prober: Prober, clock: Clock
    ) -> None:
        """Take the collaborators."""
        self._publisher = publisher
        self._signaller = signaller
        self._prober = prober
        self._clock = clock

    async def perform(
        self, effect: deploy.Effect, about: Deploying, keep: frozenset[int]
    ) -> deploy.Outcome:
        """Perform one effect.

        Args:
            effect: What to do.
            about: Which deployment.
            keep: Publications that a pruning leaves.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        name = about.record.name
        match effect:
            case deploy.Publish(number):
                await self._publish(about, number)
            case deploy.LookBefore():
                return deploy.Looked(await look(self._prober, about, ONE_LOOK))
            case deploy.Swap(number):
                await self._publisher.swap(name, about.endpoint.name, number)
            case deploy.Tell():
                if about.endpoint.reload is not None:
                    await self._signaller.tell(about.endpoint.reload)
            case deploy.Watch(fingerprint):
                return await self._watch(about, fingerprint)
            case deploy.Prune():
                await self._publisher.prune(name, keep)
        return Performed()

    async def _publish(self, about: Deploying, number: int) -> None:
        publication = about.record.publication(number)
        if publication is not None:
            name = about.record.name
            await self._publisher.publish(name, publication, about.config)

    async def _watch(self, about: Deploying, fingerprint: str) -> deploy.Watched:
        """Look until only the new certificate is served for `STEADY`, or time is up."""
        verify = about.endpoint.verify
        within = duration(verify.within) if verify is not None else timedelta(0)
        deadline = self._clock.monotonic() + within.total_seconds()
        clean_since: float | None = None
        while True:
            seen = await look(self._prober, about, min(within, ONE_LOOK))
            now = self._clock.monotonic()
            if not all(_is(sighting, fingerprint) for sighting in seen):
                clean_since = None
            elif clean_since is None:
                clean_since = now
            elif now - clean_since >= STEADY.total_seconds():
                return deploy.Watched(seen, settled=True)
            if now >= deadline and clean_since is None:
                return deploy.Watched(seen, settled=False)
            await self._clock.sleep(PAUSE)


def _is(sighting: Sighting, fingerprint: str) -> bool:
    return sighting.sight is Sight.SERVED and sighting.fingerprint == fingerprint
