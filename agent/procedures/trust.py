"""How the effects of a list of trusted roots are performed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.acme.headers import retry_after
from agent.acme.http import Request
from agent.client import Transport
from agent.clock import Clock
from agent.config.trust import Trust
from agent.config.units import duration
from agent.files import read_bounded
from agent.jobs import trust
from agent.jobs.step import Performed
from agent.pki import jws
from agent.ports import RootsPublisher
from agent.records.trust import TrustRecord
from agent.trust.errors import SourceError
from agent.trust.merge import signer_of
from agent.trust.roots import MAX_DOCUMENT, Document, read_cacerts, read_pem
from agent.trust.signed import Expected, read_signed

_OK: Final = 200
_ACCEPT: Final = {
    "est": "application/pkcs7-mime",
    "signed": "application/json",
}

Reach = Callable[[Trust, str | None], Transport]
"""Makes the transport to a list's source from its table and its roots' PEM."""


class TrustProcedure:
    """Performs effects of trust jobs."""

    def __init__(self, reach: Reach, publisher: RootsPublisher, clock: Clock) -> None:
        """Take the collaborators."""
        self._reach = reach
        self._publisher = publisher
        self._clock = clock

    async def perform(
        self, effect: trust.Effect, record: TrustRecord, table: Trust
    ) -> trust.Outcome:
        """Perform one effect.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        match effect:
            case trust.Fetch():
                return trust.Fetched(await self._fetch(record, table))
            case trust.PublishRoots(version):
                await self._publisher.publish_roots(record.name, version, record.bundle)
            case trust.PruneRoots():
                await self._publisher.prune_roots(record.name, record.published)
        return Performed()

    async def _fetch(self, record: TrustRecord, table: Trust) -> Document:
        if table.file is not None:
            return read_pem(await _read(table.file))
        if table.est is not None:
            return read_cacerts(await self._get(table, table.est))
        if table.signed is None or table.signer is None:
            raise LookupError(record.name)
        pin = public_key(await _read(table.signer))
        expected = Expected(table.list or record.name, pin, signer_of(record, pin))
        body = await self._get(table, table.signed)
        return read_signed(body, expected, self._clock.now())

    async def _get(self, table: Trust, url: str) -> bytes:
        """Ask once, on a connection of its own: lists are asked hours apart."""
        roots = None
        if table.roots is not None and table.roots != "system":
            roots = (await _read(table.roots)).decode("ascii", "ignore")
        transport = self._reach(table, roots)
        headers = {"Accept": _ACCEPT[table.source]}
        try:
            answer = await transport.send(
                Request(method="GET", url=url, headers=headers)
            )
        finally:
            await transport.rest()
        if answer.status != _OK:
            now = self._clock.now()
            asked = retry_after(answer.headers.get("retry-after"), now)
            # However busy it is: what it distrusts must reach us.
            latest = now + duration(table.interval)
            raise SourceError(
                f"the source of the list answers with the status {answer.status}",
                retry_at=None if asked is None else min(asked, latest),
            )
        return answer.body


async def _read(path: str) -> bytes:
    return await asyncio.to_thread(read_bounded, Path(path), MAX_DOCUMENT)


def public_key(pem: bytes) -> bytes:
    """Return the key of a PEM file, a certificate's or bare: SPKI, DER.

    Raises:
        SourceError: It holds neither.
    """
    try:
        return jws.public_key(pem)
    except ValueError as error:
        raise SourceError(
            "the file of the list's signer holds neither certificate nor public key"
        ) from error
