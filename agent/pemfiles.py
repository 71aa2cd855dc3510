"""Certificates that the configuration names, read at each use: they may be replaced."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from agent.config.authorities import Ca
from agent.config.trust import list_of
from agent.files import read_bounded
from agent.pki.chain import parse_anchors
from agent.trust.errors import UnknownError


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


class Anchors:
    """What the chains of CAs end in: files, or lists of trusted roots."""

    def __init__(self, trusted: Callable[[str], str]) -> None:
        """Take what returns the roots of a list, PEM; empty where it has none yet."""
        self._trusted = trusted

    def followed(self, name: str) -> str:
        """Return the roots of a list that a CA's table follows.

        Raises:
            UnknownError: It has none yet.
        """
        roots = self._trusted(name)
        if not roots:
            raise UnknownError(
                f"the list {name} that the ca's roots follow has no roots",
                hint=f"see nfcertd trust for what keeps {name} from being fetched",
            )
        return roots

    async def of(self, table: Ca) -> tuple[x509.Certificate, ...]:
        """Return the anchors of the chains that a CA issues.

        Raises:
            AgentError: There are none, or they cannot be read.
        """
        path = table.chain_roots or table.roots
        followed = list_of(path)
        if followed is not None:
            return parse_anchors(self.followed(followed).encode("ascii"))
        if path == "system":
            path = "/etc/ssl/certs/ca-certificates.crt"
        return await read_anchors(path)

    async def issuers(self, table: Ca) -> tuple[x509.Certificate, ...]:
        """Return who must have signed what a CA issues; none where anybody may."""
        return () if table.issuers is None else await read_anchors(table.issuers)
