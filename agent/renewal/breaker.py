"""Whether a CA may be asked now: its breaker, the limits it named, the rate of orders.

Pure: folds outcomes into the CA's record, and reads from it what a job must know. Every
CA has a record of its own, so nothing of one ever delays another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from agent.records.authority import CaRecord, Limit
from agent.records.job import Disposition, Failure
from agent.renewal import backoff

OPEN_AFTER: Final = 5
"""Transport and server errors in a row after which the breaker opens."""
SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(minutes=30)
"""The first pause of an open breaker, doubled by each probe that fails, and its cap."""
HOUR: Final = timedelta(hours=1)
BURST: Final = 20
"""This part of an hour's orders may be asked for at once."""

_UNTYPED: Final = "acme:about:blank"
_OUTAGES: Final = frozenset({"transport", "acme.protocol", "acme:serverInternal"})
_LIMITED: Final = "acme:rateLimited"
_OURS: Final = frozenset({"acme.eab-key", "acme.key-reuse"})
"""Raised before anything is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a job must know of its CA.

    Attributes:
        shut_until: Nothing is asked before this instant; None where the breaker is
            closed, or where the next request is the probe.
        shut_reason: Why.
        asked: The CA named that instant itself, so that no emergency overrides it.
        down: So many errors in a row that only one job at a time probes.
        limited_until: The account asks for no order before this instant.
        limited_reason: What the CA said.
        order_at: The next order fits into the configured rate from here on.
    """

    shut_until: datetime | None = None
    shut_reason: str = ""
    asked: bool = False
    down: bool = False
    limited_until: datetime | None = None
    limited_reason: str = ""
    order_at: datetime | None = None

    def shut(self, now: datetime) -> bool:
        """Tell whether nothing may be asked now."""
        return self.shut_until is not None and now < self.shut_until

    def limited(self, now: datetime) -> bool:
        """Tell whether no order may be asked for now, because the CA said so."""
        return self.limited_until is not None and now < self.limited_until


UNKNOWN: Final = Standing()
"""Nothing is known of the CA: it may be asked."""


def standing(record: CaRecord, account: str, per_hour: int | None) -> Standing:
    """Return what the jobs of an account must know.

    Args:
        record: What is remembered of the CA.
        account: Name of the account.
        per_hour: The configured rate of orders, None for no bound.
    """
    limit = record.limits.get(account)
    said = "" if record.failure is None else f": {record.failure.message}"
    why = "asked for patience" if record.asked else "is left alone after errors"
    ahead = None if per_hour is None else (HOUR / per_hour) * (burst(per_hour) - 1)
    at = record.orders_at
    return Standing(
        shut_until=record.open_until,
        shut_reason=f"the ca {record.name} {why}{said}",
        asked=record.asked,
        down=record.failures >= OPEN_AFTER,
        limited_until=None if limit is None else limit.until,
        limited_reason="" if limit is None else limit.failure.message,
        order_at=None if at is None or ahead is None else at - ahead,
    )


def is_outage(failure: Failure) -> bool:
    """Tell whether a failure says that the CA does not work, not that it refuses."""
    untyped = failure.kind == _UNTYPED
    passing = failure.disposition is not Disposition.NEEDS_OPERATOR
    return failure.kind in _OUTAGES or (untyped and passing)


def is_answer(failure: Failure) -> bool:
    """Tell whether a failure is the CA's word, and no trouble of ours."""
    theirs = failure.kind.startswith(("acme:", "acme.", "pki.chain"))
    return theirs and failure.kind not in _OURS and not is_outage(failure)


def answered(record: CaRecord, now: datetime) -> CaRecord:
    """Return the record after the CA has answered, whatever it said.

    What the CA asked for holds, also where what was under way before is answered.
    """
    if record.asked and record.open_until is not None and now < record.open_until:
        return record
    return replace(record, failures=0, failure=None, open_until=None, asked=False)


def failed(record: CaRecord, failure: Failure, draw: float) -> CaRecord:
    """Return the record after a transport or server error.

    While the breaker is open nothing is counted: what fails then was under way before.
    A Retry-After opens it at once, until then.
    """
    if record.open_until is not None and failure.at < record.open_until:
        return record
    failures = record.failures + 1
    until = None
    if failures >= OPEN_AFTER:
        doubled = SHORTEST * (1 << min(failures - OPEN_AFTER, 10))
        until = failure.at + backoff.spread(min(doubled, LONGEST), draw)
    asked = failure.retry_at is not None and failure.retry_at > failure.at
    if failure.retry_at is not None and asked:
        until = failure.retry_at if until is None else max(until, failure.retry_at)
    return replace(
        record, failures=failures, failure=failure, open_until=until, asked=asked
    )


def limited(record: CaRecord, account: str, failure: Failure, draw: float) -> CaRecord:
    """Return the record after an account has met a rate limit.

    Without a Retry-After, which is only a SHOULD, our own back-off spaces the orders of
    the whole account.
    """
    known = record.limits.get(account)
    if known is not None and failure.at < known.until:
        if failure.retry_at is None or failure.retry_at <= known.until:
            return record
        return _with_limit(record, account, replace(known, until=failure.retry_at))
    count = 1 if known is None else known.count + 1
    until = failure.retry_at or failure.at + backoff.delay(count, None, draw)
    limit = Limit(until=until, failure=failure, count=count)
    return _with_limit(record, account, limit)


def _with_limit(record: CaRecord, account: str, limit: Limit) -> CaRecord:
    return replace(record, limits={**record.limits, account: limit})


def ordered(record: CaRecord, account: str) -> CaRecord:
    """Return the record after an account has got an order: its limit is over."""
    if account not in record.limits:
        return record
    rest = {name: limit for name, limit in record.limits.items() if name != account}
    return replace(record, limits=rest)


def is_limit(failure: Failure) -> bool:
    """Tell whether a failure is a rate limit."""
    return failure.kind == _LIMITED


def order_taken(record: CaRecord, per_hour: int, now: datetime) -> CaRecord:
    """Return the record when an order is about to be asked for."""
    begun = now if record.orders_at is None else max(record.orders_at, now)
    return replace(record, orders_at=begun + HOUR / per_hour)


def order_spared(record: CaRecord, per_hour: int) -> CaRecord:
    """Return the record when an order was not asked for after all."""
    if record.orders_at is None:
        return record
    return replace(record, orders_at=record.orders_at - HOUR / per_hour)


def burst(per_hour: int) -> int:
    """Return how many orders may be asked for at once."""
    return max(per_hour // BURST, 1)


def of_directory(record: CaRecord, directory: str) -> CaRecord:
    """Return the record of the CA at a directory; nothing is known of another one."""
    if record.directory == directory:
        return record
    return CaRecord(name=record.name, directory=directory)


def current_limits(record: CaRecord, now: datetime) -> Mapping[str, Limit]:
    """Return the limits that stand."""
    return {name: limit for name, limit in record.limits.items() if now < limit.until}
