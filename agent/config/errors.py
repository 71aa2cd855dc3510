"""The configuration is not usable."""

from collections.abc import Sequence

from agent.errors import AgentError


class ConfigError(AgentError):
    """The configuration was refused as a whole; nothing of it is in force.

    Attributes:
        problems: One clause each: file and path in the tree, what, what to do.
    """

    kind = "config"

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep every problem, so that one run shows them all."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
