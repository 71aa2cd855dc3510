"""The table of the audit trail."""

from typing import Annotated, Literal

import msgspec

from agent.config.section import Section
from agent.config.tokens import Key
from agent.config.units import Duration


class Audit(Section, frozen=True, kw_only=True):
    """`[audit]`: the trail of everything that was asked, issued, deployed and ordered.

    Attributes:
        enabled: False writes none.
        max_octets: Size at which a file is closed and the next one begun.
        keep: Closed files that are kept; older ones are removed.
        key: Where the key is that signs checkpoints; None signs none.
        checkpoint: How often a checkpoint is signed while entries are made.
        on_full: What happens while no entry can be written: `go-on` counts what is
            lost and raises an alarm, `hold` begins nothing more.
    """

    enabled: bool = True
    max_octets: Annotated[int, msgspec.Meta(ge=1 << 16, le=1 << 28)] = 1 << 24
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    key: Key | None = None
    checkpoint: Duration = "24h"
    on_full: Literal["go-on", "hold"] = "go-on"
