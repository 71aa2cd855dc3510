"""The aggregate of a CA: whether it may be asked, and which limits it has named."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from agent.records.job import Failure


class Limit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rate limit that one account has met (RFC 8555 section 6.6).

    Attributes:
        until: No order is asked for before this instant.
        failure: What the CA said.
        count: Limits met in a row; spaces those without a Retry-After.
    """

    until: datetime
    failure: Failure
    count: int = 1


class CaRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered of a CA, so that a restart is no storm.

    Attributes:
        name: Its table in the configuration.
        directory: URL of the directory that all of this is about.
        failures: Transport and server errors in a row.
        failure: The last of them.
        open_until: The breaker is open: nothing is asked before this instant.
        asked: The CA itself has named that instant, by Retry-After.
        limits: By account: limits that were met.
        orders_at: When the orders of the past will have been worked off at the
            configured rate; in the future while there are more than that.
    """

    name: str
    directory: str
    failures: int = 0
    failure: Failure | None = None
    open_until: datetime | None = None
    asked: bool = False
    limits: Mapping[str, Limit] = msgspec.field(default_factory=dict)
    orders_at: datetime | None = None
