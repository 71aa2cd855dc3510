"""PEM files that the configuration names, read at each use: they may be replaced."""

import asyncio
from pathlib import Path

from cryptography import x509

from agent.config.authorities import Ca
from agent.files import read_bounded
from agent.pki.chain import parse_anchors


async def read_anchors(path: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a file.

    Raises:
        AgentError: It cannot be read, or holds none.
    """
    return parse_anchors(await asyncio.to_thread(read_bounded, Path(path)))


async def read_roots(table: Ca) -> str | None:
    """Return the anchors for a CA's TLS; None for the system's store."""
    if table.roots == "system":
        return None
    data = await asyncio.to_thread(read_bounded, Path(table.roots))
    # Around the certificates stand names, not always in ASCII.
    return data.decode("ascii", "ignore")
