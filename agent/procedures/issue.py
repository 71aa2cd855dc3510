"""How the effects of an issue job are performed."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from cryptography import x509
from msgspec.structs import replace

from agent.acme import device, jws
from agent.acme.errors import (
    ChallengeUnavailableError,
    KeyReuseError,
    OrderMismatchError,
    ProblemError,
    ProtocolError,
)
from agent.acme.identifiers import DNS, WILDCARD, Identifier, canonical, same
from agent.acme.messages import (
    MAX_IDENTIFIERS,
    Authorization,
    Challenge,
    Order,
    OrderList,
    is_token,
)
from agent.client import AcmeClient, Reply
from agent.clock import Clock
from agent.config.attestation import CHALLENGE, Attestation
from agent.config.wish import Wish
from agent.errors import AgentError
from agent.jobs.issue import effects
from agent.pki.request import request
from agent.ports import Keys, KeySigner, Presentation, Solver
from agent.procedures import extensions
from agent.procedures.download import Checks, Download, Source, star_source
from agent.procedures.profile import findings
from agent.procedures.signer import account_signer
from agent.records.keys import KeyRecord
from agent.records.others import AccountRecord
from agent.records.phases import AuthorizationRecord, OrderRecord

MAX_LISTED: Final = 10
"""Orders at the end of the account's list that are looked at after a lost answer."""
_OPEN: Final = frozenset({"pending", "ready", "processing"})
"""States of an order that is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """What one certificate's orders are made of.

    Attributes:
        wish: What the certificate is to be.
        challenge: Type of the challenges that are answered, except for devices.
        anchors: Reads the anchors that chains must end in.
        preferred: Which of them is preferred, as configured; empty for none.
        must_staple: The certificate is to demand stapling (RFC 7633).
        issuers: Reads who must have signed the leaf; none where anybody may.
        authority: Name of the token authority that tkauth-01 asks; empty for none.
        attestation: Who vouches for the key, where a device is ordered.
        account: The account, registered.
        key: The key of the order, from its record.
    """

    wish: Wish
    challenge: str
    anchors: Callable[[], Awaitable[tuple[x509.Certificate, ...]]]
    issuers: Callable[[], Awaitable[tuple[x509.Certificate, ...]]]
    account: AccountRecord
    key: KeyRecord
    preferred: str = ""
    must_staple: bool = False
    authority: str = ""
    attestation: Attestation | None = None

    def challenge_for(self, kind: str) -> str:
        """Return the type of the challenge that proves identifiers of a type.

        Only one proves a device, so that names beside it keep theirs.
        """
        return CHALLENGE if kind in device.TYPES else self.challenge

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Return what is ordered, in canonical form; wildcards as `*.example.org`."""
        return self.wish.identifiers


class _Presented(NamedTuple):
    """What takes a presented challenge down, and the payload that answers it.

    It is bound to the account's key, by which it is known whether it still holds.
    """

    stack: AsyncExitStack
    payload: dict[str, object]
    key: str


class IssueProcedure:
    """Performs effects of issue jobs of one CA; what is presented outlives an effect.

    A challenge stays presented from its answer until `finished`, because the CA may
    validate at any moment in between.
    """

    def __init__(
        self,
        client: AcmeClient,
        keys: Keys,
        solvers: Mapping[str, Solver],
        clock: Clock,
    ) -> None:
        """Take the collaborators; nothing is presented yet."""
        self._client = client
        self._keys = keys
        self._solvers = solvers
        self._clock = clock
        self._presented: dict[tuple[str, str], _Presented] = {}

    async def aclose(self) -> None:
        """Take down whatever is still presented."""
        for subject, _ in list(self._presented):
            await self.finished(subject)

    async def finished(self, subject: str) -> None:
        """Take down what is presented for a certificate whose challenges are over."""
        for place in [p for p in self._presented if p[0] == subject]:
            await self._take_down(place)

    async def _take_down(self, place: tuple[str, str]) -> None:
        presented = self._presented.pop(place, None)
        if presented is not None:
            await presented.stack.aclose()

    async def perform(  # noqa: PLR0911 -- one arm an effect
        self, subject: str, effect: effects.Effect, ordering: Ordering
    ) -> effects.Outcome:
        """Perform one effect.

        Raises:
            AgentError: It failed; the caller folds the failure into the job.
        """
        match effect:
            case effects.MakeKey():
                made = await self._keys.make(ordering.key)
                return effects.KeyExists(made.public, made.token_serial)
            case effects.CreateOrder():
                return await self._create(effect.extras, ordering)
            case effects.FindOrder():
                return await self._find(ordering)
            case effects.FetchAuthorization():
                return await self._authorization(subject, effect, ordering)
            case effects.Answer():
                return await self._answer(subject, effect, ordering)
            case effects.Finalize() | effects.FetchOrder():
                return await self._order(effect, ordering)
            case effects.Download(_, url, star):
                source = Source(url) if star is None else star_source(url)
                return await self.download(source, ordering)

    async def _create(
        self, extras: effects.Extras, ordering: Ordering
    ) -> effects.OrderSeen:
        directory = await self._client.directory()
        more = extensions.members(extras, directory, self._clock.now())
        payload = {"identifiers": ordering.identifiers, **more}
        try:
            reply = await self._post(directory.new_order, payload, ordering, "newOrder")
        except ProblemError as error:
            raise extensions.refusal(error, more, extras) from error
        if not reply.location:
            raise ProtocolError("the ca created an order without a location")
        order = reply.read(Order, "order")
        _check_order(order, ordering)
        asked = "auto-renewal" in more
        return effects.OrderSeen(reply.location, order, reply.retry_at, asked)

    async def _find(
        self, ordering: Ordering
    ) -> effects.OrderSeen | effects.OrderNotFound:
        """Look for an open order with our names (RFC 8555 section 7.1.2.1)."""
        if not ordering.account.orders:
            return effects.OrderNotFound()
        reply = await self._post(ordering.account.orders, None, ordering, "orders")
        listed = reply.read(OrderList, "list of orders").orders
        for url in reversed(listed[-MAX_LISTED:]):
            seen = await self._look_at(url, ordering)
            if seen is not None:
                return seen
        return effects.OrderNotFound()

    async def _look_at(self, url: str, ordering: Ordering) -> effects.OrderSeen | None:
        reply = await self._post(url, None, ordering, "order")
        order = reply.read(Order, "order")
        open_ = order.status in _OPEN
        if not (open_ and _is_ours(order, ordering)):
            return None
        return effects.OrderSeen(url, order)

    async def _authorization(
        self, subject: str, effect: effects.FetchAuthorization, ordering: Ordering
    ) -> effects.AuthorizationSeen:
        for known in (effect.authorization, *effect.others):
            if known.answered and known.challenge:
                # After a restart what was presented is gone: present it again first.
                await self._present(subject, known, ordering)
        reply = await self._post(effect.authorization.url, None, ordering, "authz")
        authorization = reply.read(Authorization, "authorization")
        _check_identifier(authorization, ordering)
        wanted = ordering.challenge_for(authorization.identifier.type)
        for challenge in authorization.challenges:
            if challenge.type == wanted and _is_usable(challenge):
                return effects.AuthorizationSeen(
                    authorization,
                    challenge.url,
                    challenge.token or "",
                    challenge.status,
                    reply.retry_at,
                    challenge.issuers,
                    challenge.token_type,
                    challenge.authority,
                )
        if authorization.status == "pending":
            raise ChallengeUnavailableError(
                f"the ca offers no {wanted} for {authorization.identifier.value}",
                hint="ask the ca's operator, or configure another challenge",
            )
        return effects.AuthorizationSeen(authorization, "", "", "", reply.retry_at)

    async def _answer(
        self, subject: str, effect: effects.Answer, ordering: Ordering
    ) -> effects.Answered:
        wanted = effect.authorization
        try:
            for other in effect.others:
                await self._present(subject, other, ordering)
            payload = await self._present(subject, wanted, ordering)
        except AgentError:
            # What nobody looks for yet may be what another order waits for.
            for each in (*effect.others, wanted):
                if not each.answered:
                    await self._take_down((subject, each.challenge))
            raise
        reply = await self._post(wanted.challenge, payload, ordering, "challenge")
        return effects.Answered(reply.retry_at)

    async def _present(
        self, subject: str, wanted: AuthorizationRecord, ordering: Ordering
    ) -> dict[str, object]:
        key = ordering.account.key
        if key is None:
            raise ProtocolError("the account has no key")
        place = (subject, wanted.challenge)
        known = self._presented.get(place)
        if known is not None and known.key != key.id:
            # The account's key was replaced: what is presented proves nothing now.
            del self._presented[place]
            await known.stack.aclose()
        if place not in self._presented:
            presentation = self._presentation(wanted, ordering, key.public)
            stack = AsyncExitStack()
            kind = ordering.challenge_for(wanted.identifier_type)
            solver = self._solvers[kind]
            payload = await stack.enter_async_context(solver.prepare(presentation))
            self._presented[place] = _Presented(stack, payload, key.id)
        return self._presented[place].payload

    def _presentation(
        self, wanted: AuthorizationRecord, ordering: Ordering, account_key: bytes
    ) -> Presentation:
        token = wanted.token
        return Presentation(
            identifier=canonical(
                Identifier(type=wanted.identifier_type, value=wanted.identifier)
            ),
            wildcard=wanted.wildcard,
            token=token,
            key_authorization=jws.key_authorization(token, account_key)
            if token
            else "",
            issuers=wanted.issuers,
            token_type=wanted.token_type,
            authority_hint=wanted.authority,
            authority=ordering.authority,
            attestation=ordering.attestation,
            account_url=ordering.account.url,
            thumbprint=jws.thumbprint(account_key),
            certificate_key=KeySigner(
                ordering.key.public,
                partial(self._keys.sign, ordering.key),
                ordering.key.store,
                ordering.key.id,
            ),
        )

    async def _order(
        self, effect: effects.Finalize | effects.FetchOrder, ordering: Ordering
    ) -> effects.OrderSeen:
        if isinstance(effect, effects.FetchOrder):
            reply = await self._post(effect.order.url, None, ordering, "order")
        else:
            _check_key(ordering)
            csr = await self._keys.use(
                ordering.key,
                request(ordering.wish.content, must_staple=ordering.must_staple),
            )
            payload: dict[str, object] = {"csr": jws.b64(csr)}
            url = effect.order.finalize
            reply = await self._post(url, payload, ordering, "finalize")
        order = reply.read(Order, "order")
        _check_unchanged(order, effect.order, ordering)
        return effects.OrderSeen(effect.order.url, order, reply.retry_at)

    async def download(self, source: Source, ordering: Ordering) -> effects.Downloaded:
        """Fetch a chain, and hold it against everything that it must be.

        Raises:
            AgentError: It cannot be fetched, or fails a check.
        """
        anchors = await ordering.anchors()
        checks = Checks(
            public=ordering.key.public,
            identifiers=ordering.identifiers,
            anchors=anchors,
            now=self._clock.now(),
            must_staple=ordering.must_staple,
            allowed=ordering.wish.allowed,
            optional=ordering.wish.optional,
        )
        signer = account_signer(self._keys, ordering.account)
        download = Download(self._client, signer, checks)
        chain = await download.choose(source, ordering.preferred)
        # Cached: a nonce was needed for the download.
        offered = (await self._client.directory()).renewal_info is not None
        found = findings(chain, ordering.wish, anchors, await ordering.issuers())
        return effects.Downloaded(chain, renewal_info=offered, findings=found)

    async def _post(
        self,
        url: str,
        payload: dict[str, object] | None,
        ordering: Ordering,
        resource: str,
    ) -> Reply:
        signer = account_signer(self._keys, ordering.account)
        return await self._client.post(url, payload, signer, resource)


def _is_usable(challenge: Challenge) -> bool:
    """Tell whether a challenge has no token, as newer types, or a well-formed one."""
    return challenge.token is None or is_token(challenge.token)


def _check_key(ordering: Ordering) -> None:
    """Refuse what RFC 8555 section 11.1 forbids; only adopted keys can run into it."""
    known = (*ordering.account.keys, ordering.account.key)
    if any(k is not None and k.public == ordering.key.public for k in known):
        raise KeyReuseError(
            "the certificate's key is the account's key",
            hint="adopt another key for one of them",
        )


def _is_ours(order: Order, ordering: Ordering) -> bool:
    return same(order.identifiers, ordering.identifiers)


def _check_order(order: Order, ordering: Ordering) -> None:
    """Compare what came back with what was asked for (RFC 8555 section 7.4)."""
    if order.identifiers and not _is_ours(order, ordering):
        raise OrderMismatchError("the ca's order is for other names than were asked")
    if len(order.authorizations) > MAX_IDENTIFIERS:
        raise OrderMismatchError("the ca's order has too many authorizations")


def _check_unchanged(order: Order, known: OrderRecord, ordering: Ordering) -> None:
    """Refuse an order that is for something else than it was (section 7.1.3).

    One that is over lists what was completed, and some leave out what they have said.
    """
    _check_order(order, ordering)
    strange = set(order.authorizations) - set(known.authorizations)
    if strange and known.authorizations and order.status in _OPEN:
        raise OrderMismatchError("the ca has changed the authorizations of the order")


def _check_identifier(authorization: Authorization, ordering: Ordering) -> None:
    """Refuse an authorization of anything else than what was ordered (7.1.4)."""
    seen = canonical(authorization.identifier)
    wildcard = replace(seen, value=f"{WILDCARD}{seen.value}") in ordering.identifiers
    plain = seen in ordering.identifiers and not authorization.wildcard
    if not (plain or (wildcard and seen.type == DNS)):
        raise OrderMismatchError("the ca asks for authorization of a name not ordered")
