"""Waits until the authoritative servers of a zone answer with a TXT value.

It asks the servers themselves: a resolver would remember for an hour that there was
no record. What follows when they never do is the caller's.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

from agent.clock import Clock
from agent.config.dns import DnsServer
from agent.solvers.dns01.lookups import NameServer
from agent.solvers.dns01.records import Change
from agent.solvers.dns01.wire import NoAnswerError, ask_udp
from agent.solvers.errors import DnsLookupError, DnsPropagationError

_log: Final = logging.getLogger(__name__)

FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(seconds=10)


class Sight(Enum):
    """What a server showed."""

    HAS = auto()
    """It answers with the value."""
    LACKS = auto()
    """It is in charge of the zone and answers without the value."""
    SILENT = auto()
    """It gives no answer that a resolver would believe."""


class Shown(NamedTuple):
    """What a server answers with.

    Attributes:
        texts: TXT values, each of its strings put together.
        decided: The server is in charge of the record: it has these and no others.
    """

    texts: frozenset[str]
    decided: bool


async def propagated(
    change: Change, servers: Sequence[NameServer], within: timedelta, clock: Clock
) -> None:
    """Return once every server answers with the value.

    A server that gives no answer at all cannot mislead the CA, so it holds nothing up
    beyond `within`, as long as another one has the value.

    Raises:
        DnsPropagationError: A server lacks the value after `within`, or all are silent.
    """
    deadline = clock.monotonic() + within.total_seconds()
    pause = FIRST_PAUSE
    while True:
        sights = await _look(change, servers)
        late = [name for name, sight in sights.items() if sight is not Sight.HAS]
        left = timedelta(seconds=deadline - clock.monotonic())
        if not late:
            return
        if left <= timedelta(0):
            break
        await clock.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)
    _give_up(change, sights, within)


async def standing(record: str, servers: Sequence[NameServer]) -> frozenset[str]:
    """Return the TXT values that every server in charge of a record answers with.

    Raises:
        DnsLookupError: None of them answers.
    """
    addresses = [address for server in servers for address in server.addresses]
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(texts_at(record, a)) for a in addresses]
    shown = [look.result().texts for look in looks if look.result().decided]
    if not shown:
        names = ", ".join(server.name for server in servers)
        raise DnsLookupError(f"no server in charge of {record} answers: {names}")
    return frozenset.intersection(*shown)


def _give_up(change: Change, sights: dict[str, Sight], within: timedelta) -> None:
    lacking = sorted(n for n, sight in sights.items() if sight is Sight.LACKS)
    silent = sorted(n for n, sight in sights.items() if sight is Sight.SILENT)
    seconds = f"{within.total_seconds():.0f} s"
    if lacking:
        raise DnsPropagationError(
            f"{', '.join(lacking)} did not have the txt record {change.record} after "
            f"{seconds}",
            hint="look at the zone's transfers, or raise propagation in [dns-01]",
        )
    if len(silent) == len(sights):
        raise DnsPropagationError(
            f"no server of the zone {change.zone} answers: {', '.join(silent)}",
            hint='let us reach them on port 53, or set propagation = "0s"',
        )
    _log.warning("%s did not answer for %s", ", ".join(silent), change.record)


async def _look(change: Change, servers: Sequence[NameServer]) -> dict[str, Sight]:
    async with asyncio.TaskGroup() as group:
        looks = {s.name: group.create_task(_at_server(change, s)) for s in servers}
    return {name: task.result() for name, task in looks.items()}


async def _at_server(change: Change, server: NameServer) -> Sight:
    """Ask all addresses of a server; a single one without the value decides."""
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(_at(change, a)) for a in server.addresses]
    seen = {task.result() for task in looks}
    for sight in (Sight.LACKS, Sight.HAS):
        if sight in seen:
            return sight
    return Sight.SILENT


async def _at(change: Change, address: DnsServer) -> Sight:
    shown = await texts_at(change.record, address)
    if change.value in shown.texts:
        return Sight.HAS
    return Sight.LACKS if shown.decided else Sight.SILENT


async def texts_at(record: str, address: DnsServer) -> Shown:
    """Ask one server for the TXT values of a record, without recursion."""
    from dns.exception import DNSException  # noqa: PLC0415 -- memory
    from dns.flags import AA, RD  # noqa: PLC0415 -- memory
    from dns.message import make_query  # noqa: PLC0415 -- memory
    from dns.rcode import NOERROR, NXDOMAIN  # noqa: PLC0415 -- memory
    from dns.rdatatype import TXT  # noqa: PLC0415 -- memory

    question = make_query(record, TXT)
    question.flags &= ~RD
    try:
        answer = await ask_udp(address, question)
    except (NoAnswerError, DNSException):
        return Shown(frozenset(), decided=False)
    texts = frozenset(
        b"".join(data.strings).decode("ascii", "replace")
        for rrset in answer.answer
        if rrset.rdtype == TXT
        for data in rrset
    )
    decided = bool(answer.flags & AA) and answer.rcode() in {NOERROR, NXDOMAIN}
    return Shown(texts, decided=decided)
