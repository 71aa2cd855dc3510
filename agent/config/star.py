"""The table of a certificate that its CA renews by itself (RFC 8739, STAR)."""

from collections.abc import Iterator

from agent.config.section import Section
from agent.config.units import Duration, duration


class Star(Section, frozen=True, kw_only=True):
    """`[certificate.NAME.star]`: one order, then a new certificate again and again.

    What the CA offers bounds each of them, and what it answers holds.

    Attributes:
        lifetime: How long each certificate lives, without what it is back-dated by.
        adjust: How much each is back-dated, for peers whose clocks are behind.
        duration: How long the CA goes on; then it is ordered again, with a new key.
        get: Fetch certificates without a signature, where the CA lets everybody.
    """

    lifetime: Duration = "4d"
    adjust: Duration = "0s"
    duration: Duration = "90d"
    get: bool = False


def star_problems(path: str, table: Star) -> Iterator[str]:
    """Yield one clause for every rule that the table breaks."""
    life, adjust = duration(table.lifetime), duration(table.adjust)
    if life.total_seconds() < 60:  # noqa: PLR2004 -- a minute
        yield f"{path}.lifetime: must be a minute or longer"
    if adjust > life:
        yield f"{path}.adjust: must not be longer than lifetime"
    if duration(table.duration) < 4 * life:
        yield f"{path}.duration: must be four times the lifetime or longer"
