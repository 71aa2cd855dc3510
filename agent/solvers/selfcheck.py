"""Whether our own ports show what is presented, before a CA is told to look there.

It knows addresses and how long a look may take. What is seen on a connection is told by
the caller.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from agent.files import describe
from agent.solvers.errors import SelfCheckError

WITHIN: Final = timedelta(seconds=5)
"""Longest time that one look at ourselves may take."""

_LOCAL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- not bound here
Look = Callable[[str, int], Awaitable[object]]
"""Returns what a host and a port show."""


async def require_shown(
    where: Sequence[tuple[str, int]],
    look: Look,
    wanted: object,
    what: str,
) -> None:
    """Return once all our ports have shown what is presented.

    Args:
        where: Hosts and ports that are listened on.
        look: Looks at one; a host that stands for all addresses is given as that of
            the loopback interface.
        wanted: What they are to show.
        what: What that is, for people.

    Raises:
        SelfCheckError: One cannot be reached, is too slow, or shows something else.
    """
    for host, port in where:
        if await _seen(host, port, look) != wanted:
            raise SelfCheckError(
                f"port {port} of {host} does not answer with {what}",
                hint="another process or a firewall answers for the port",
            )


async def _seen(host: str, port: int, look: Look) -> object:
    try:
        async with asyncio.timeout(WITHIN.total_seconds()):
            return await look(_LOCAL.get(host, host), port)
    except TimeoutError as error:
        raise SelfCheckError(
            f"port {port} of {host} did not answer us within "
            f"{WITHIN.total_seconds():.0f} s"
        ) from error
    except OSError as error:
        # An error of TLS has its words in `reason`, and no number.
        reason = getattr(error, "reason", "") or describe(error)
        raise SelfCheckError(
            f"our own port {port} of {host} gives no answer: {reason}",
            hint="check the packet filter and IPAddressDeny of the unit",
        ) from error
