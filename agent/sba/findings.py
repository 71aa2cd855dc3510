"""What a lint found, and how bad that is; no certificate is needed to say it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

MAX_TOLD: Final = 1000
"""Characters of what is told of all findings together."""


class Level(StrEnum):
    """What the breach of a rule means."""

    ERROR = "error"
    """The certificate is not deployed unless an operator accepts it."""
    WARN = "warn"
    """It is deployed, and the breach is shown."""
    OFF = "off"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that a certificate breaks.

    Attributes:
        rule: A key of `agent.sba.rules.RULES`.
        level: What the breach means, `error` or `warn`.
        text: One clause without control characters.
    """

    rule: str
    level: Level
    text: str


Levels = Mapping[str, Level]
"""What a breach means, by the id of its rule."""


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that forbid the use of a certificate."""
    return tuple(f for f in findings if f.level is Level.ERROR)


def weighed(findings: Iterable[Finding], levels: Levels) -> tuple[Finding, ...]:
    """Return findings with the levels that are configured now."""
    changed = (
        msgspec.structs.replace(f, level=levels.get(f.rule, Level.OFF))
        for f in findings
    )
    return tuple(f for f in changed if f.level is not Level.OFF)


def told(findings: Iterable[Finding]) -> str:
    """Return findings as one bounded clause for people."""
    text = "; ".join(f"{f.rule}: {f.text}" for f in findings)
    return text if len(text) <= MAX_TOLD else f"{text[:MAX_TOLD]}..."
