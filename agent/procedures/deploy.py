"""How the effects of a deployment are performed."""

from agent.jobs import deploy
from agent.jobs.step import Performed
from agent.ports import Publisher, Signaller
from agent.procedures.watching import Deploying, Watcher
from agent.records.deployment import Sight, Sighting


class DeployProcedure:
    """Performs effects of deploy jobs and the pruning of publications."""

    def __init__(
        self, publisher: Publisher, signaller: Signaller, watcher: Watcher
    ) -> None:
        """Take the collaborators."""
        self._publisher = publisher
        self._signaller = signaller
        self._watcher = watcher

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
                return deploy.Looked(await self._watcher.look(about))
            case deploy.Swap(number):
                await self._publisher.swap(name, about.endpoint.name, number)
            case deploy.Tell():
                if about.endpoint.reload is not None:
                    await self._signaller.tell(about.endpoint.reload)
            case deploy.Watch(fingerprint):
                seen, settled = await self._watcher.watch(
                    about, lambda sighting: _is(sighting, fingerprint)
                )
                return deploy.Watched(seen, settled=settled)
            case deploy.Prune():
                await self._publisher.prune(name, keep)
        return Performed()

    async def _publish(self, about: Deploying, number: int) -> None:
        publication = about.record.publication(number)
        if publication is not None:
            name = about.record.name
            await self._publisher.publish(name, publication, about.config)


def _is(sighting: Sighting, fingerprint: str) -> bool:
    return sighting.sight is Sight.SERVED and sighting.fingerprint == fingerprint
