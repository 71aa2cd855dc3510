"""How one chain is chosen among those that a CA offers (RFC 8555 section 7.4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509

from agent.acme.errors import ProblemError, ProtocolError
from agent.acme.identifiers import Identifier
from agent.client import AcmeClient, Reply, Signer
from agent.pki.anchors import preferred_anchors
from agent.pki.chain import (
    ChainError,
    CheckedChain,
    check_chain,
    fingerprint,
    parse_chain,
)
from agent.pki.names import Beside

MAX_ALTERNATES: Final = 4
"""Further chains that are fetched, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What every chain is held against.

    Attributes:
        public: The key that the request was signed with, SPKI, DER.
        identifiers: What was ordered.
        anchors: The configured trust anchors.
        now: When the check is made.
        must_staple: Whether the leaf was asked to demand stapling.
        allowed: What the leaf may name beside what was ordered.
        optional: What was ordered, and the leaf may leave out.
    """

    public: bytes
    identifiers: tuple[Identifier, ...]
    anchors: Sequence[x509.Certificate]
    now: datetime
    must_staple: bool = False
    allowed: tuple[Identifier, ...] = ()
    optional: tuple[Identifier, ...] = ()

    def hold(self, pem: bytes, anchors: Sequence[x509.Certificate]) -> CheckedChain:
        """Return the chain as it is published.

        Raises:
            ChainError: The first check that failed, in words.
        """
        return check_chain(
            pem,
            public=self.public,
            identifiers=self.identifiers,
            anchors=anchors,
            now=self.now,
            beside=Beside(self.allowed, self.must_staple, self.optional),
        )


class Source(NamedTuple):
    """Where a certificate is fetched.

    Attributes:
        url: Its URL.
        resource: What it is called, for the audit trail.
        public: It is fetched without a signature (RFC 8739 section 3.4).
    """

    url: str
    resource: str = "certificate"
    public: bool = False


def star_source(url: str, *, public: bool = False) -> Source:
    """Return the URL on which the certificates of a series follow each other."""
    return Source(url, "star-certificate", public)


class Download:
    """One certificate with the chains that the CA offers for it.

    The default chain is all that is fetched where it will do. The others are looked at
    where it does not end in the preferred anchor, or in none that is trusted; whatever
    is chosen has passed every check.
    """

    def __init__(self, client: AcmeClient, signer: Signer, checks: Checks) -> None:
        """Take the client, who signs for it, and what chains are held against."""
        self._client = client
        self._signer = signer
        self._checks = checks

    async def choose(self, source: Source, preference: str) -> CheckedChain:
        """Return the chain that ends in the preferred anchor, or the first good one.

        Args:
            source: Where the certificate is.
            preference: Names an anchor, see `preferred_anchors`; empty for none.

        Raises:
            AgentError: The chain cannot be fetched, or none of them passes.
        """
        everything = self._checks.anchors
        preferred = preferred_anchors(everything, preference) if preference else ()
        reply = await self._fetch(source)
        bodies = [reply.body]
        found = self._first(bodies, preferred or everything)
        if found is None:
            bodies += await self._alternates(source, reply)
            found = self._first(bodies, preferred or everything)
        if found is None and preferred:
            found = self._first(bodies, everything)
        # No chain passes: what is wrong with the default one is what matters.
        return found or self._checks.hold(reply.body, everything)

    def _first(
        self, bodies: Sequence[bytes], anchors: Sequence[x509.Certificate]
    ) -> CheckedChain | None:
        for body in bodies:
            try:
                return self._checks.hold(body, anchors)
            except ChainError:
                continue
        return None

    async def _fetch(self, source: Source) -> Reply:
        signer = None if source.public else self._signer
        return await self._client.download(source.url, signer, source.resource)

    async def _alternates(self, source: Source, default: Reply) -> list[bytes]:
        """Fetch other chains; one that is no chain of this leaf is left out.

        "Multiple certificate chains for the same end-entity": another leaf would be
        another certificate.
        """
        leaf = _leaf(default.body)
        found = []
        for url in default.alternates[:MAX_ALTERNATES]:
            try:
                body = (await self._fetch(source._replace(url=url))).body
            except (ProblemError, ProtocolError):
                continue
            if leaf and _leaf(body) == leaf:
                found.append(body)
        return found


def _leaf(pem: bytes) -> str:
    """Return the fingerprint of a chain's leaf; empty where it cannot be read."""
    try:
        return fingerprint(parse_chain(pem)[0])
    except ChainError:
        return ""
