"""The CA as a server: HTTPS on loopback, from entering a context to leaving it.

Knows how a request comes in, meets faults, is worked on, logged and answered, and how
all of it ends: on leaving, no task and no socket is left.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import ClassVar, Final, Self, cast

from aiohttp import web
from cryptography import x509

from tests.ca.accounts import Account
from tests.ca.actions import http_date
from tests.ca.certificates import Revocation
from tests.ca.config import Config
from tests.ca.delivery import deliver
from tests.ca.endpoints import Endpoints, Rooms
from tests.ca.exchange import Answer, Delivery, Exchange, json_answer
from tests.ca.faults import Faults
from tests.ca.gate import peek
from tests.ca.issuing import Authority, Issued, Profile, PublicKey, validity_of
from tests.ca.log import Entry, Log
from tests.ca.orders import Challenge, Order
from tests.ca.problems import ProblemError
from tests.ca.renewal import Suggestion, name_of
from tests.ca.star import Series
from tests.ca.statements import Statements
from tests.ca.status import StatusServer
from tests.ca.transport import make_transport
from tests.ca.urls import Urls, route
from tests.ca.validation import Proof
from tests.ca.validators import make_validators

_READ_SECONDS: Final = 10.0
_SHUTDOWN_SECONDS: Final = 2.0


class TestCA:
    """An ACME server for tests: `async with TestCA(Config(...)) as ca`.

    Attributes:
        config: The switches.
        faults: The script of faults; may grow at any time.
        log: Every request since the start.
        status: Its CRL and OCSP responder, where it has them.
        transport_root_pem: What clients have to trust for TLS.
    """

    __test__: ClassVar[bool] = False

    def __init__(self, config: Config | None = None) -> None:
        """Make keys and certificates; nothing listens before the context is entered."""
        self.config = config or Config()
        self.faults = Faults()
        self.log = Log()
        self._transport = make_transport(self.config.host)
        self.transport_root_pem = self._transport.root_pem
        self._urls = Urls("")
        self._validators = make_validators(self.config)
        self._runner: web.ServerRunner
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bugs: list[BaseException] = []
        self._authority = Authority(
            alternates=self.config.alternate_chains,
            include_root=self.config.include_root,
        )
        self._rooms, self._endpoints = self._open()
        self.status = StatusServer(
            issuer=self._authority.intermediates[0],
            certificates=lambda: self._rooms.certificates,
            now=self.config.now,
            statements=self.config.statements or Statements(),
        )

    def _open(self) -> tuple[Rooms, Endpoints]:
        rooms = Rooms(self.config, self._urls, self._validators, self._authority)
        return rooms, Endpoints(rooms, self._spawn)

    async def __aenter__(self) -> Self:
        """Listen."""
        server = web.Server(self._serve, access_log=None, keepalive_timeout=30.0)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self.config.port,
            ssl_context=self._transport.context,
        )
        await site.start()
        port = self._runner.addresses[0][1]
        self._urls.rebase(f"https://{self.config.host}:{port}")
        if self.config.statements is not None:
            await self.status.start()
            self._rooms.certificates.named_in = self._with_status
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every wait, task and socket; a bug in a validator comes out here."""
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self.status.stop()
        if self._bugs and error is None:
            raise self._bugs[0]

    def _with_status(self, profile: Profile) -> Profile:
        """Let certificates say where their status can be had."""
        base, statements = self.status.base, self.status.statements
        return replace(
            profile,
            crl_url=f"{base}/crl" if statements.crl else None,
            ocsp_url=f"{base}/ocsp" if statements.ocsp else None,
        )

    def certify(self, csr: bytes) -> bytes:
        """Issue a chain for a PEM request, as the CA's operator does at a desk."""
        request = x509.load_pem_x509_csr(csr)
        names = request.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        profile = self.config.profile
        leaf = self._authority.sign(
            cast("PublicKey", request.public_key()),
            list(names),
            profile,
            validity_of(profile, self.config.now()),
            request,
        )
        return self._authority.chain(leaf)

    def revoke(self, serial: int, reason: int) -> None:
        """Revoke a certificate as the CA's own operator does, whoever holds it."""
        revocation = Revocation(at=self.config.now(), reason=reason)
        self._rooms.certificates.revoked[serial] = revocation

    def release(self, serial: int) -> None:
        """Take back that a certificate is on hold."""
        self._rooms.certificates.revoked.pop(serial)

    @property
    def directory_url(self) -> str:
        """Return the URL where a client begins."""
        return self._urls.directory

    @property
    def urls(self) -> Urls:
        """Return the URLs of all resources."""
        return self._urls

    @property
    def issuing_root_pem(self) -> bytes:
        """Return the root above the default chain."""
        return self._authority.roots[0].pem

    def issue_below(self, number: int) -> None:
        """Make the chain below a root the default one, as a CA that rolls over."""
        self._authority.default = number

    @property
    def alternate_root_pems(self) -> list[bytes]:
        """Return the roots above the alternate chains."""
        return [root.pem for root in self._authority.roots[1:]]

    @property
    def accounts(self) -> list[Account]:
        """Return all accounts, oldest first."""
        return list(self._rooms.accounts.by_id.values())

    @property
    def orders(self) -> list[Order]:
        """Return all orders, oldest first."""
        return list(self._rooms.orders.by_id.values())

    @property
    def certificates(self) -> list[Issued]:
        """Return all certificates, oldest first."""
        return list(self._rooms.certificates.by_id.values())

    @property
    def series(self) -> list[Series]:
        """Return all series of STAR orders, oldest first."""
        return list(self._rooms.stars.by_id.values())

    @property
    def revoked(self) -> dict[int, Revocation]:
        """Return what was revoked, by serial number."""
        return dict(self._rooms.certificates.revoked)

    def suggest(self, issued: Issued, suggestion: Suggestion) -> None:
        """Tell this window for a certificate from now on."""
        self._rooms.renewals.script[name_of(issued.leaf)] = suggestion

    @property
    def answered_orders(self) -> int:
        """Return how many newOrder requests were answered with an order."""
        return self.log.count("newOrder", status=201)

    @property
    def busy(self) -> bool:
        """Tell whether a validation is under way, or a request not answered yet."""
        return bool(self._tasks) or any(entry.status is None for entry in self.log)

    def forget_nonces(self) -> None:
        """Make all nonces that are out worthless."""
        self._rooms.nonces.forget()

    def forget_everything(self) -> None:
        """Lose all accounts, orders and certificates; roots and URL stay."""
        self._rooms, self._endpoints = self._open()

    def _spawn(self, challenge: Challenge, proof: Proof) -> None:
        """Begin a validation; it ends by its own bound, or with the CA."""
        task = asyncio.create_task(self._validate(challenge, proof))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bugs.append(bug)

    async def _validate(self, challenge: Challenge, proof: Proof) -> None:
        problem = await self._validators[challenge.type].validate(proof)
        self._rooms.orders.conclude(challenge, problem)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        exchange = await self._receive(request)
        kind, nonce = peek(exchange.body)
        exchange.burn_nonce = lambda: self._burn(nonce)
        ticket = self.log.begin(
            Entry(
                method=exchange.method,
                resource=exchange.resource,
                url=exchange.url,
                payload_kind=kind,
                nonce=nonce,
                at=self.config.now(),
            )
        )
        answer = await self._answer(exchange)
        dropped = answer.delivery is Delivery.DROP
        self.log.finish(
            ticket,
            status=0 if dropped else answer.status,
            replay_nonce="" if dropped else answer.header("Replay-Nonce"),
            problem="" if dropped else answer.problem,
            faults=tuple(type(action).__name__ for action in exchange.actions),
        )
        return await deliver(request, answer)

    def _burn(self, nonce: str) -> None:
        self._rooms.nonces.redeem(nonce)

    async def _receive(self, request: web.BaseRequest) -> Exchange:
        resource, parts = route(request.path)
        async with asyncio.timeout(_READ_SECONDS):
            body = await request.read()
        return Exchange(
            method=request.method,
            resource=resource,
            parts=parts,
            url=self._urls.base + request.raw_path,
            content_type=request.headers.get("Content-Type", ""),
            user_agent=request.headers.get("User-Agent", ""),
            body=body,
            actions=self.faults.strike(resource, request.method),
            pause=self._pause,
            now=self.config.now,
            authority=self._authority,
        )

    async def _answer(self, exchange: Exchange) -> Answer:
        answer = await self._first(exchange)
        if not answer.bare:
            answer = self._complete(exchange, answer)
        for action in exchange.actions:
            answer = await action.after(exchange, answer)
        return answer

    async def _first(self, exchange: Exchange) -> Answer:
        for action in exchange.actions:
            if (answer := await action.before(exchange)) is not None:
                return answer
        try:
            return self._endpoints.handle(exchange)
        except ProblemError as error:
            return json_answer(
                error.problem.document(),
                status=error.problem.code,
                headers=error.headers,
                media_type="application/problem+json",
                problem=error.problem.uri,
            )

    def _complete(self, exchange: Exchange, answer: Answer) -> Answer:
        """Add what every answer of this CA carries."""
        answer = answer.setting("Date", http_date(self.config.now()))
        if exchange.method == "POST" or exchange.resource == "newNonce":
            answer = answer.adding("Replay-Nonce", self._rooms.nonces.issue())
        if exchange.resource != "directory":
            answer = answer.adding("Link", f'<{self._urls.directory}>;rel="index"')
        return answer
