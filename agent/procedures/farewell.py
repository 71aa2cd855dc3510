"""How an endpoint is taken out of service."""

from agent.jobs import farewell
from agent.jobs.step import Performed
from agent.ports import Publisher, Signaller
from agent.procedures.watching import Deploying, Watcher
from agent.records.deployment import Sight, Sighting


class FarewellProcedure:
    """Performs effects of farewells."""

    def __init__(
        self, publisher: Publisher, signaller: Signaller, watcher: Watcher
    ) -> None:
        """Take the collaborators."""
        self._publisher = publisher
        self._signaller = signaller
        self._watcher = watcher

    async def perform(
        self, effect: farewell.Effect, about: Deploying
    ) -> farewell.Outcome:
        """Perform one effect.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        match effect:
            case farewell.Withdraw():
                name, endpoint = about.record.name, about.endpoint.name
                await self._publisher.withdraw(name, endpoint, about.config)
            case farewell.Tell():
                if about.endpoint.reload is not None:
                    await self._signaller.tell(about.endpoint.reload)
            case farewell.LookAfter(ours):
                seen, gone = await self._watcher.watch(
                    about, lambda sighting: not _serves(sighting, ours)
                )
                return farewell.LookedAfter(seen, served=not gone)
        return Performed()


def _serves(sighting: Sighting, ours: frozenset[str]) -> bool:
    return sighting.sight is Sight.SERVED and sighting.fingerprint in ours
