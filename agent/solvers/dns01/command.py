"""TXT records by an executable of the operator's: the contract of docs/dns-01.md.

It knows what the executable is told. It does not know DNS.
"""

from agent.config.challenges import Executable
from agent.config.units import duration
from agent.programs import ProgramError, succeed
from agent.solvers.dns01.records import Change
from agent.solvers.errors import DnsUpdateError


class Command:
    """The provider that runs an executable."""

    def __init__(self, settings: Executable) -> None:
        """Take the table `exec` of `[dns-01]`."""
        self._command = settings.command
        self._within = duration(settings.timeout)

    async def present(self, change: Change) -> None:
        """Let the executable add the value.

        Raises:
            DnsUpdateError: It may not be run, failed, or took too long.
        """
        await self._run("present", change)

    async def remove(self, change: Change) -> None:
        """Let the executable remove the value.

        Raises:
            DnsUpdateError: It may not be run, failed, or took too long.
        """
        await self._run("cleanup", change)

    async def _run(self, action: str, change: Change) -> None:
        environment = {
            "NFCERTD_ACTION": action,
            "NFCERTD_DOMAIN": change.domain,
            "NFCERTD_RECORD": change.record,
            "NFCERTD_VALUE": change.value,
        }
        try:
            await succeed(self._command, environment, self._within)
        except ProgramError as error:
            raise DnsUpdateError(
                f"{action} for {change.record}: {error}", hint=error.hint
            ) from error
