"""How an endpoint is taken out of service."""

from datetime import timedelta

from agent.clock import Clock
from agent.config.units import duration
from agent.jobs import farewell
from agent.jobs.step import Performed
from agent.ports import Prober, Publisher, Signaller
from agent.procedures.deploy import ONE_LOOK, PAUSE, STEADY, Deploying, look
from agent.records.deployment import Sight, Sighting


class FarewellProcedure:
    """Performs effects of farewells."""

    def __init__(
        self, publisher: Publisher, signaller: Signaller, prober: Prober, clock: Clock
    ) -> None:
        """Take the collaborators."""
        self._publisher = publisher
        self._signaller = signaller
        self._prober = prober
        self._clock = clock

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
            case farewell.LookAfter(fingerprints):
                return await self._look_after(about, fingerprints)
        return Performed()

    async def _look_after(
        self, about: Deploying, ours: frozenset[str]
    ) -> farewell.LookedAfter:
        """Look until no certificate of ours is served for `STEADY`, or time is up."""
        verify = about.endpoint.verify
        within = duration(verify.within) if verify is not None else timedelta(0)
        deadline = self._clock.monotonic() + within.total_seconds()
        clean_since: float | None = None
        while True:
            seen = await look(self._prober, about, min(within, ONE_LOOK))
            now = self._clock.monotonic()
            if any(_serves(sighting, ours) for sighting in seen):
                clean_since = None
            elif clean_since is None:
                clean_since = now
            elif now - clean_since >= STEADY.total_seconds():
                return farewell.LookedAfter(seen, served=False)
            if now >= deadline and clean_since is None:
                return farewell.LookedAfter(seen, served=True)
            await self._clock.sleep(PAUSE)


def _serves(sighting: Sighting, ours: frozenset[str]) -> bool:
    return sighting.sight is Sight.SERVED and sighting.fingerprint in ours
