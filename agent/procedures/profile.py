"""How a checked chain is held against the profile of its certificate."""

from collections.abc import Sequence

from cryptography import x509

from agent.config.wish import Wish
from agent.pki.chain import CheckedChain, parse_chain
from agent.sba.findings import Finding
from agent.sba.lint import lint


def findings(
    chain: CheckedChain,
    wish: Wish,
    anchors: Sequence[x509.Certificate],
    issuers: Sequence[x509.Certificate],
) -> tuple[Finding, ...]:
    """Return the rules that the leaf breaks.

    Args:
        chain: What has passed the hard checks.
        wish: What the leaf is held against, and with which levels.
        anchors: Where its issuer is, beside the chain.
        issuers: Who must have signed it; empty where anybody of the chain may.
    """
    leaf, *above = parse_chain(chain.pem.encode("ascii"))
    return lint(leaf, (*above, *anchors), issuers, wish.profile, wish.levels)
