"""What procedures are made of, as fakes that remember what was asked of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent.acme.http import Request, Response
from agent.config.authorities import Ca
from agent.config.endpoints import Reload
from agent.config.model import Certificate
from agent.ports import MadeKey, Presentation
from agent.records.certificate import Publication
from agent.records.deployment import Sight, Sighting
from agent.records.keys import KeyRecord
from agent.trail.exchange import Exchange
from agent.transport import TransportError
from tests.fakes.clock import START
from tests.unit.vectors import RFC7515_A3_SPKI


class Line:
    """A transport to a CA that says yes to everything.

    Attributes:
        table: The CA's table when it was made.
        roots: The anchors that it was given.
        requests: What was sent.
        rested: How often it was told to rest.
        dead: Whether no answer comes.
    """

    def __init__(self, of: Ca, roots: str | None) -> None:
        """Begin with nothing sent."""
        self.table = of
        self.roots = roots
        self.requests: list[str] = []
        self.rested = 0
        self.dead = False

    async def send(self, request: Request) -> Response:
        """Answer."""
        self.requests.append(f"{request.method} {request.url}")
        await asyncio.sleep(0)
        if self.dead:
            raise TransportError("no answer from test.example in time")
        base = self.table.directory.removesuffix("/directory")
        body: dict[str, str] = {
            name: f"{base}/{name}" for name in ("newNonce", "newAccount", "newOrder")
        }
        headers = {"replay-nonce": "n", "location": f"{base}/made"}
        return Response(status=200, headers=headers, body=json.dumps(body).encode())

    async def rest(self) -> None:
        """Note it."""
        self.rested += 1


class Hands:
    """Keys, publisher, signaller, prober, solver and observer that remember.

    Attributes:
        done: What was asked for, in order.
        up: Tokens of challenges that are presented.
        errors: Failures at CAs.
    """

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.done: list[str] = []
        self.up: set[str] = set()
        self.errors: list[str] = []
        self.exchanges: list[Exchange] = []
        self.skews: list[tuple[str, float]] = []

    async def make(self, key: KeyRecord) -> MadeKey:
        """Make a key."""
        self.done.append(f"make {key.number}")
        return MadeKey(RFC7515_A3_SPKI, "")

    async def sign(self, key: KeyRecord, data: bytes) -> bytes:
        """Sign with nothing."""
        del key, data
        return b"signature"

    async def use(
        self, key: KeyRecord, work: Callable[[CertificateIssuerPrivateKeyTypes], bytes]
    ) -> bytes:
        """Lend no key."""
        del key, work
        return b""

    async def destroy(self, key: KeyRecord) -> None:
        """Destroy a key."""
        self.done.append(f"destroy {key.number}")

    async def publish(
        self, certificate: str, publication: Publication, of: Certificate
    ) -> None:
        """Publish."""
        del of
        self.done.append(f"publish {certificate} {publication.number}")

    async def swap(self, certificate: str, endpoint: str, number: int) -> None:
        """Swap."""
        self.done.append(f"swap {certificate}@{endpoint} {number}")

    async def prune(self, certificate: str, keep: frozenset[int]) -> None:
        """Prune."""
        self.done.append(f"prune {certificate} {sorted(keep)}")

    async def withdraw(
        self, certificate: str, endpoint: str, config: Certificate
    ) -> None:
        """Withdraw."""
        del config
        self.done.append(f"withdraw {certificate}@{endpoint}")

    async def clear(self, certificate: str) -> None:
        """Clear."""
        self.done.append(f"clear {certificate}")

    async def publish_roots(self, name: str, version: int, bundle: str) -> None:
        """Publish a list."""
        del bundle
        self.done.append(f"publish list {name} {version}")

    async def prune_roots(self, name: str, version: int) -> None:
        """Prune a list."""
        self.done.append(f"prune list {name} {version}")

    async def tell(self, reload: Reload) -> None:
        """Tell."""
        self.done.append(f"tell {reload.unit}")

    async def look(self, address: str, server_name: str, within: timedelta) -> Sighting:
        """See nothing."""
        del server_name, within
        return Sighting(address=address, sight=Sight.UNREACHABLE, at=START)

    async def fetch(self, url: str, body: bytes | None, allow: Sequence[str]) -> bytes:
        """Fetch nothing."""
        del body, allow
        self.done.append(f"fetch {url}")
        return b""

    @asynccontextmanager
    async def prepare(self, about: Presentation) -> AsyncIterator[dict[str, object]]:
        """Present."""
        self.up.add(about.token)
        try:
            yield {}
        finally:
            self.up.discard(about.token)

    def exchanged(self, exchange: Exchange) -> None:
        """Remember a signed request and its answer."""
        self.exchanges.append(exchange)

    async def run_program(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        within: timedelta,
        request: bytes,
    ) -> None:
        """Run a program."""
        assert not environment
        self.done.append(f"run {argv[0]} for {within}: {request.decode()}")

    async def check(
        self, name: str, table: Certificate, key: KeyRecord, *, challenged: bool
    ) -> None:
        """Look before an order, and find nothing wrong."""
        del table, key
        self.done.append(f"look before {name}{' again' if challenged else ''}")

    def request(self, ca: str, resource: str, status: int, seconds: float) -> None:
        """Hear of a request."""
        del ca, resource, status, seconds

    def skew(self, ca: str, seconds: float) -> None:
        """Hear of a clock."""
        self.skews.append((ca, seconds))

    def error(self, ca: str, kind: str) -> None:
        """Hear of a failure."""
        self.errors.append(f"{ca} {kind}")
