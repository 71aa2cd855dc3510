"""How the status of a certificate is asked for: OCSP first, then its CRL."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509

from agent.clock import Clock
from agent.errors import AgentError
from agent.jobs.context import Context
from agent.jobs.status import AskStatus, Heard
from agent.pki.chain import parse_anchors
from agent.pki.crl import read_crl
from agent.pki.ocsp import ocsp_request, read_ocsp
from agent.pki.status import StatusError, issuer_of
from agent.ports import Retriever
from agent.records.certificate import CertificateRecord
from agent.records.revocation import IssuedRecord
from agent.renewal.revocation import check_interval

MAX_CACHE: Final = 10 << 20
"""Octets of CRLs that are kept, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is asked about.

    Attributes:
        issued: The certificate, and where its status can be had.
        candidates: Certificates of which one is its issuer.
        allow: Networks whose addresses may be asked although they are our own.
        interval: How old a CRL out of the cache may be.
    """

    issued: IssuedRecord
    candidates: tuple[x509.Certificate, ...]
    allow: Sequence[str]
    interval: timedelta


def asking_about(
    record: CertificateRecord,
    effect: AskStatus,
    context: Context,
    anchors: tuple[x509.Certificate, ...],
) -> Asking:
    """Return what is asked about the newest certificate of a record."""
    issued, current = record.issued_as(effect.fingerprint), record.current
    if issued is None or current is None:
        raise LookupError(effect.fingerprint)
    chain = parse_anchors(current.chain.encode("ascii"))
    return Asking(
        issued=issued,
        candidates=(*chain[1:], *anchors),
        allow=context.config.status.allow,
        interval=check_interval(current.not_after - current.not_before),
    )


class _Kept(NamedTuple):
    """A CRL in the cache: its octets, since when, and until when it is the newest."""

    der: bytes
    since: datetime
    until: datetime


class StatusProcedure:
    """Performs effects of status jobs; certificates of one CA share its CRL."""

    def __init__(self, retriever: Retriever, clock: Clock) -> None:
        """Take the collaborators; nothing is kept yet."""
        self._retriever = retriever
        self._clock = clock
        self._crls: dict[str, _Kept] = {}
        self._fetching: dict[str, asyncio.Lock] = {}

    async def perform(self, effect: AskStatus, asking: Asking) -> Heard:
        """Ask every source until one gives an answer that can be relied on.

        Raises:
            AgentError: None did; the failure of the last one.
        """
        leaf = x509.load_pem_x509_certificate(asking.issued.leaf.encode("ascii"))
        issuer = issuer_of(leaf, asking.candidates)
        last: AgentError = StatusError("the certificate names no source of its status")
        for url in asking.issued.ocsp:
            try:
                return await self._ocsp(url, leaf, issuer, effect, asking)
            except AgentError as error:
                last = error
        for url in asking.issued.crl:
            try:
                return await self._crl(url, leaf, issuer, asking)
            except AgentError as error:
                last = error
        raise last

    async def _ocsp(
        self,
        url: str,
        leaf: x509.Certificate,
        issuer: x509.Certificate,
        effect: AskStatus,
        asking: Asking,
    ) -> Heard:
        request = ocsp_request(leaf, issuer, effect.nonce.encode("ascii"))
        der = await self._retriever.fetch(url, request, asking.allow)
        now = self._clock.now()
        said = read_ocsp(der, leaf, issuer, request=request, now=now)
        return Heard(said.revoked, "ocsp")

    async def _crl(
        self,
        url: str,
        leaf: x509.Certificate,
        issuer: x509.Certificate,
        asking: Asking,
    ) -> Heard:
        # Those who come while it is fetched find it in the cache.
        async with self._fetching.setdefault(url, asyncio.Lock()):
            now = self._clock.now()
            kept = self._crls.get(url)
            if kept is not None and now < min(kept.until, kept.since + asking.interval):
                said = read_crl(kept.der, leaf, issuer, url=url, now=now)
                return Heard(said.revoked, "crl")
            der = await self._retriever.fetch(url, None, asking.allow)
            now = self._clock.now()
            said = read_crl(der, leaf, issuer, url=url, now=now)
            if said.until is not None:
                self._keep(url, _Kept(der, now, said.until))
            return Heard(said.revoked, "crl")

    def _keep(self, url: str, kept: _Kept) -> None:
        """Keep a CRL, and of the others the newest for which there is room."""
        others = [(u, k) for u, k in self._crls.items() if u != url]
        self._crls = {}
        room = MAX_CACHE
        for name, one in [(url, kept), *sorted(others, key=_since, reverse=True)]:
            if len(one.der) <= room and one.until > kept.since:
                self._crls[name] = one
                room -= len(one.der)


def _since(entry: tuple[str, _Kept]) -> datetime:
    return entry[1].since
