"""The lint: an issued certificate against its profile, rule by rule, before its use.

A level for each rule says what a breach means; the hard checks of `agent.pki.chain`
come first and have no level.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from cryptography import x509

from agent.sba.findings import Finding, Level, Levels
from agent.sba.profile import Profile
from agent.sba.rules import RULES, Held, issuer_of

DEFAULT: Final = "default"
"""The key of the configured level of all rules that are not named."""
STRICT: Final[Levels] = dict.fromkeys(RULES, Level.ERROR)
"""The levels of a certificate that names an NF, where nothing is configured."""
LAX: Final[Levels] = dict.fromkeys(RULES, Level.OFF)
"""The levels of any other certificate."""


def levels(configured: Mapping[str, str], *, of_nf: bool) -> dict[str, Level]:
    """Return the level of every rule."""
    usual = configured.get(DEFAULT)
    base = STRICT if of_nf else LAX
    return {r: Level(configured.get(r, usual or base[r])) for r in RULES}


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
