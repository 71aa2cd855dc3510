"""What the CA's own tests share: a running CA and client, and an http-01 responder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web

from tests.ca.config import Config
from tests.ca.raw_client import Members, PrivateKey, RawClient, thumbprint_of
from tests.ca.server import TestCA

_PREFIX = "/.well-known/acme-challenge/"


@asynccontextmanager
async def running(
    config: Config | None = None, key: PrivateKey | None = None
) -> AsyncIterator[tuple[TestCA, RawClient]]:
    """Run a CA, and a client that has read its directory."""
    async with (
        TestCA(config) as ca,
        RawClient(ca.directory_url, ca.transport_root_pem, key) as client,
    ):
        yield ca, client


class Hands:
    """A clock that a test moves by hand; calling it tells the time."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        """Begin at `start`."""
        self._now = start

    def __call__(self) -> datetime:
        """Return the time."""
        return self._now

    def move(self, span: timedelta) -> None:
        """Let time pass."""
        self._now += span


@dataclass(slots=True, kw_only=True)
class Responder:
    """An http-01 server on a free port of loopback.

    Attributes:
        proofs: Body by token.
        hosts: The `Host` header of every request.
        agents: The `User-Agent` header of every request.
    """

    port: int = 0
    proofs: dict[str, str] = field(default_factory=dict, repr=False)
    hosts: list[str] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)

    async def serve(self, request: web.BaseRequest) -> web.Response:
        """Answer with the proof of the token in the path."""
        self.hosts.append(request.headers["Host"])
        self.agents.append(request.headers.get("User-Agent", ""))
        proof = self.proofs.get(request.path.removeprefix(_PREFIX))
        if proof is None:
            return web.Response(status=404)
        return web.Response(body=proof.encode())


@asynccontextmanager
async def responding() -> AsyncIterator[Responder]:
    """Run a responder."""
    responder = Responder()
    runner = web.ServerRunner(web.Server(responder.serve, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        responder.port = runner.addresses[0][1]
        yield responder
    finally:
        await runner.cleanup()


def key_authorization(client: RawClient, challenge: Members) -> str:
    """Return the key authorization of a challenge (RFC 8555 8.1)."""
    return f"{challenge['token']}.{thumbprint_of(client.key)}"


async def settled(client: RawClient, url: str, *, seconds: float = 10.0) -> Members:
    """Poll a resource until it is neither pending nor processing."""
    async with asyncio.timeout(seconds):
        while True:
            document: Members = (await client.post(url)).json
            if document["status"] not in {"pending", "processing"}:
                return document
            await asyncio.sleep(0.02)


async def prove(client: RawClient, responder: Responder, order: Members) -> None:
    """Prove every authorization of an order by http-01."""
    for url in order["authorizations"]:
        authz = (await client.post(url)).json
        challenge = authz["challenges"][0]
        responder.proofs[challenge["token"]] = key_authorization(client, challenge)
        await client.post(challenge["url"], {})
        await settled(client, url)
