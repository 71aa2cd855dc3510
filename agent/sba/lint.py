"""The lint: an issued certificate against its profile, rule by rule, before its use.

A level for each rule says what a breach means; the hard checks of `agent.pki.chain`
come first and have no level.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from cryptography import x509

from agent.sba.profile import Profile
from agent.sba.rules import RULES, Held, issuer_of


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
STRICT: Final[Levels] = dict.fromkeys(RULES, Level.ERROR)
"""The levels of a certificate that names an NF, where nothing is configured."""
LAX: Final[Levels] = dict.fromkeys(RULES, Level.OFF)
"""The levels of any other certificate."""


def levels(configured: Mapping[str, str], *, of_nf: bool) -> dict[str, Level]:
    """Return the level of every rule."""
    default = STRICT if of_nf else LAX
    return {rule: Level(configured.get(rule, default[rule])) for rule in RULES}


def lint(
    leaf: x509.Certificate,
    above: Iterable[x509.Certificate],
    issuers: Iterable[x509.Certificate],
    profile: Profile,
    levels: Levels,
) -> tuple[Finding, ...]:
    """Return every rule that a checked certificate breaks, in the order of the rules.

    Args:
        leaf: The certificate; its chain has passed every hard check.
        above: Where its issuer is: intermediates and anchors.
        issuers: Who must have signed it; empty where anybody of the chain may.
        profile: What it is to say.
        levels: The level of each rule.
    """
    held = Held(leaf, issuer_of(leaf, above), tuple(issuers))
    return tuple(
        Finding(rule=rule, level=level, text=text)
        for rule, check in RULES.items()
        if (level := levels.get(rule, Level.OFF)) is not Level.OFF
        if (text := check(held, profile))
    )


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
    """Return findings as one clause for people."""
    return "; ".join(f"{f.rule}: {f.text}" for f in findings)
