"""How an event is delivered to a hook."""

from agent.config.hook import Hook
from agent.config.units import duration
from agent.jobs.hooks import Deliver, request
from agent.jobs.step import Performed
from agent.ports import Programs
from agent.records.hook import HookRecord


class HookProcedure:
    """Performs effects of hooks' jobs."""

    def __init__(self, programs: Programs) -> None:
        """Take who runs programs."""
        self._programs = programs

    async def perform(
        self, effect: Deliver, record: HookRecord, table: Hook
    ) -> Performed:
        """Run the hook's program with an event; its environment is empty.

        Raises:
            AgentError: It may not be run, took too long, or ended otherwise than by 0.
        """
        within = duration(table.within)
        told = request(record, effect.event)
        await self._programs(table.command, {}, within, told)
        return Performed()
