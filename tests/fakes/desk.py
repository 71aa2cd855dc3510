"""An issue procedure with everything real: a CA, an account, keys, a responder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography import x509

from agent.client import AcmeClient
from agent.clock import SystemClock
from agent.config.authorities import Account
from agent.config.model import Certificate
from agent.config.tokens import AccountKey, Key
from agent.config.wish import Wish, wish_of
from agent.errors import AgentError
from agent.jobs import register
from agent.jobs.issue import effects
from agent.keys.software import FileKeys
from agent.pki.chain import parse_anchors
from agent.ports import Presentation
from agent.procedures.account import AccountProcedure
from agent.procedures.issue import IssueProcedure, Ordering
from agent.procedures.revocation import RevokeProcedure
from agent.records.keys import KeyRecord, KeyState
from agent.records.others import AccountRecord
from agent.records.phases import AuthorizationRecord, OrderRecord
from agent.solvers.errors import BusyError
from agent.transport import HttpsTransport, Peer
from tests.ca import Config, TestCA
from tests.ca.harness import Responder, responding
from tests.fakes.acme import Ears
from tests.fakes.subjects import key as some_key

NAMES = ("web.example", "www.example")
WEB = "web"


class Board:
    """A solver that tells a responder what to answer.

    Attributes:
        entered: Tokens in the order in which they were presented.
        left: Tokens in the order in which they were taken down.
        seen: What was presented, in that order.
        busy: Tokens that cannot be presented now.
    """

    def __init__(self, responder: Responder) -> None:
        """Present on this responder."""
        self._responder = responder
        self.entered: list[str] = []
        self.left: list[str] = []
        self.seen: list[Presentation] = []
        self.busy: set[str] = set()

    @property
    def up(self) -> set[str]:
        """Return the tokens that are presented now."""
        return set(self._responder.proofs)

    @asynccontextmanager
    async def prepare(
        self, presentation: Presentation
    ) -> AsyncIterator[dict[str, object]]:
        """Present until left."""
        token = presentation.token
        if token in self.busy:
            raise BusyError("another order proves the same name")
        self.seen.append(presentation)
        self.entered.append(token)
        self._responder.proofs[token] = presentation.key_authorization
        try:
            yield {}
        finally:
            del self._responder.proofs[token]
            self.left.append(token)


@dataclass(frozen=True, slots=True)
class Desk:
    """A procedure with what it works on.

    Attributes:
        ca: The CA.
        issue: The procedure.
        client: The client that it uses.
        board: Its solver.
        ordering: An order of two names by a registered account.
        revoke: What has certificates revoked.
        keys: Where the keys of both are.
    """

    ca: TestCA
    issue: IssueProcedure
    client: AcmeClient
    board: Board
    ordering: Ordering
    revoke: RevokeProcedure
    keys: FileKeys

    async def perform(self, effect: effects.Effect, **changes: object) -> object:
        """Perform an effect, with changes to the ordering."""
        ordering = replace(self.ordering, **changes)  # type: ignore[arg-type]  # a test's own keywords
        return await self.issue.perform(WEB, effect, ordering)

    async def create(self) -> effects.OrderSeen:
        """Create an order."""
        seen = await self.perform(effects.CreateOrder("k"))
        assert isinstance(seen, effects.OrderSeen)
        return seen

    async def fetch(self, wanted: AuthorizationRecord) -> effects.AuthorizationSeen:
        """Fetch an authorization."""
        seen = await self.perform(effects.FetchAuthorization(wanted))
        assert isinstance(seen, effects.AuthorizationSeen)
        return seen

    async def fetch_again(self, known: AuthorizationRecord, ordered: Wish) -> None:
        """Fetch an answered authorization of another order; the CA's words are lost."""
        with suppress(AgentError):
            await self.perform(effects.FetchAuthorization(known), wish=ordered)

    async def challenge(self, url: str) -> AuthorizationRecord:
        """Return an authorization with its challenge, not answered yet."""
        seen = await self.fetch(AuthorizationRecord(url=url))
        return AuthorizationRecord(
            url=url,
            identifier=seen.authorization.identifier.value,
            challenge=seen.challenge,
            token=seen.token,
        )

    async def prove(self, order: OrderRecord) -> None:
        """Make every authorization of an order valid."""
        for url in order.authorizations:
            wanted = await self.challenge(url)
            await self.perform(effects.Answer(wanted))
            async with asyncio.timeout(10):
                while (await self.fetch(answered(wanted))).authorization.status != (
                    "valid"
                ):
                    await asyncio.sleep(0.01)


def answered(wanted: AuthorizationRecord) -> AuthorizationRecord:
    """Return an authorization whose challenge the CA has been told of."""
    return msgspec.structs.replace(wanted, answered=True)


def order_record(seen: effects.OrderSeen) -> OrderRecord:
    """Return what a job remembers of an order."""
    return OrderRecord(
        url=seen.url,
        finalize=seen.order.finalize,
        authorizations=seen.order.authorizations,
    )


async def _made(keys: FileKeys, number: int) -> KeyRecord:
    chosen = msgspec.structs.replace(
        some_key(number), state=KeyState.CHOSEN, public=b""
    )
    made = await keys.make(chosen)
    return msgspec.structs.replace(chosen, state=KeyState.MADE, public=made.public)


@asynccontextmanager
async def desk(home: Path, **switches: object) -> AsyncIterator[Desk]:
    """Run a CA, register an account with it, and give a procedure."""
    async with responding() as responder:
        config = Config(resolve=lambda _: ("127.0.0.1", responder.port), **switches)  # type: ignore[arg-type]  # a test's own keywords
        async with TestCA(config) as ca:
            peer = Peer(
                hosts=frozenset({urlsplit(ca.directory_url).netloc}),
                roots=ca.transport_root_pem.decode(),
                timeout=timedelta(seconds=10),
            )
            transport = HttpsTransport(peer)
            client = AcmeClient(
                name="test",
                directory_url=ca.directory_url,
                transport=transport,
                clock=SystemClock(),
                observer=Ears(),
            )
            keys = FileKeys(home / "keys")
            board = Board(responder)
            issue = IssueProcedure(client, keys, {"http-01": board}, SystemClock())
            try:
                account = await _registered(client, keys, ca)
                ordering = await _ordering(keys, account, ca)
                revoke = RevokeProcedure(client, keys)
                yield Desk(ca, issue, client, board, ordering, revoke, keys)
            finally:
                await issue.aclose()
                await transport.aclose()


async def _registered(client: AcmeClient, keys: FileKeys, ca: TestCA) -> AccountRecord:
    key = await _made(keys, 1)
    record = AccountRecord(name="test", directory=ca.directory_url, key=key)
    procedure = AccountProcedure(client, keys, lambda _: b"")
    table = Account(ca="test", key=AccountKey(file=True))
    made = await procedure.perform(register.Register(key), record, table)
    assert isinstance(made, register.Registered)
    return msgspec.structs.replace(record, url=made.url, orders=made.orders)


def wish(*names: str) -> Wish:
    """Return what a certificate of names and nothing else is to be."""
    return wish_of(Certificate(names=names, ca="test", key=Key(file=True)))


async def _ordering(keys: FileKeys, account: AccountRecord, ca: TestCA) -> Ordering:
    async def anchors() -> tuple[x509.Certificate, ...]:
        return parse_anchors(ca.issuing_root_pem)

    async def issuers() -> tuple[x509.Certificate, ...]:
        return ()

    return Ordering(
        wish=wish(*NAMES),
        challenge="http-01",
        anchors=anchors,
        issuers=issuers,
        account=account,
        key=await _made(keys, 2),
    )
