"""Everything that can go wrong on purpose.

Each class is one misbehaviour of a server or of the network. Which request meets it is
written in a `Fault`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import ClassVar, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.ca.exchange import Answer, Delivery, Exchange, Headers, json_answer
from tests.ca.faults import Action
from tests.ca.issuing import Issued, PublicKey, Validity, validity_of
from tests.ca.problems import Problem

MAX_DELAY: Final = 30.0
"""Seconds that any delay may last."""

A = TypeVar("A", bound=Action)


def struck_by(exchange: Exchange, kind: type[A]) -> A | None:
    """Return the first action of a kind that strikes this request."""
    found = (action for action in exchange.actions if isinstance(action, kind))
    return next(found, None)


def http_date(instant: datetime) -> str:
    """Return an instant as HTTP writes dates."""
    return format_datetime(instant.astimezone(UTC), usegmt=True)


# The connection


@dataclass(frozen=True, slots=True)
class DropBefore(Action):
    """Reset the connection; the CA never sees the request."""

    async def before(self, exchange: Exchange) -> Answer | None:
        """Answer nothing."""
        del exchange
        return Answer(delivery=Delivery.DROP)


@dataclass(frozen=True, slots=True)
class DropAfter(Action):
    """Do what was asked, then reset the connection: the answer is lost."""

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Lose the answer."""
        del exchange
        return replace(answer, delivery=Delivery.DROP)


@dataclass(frozen=True, slots=True)
class Delay(Action):
    """Wait some real seconds before anything happens."""

    seconds: float

    def __post_init__(self) -> None:
        """Refuse a wait without bound."""
        if not 0 <= self.seconds <= MAX_DELAY:
            raise ValueError(f"a delay lasts at most {MAX_DELAY:g} seconds")

    async def before(self, exchange: Exchange) -> Answer | None:
        """Wait, then let the CA work."""
        await exchange.pause(self.seconds)
        return None


@dataclass(frozen=True, slots=True)
class Truncate(Action):
    """Announce the whole body, send `keep` octets of it, close."""

    keep: int = 10

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Cut the body."""
        del exchange
        return replace(answer, delivery=Delivery.TRUNCATE, size=self.keep)


@dataclass(frozen=True, slots=True)
class Huge(Action):
    """Stream a body of `size` octets after doing what was asked."""

    size: int = 11 * 1024 * 1024

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Replace the body by a long one."""
        del exchange
        return replace(answer, delivery=Delivery.HUGE, size=self.size)


# Headers and bodies


@dataclass(frozen=True, slots=True)
class WithHeader(Action):
    """Set a header of the answer."""

    name: str
    value: str

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Set the header."""
        del exchange
        return answer.setting(self.name, self.value)


@dataclass(frozen=True, slots=True)
class WithoutHeader(Action):
    """Take a header such as `Location` or `Replay-Nonce` out of the answer."""

    name: str

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Take the header out."""
        del exchange
        return answer.without(self.name)


@dataclass(frozen=True, slots=True)
class ContentType(Action):
    """Give the answer another media type."""

    value: str = "text/plain"

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Set the media type."""
        del exchange
        return answer.setting("Content-Type", self.value)


@dataclass(frozen=True, slots=True)
class WrongDate(Action):
    """Claim another time in the `Date` header."""

    offset: timedelta = timedelta(days=365)

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Set the date."""
        return answer.setting("Date", http_date(exchange.now() + self.offset))


@dataclass(frozen=True, slots=True)
class Body(Action):
    """Replace the body after doing what was asked."""

    body: bytes

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Set the body."""
        del exchange
        return replace(answer, body=self.body)


# Other answers


@dataclass(frozen=True, slots=True)
class Html(Action):
    """Answer as a proxy in between does: HTML, none of the CA's headers."""

    status: int = 502

    async def before(self, exchange: Exchange) -> Answer | None:
        """Answer in HTML."""
        del exchange
        return Answer(
            status=self.status,
            headers=(("Content-Type", "text/html"),),
            body=b"<html><body><h1>Bad Gateway</h1></body></html>",
            bare=True,
        )


@dataclass(frozen=True, slots=True)
class Redirect(Action):
    """Send the client elsewhere."""

    location: str
    status: int = 307

    async def before(self, exchange: Exchange) -> Answer | None:
        """Answer with a redirect."""
        del exchange
        headers = (("Location", self.location),)
        return Answer(status=self.status, headers=headers, bare=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse(Action):
    """Answer with a problem document; the request uses up its nonce."""

    problem: Problem
    headers: Headers = ()

    burns_nonce: ClassVar[bool] = True

    async def before(self, exchange: Exchange) -> Answer | None:
        """Answer with the problem."""
        exchange.burn_nonce()
        return json_answer(
            self.problem.document(),
            status=self.problem.code,
            headers=self.headers,
            media_type="application/problem+json",
            problem=self.problem.uri,
        )


def bad_nonce() -> Refuse:
    """Return the refusal of a nonce; the answer has a fresh one (RFC 8555 6.5)."""
    return Refuse(problem=Problem(type="badNonce", detail="the nonce is not good"))


def rate_limited(retry_after: int | datetime | None = 60) -> Refuse:
    """Return a 429 with Retry-After in seconds or as a date (RFC 8555 6.6)."""
    problem = Problem(type="rateLimited", detail="too many requests")
    if retry_after is None:
        return Refuse(problem=problem)
    if isinstance(retry_after, datetime):
        return Refuse(
            problem=problem, headers=(("Retry-After", http_date(retry_after)),)
        )
    return Refuse(problem=problem, headers=(("Retry-After", str(retry_after)),))


def action_required(terms: str, instance: str) -> Refuse:
    """Return the refusal of a CA whose terms have changed (RFC 8555 7.3.3)."""
    members = {"instance": instance}
    problem = Problem(
        type="userActionRequired", detail="the terms have changed", members=members
    )
    link = ("Link", f'<{terms}>;rel="terms-of-service"')
    return Refuse(problem=problem, headers=(link,))


def not_done() -> Refuse:
    """Return what a CA answers that advertises a resource and does not have it."""
    words = "the CA does not do this"
    return Refuse(problem=Problem(type="notImplemented", detail=words, status=501))


# States


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing(Action):
    """Stay `processing` for some looks: at `finalize` the order, at `challenge` it.

    Attributes:
        polls: Looks that still show `processing`.
        retry_after: Seconds announced meanwhile, or None.
        then: What makes it invalid afterwards; None for the usual end.
    """

    polls: int
    retry_after: int | None = None
    then: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnInvalid(Action):
    """Make the order (at `finalize`) or the challenge (at `challenge`) invalid."""

    problem: Problem = field(
        default_factory=lambda: Problem(type="serverInternal", detail="by the script")
    )


# Chains


class Chain(Action, ABC):
    """Replace the chain of a certificate answer; other answers stay as they are."""

    __slots__ = ()

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Replace the chain, if there is one."""
        if exchange.issued is None:
            return answer
        return replace(answer, body=self.forge(exchange, exchange.issued, answer.body))

    @abstractmethod
    def forge(self, exchange: Exchange, issued: Issued, chain: bytes) -> bytes:
        """Return the wrong chain."""


@dataclass(frozen=True, slots=True)
class GarbageChain(Chain):
    """Something that looks like PEM and holds no certificate."""

    def forge(self, exchange: Exchange, issued: Issued, chain: bytes) -> bytes:
        """Return text between PEM borders."""
        del exchange, issued, chain
        return (
            b"-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n"
            b"-----END CERTIFICATE-----\n"
        )


@dataclass(frozen=True, slots=True)
class ChainWithPrivateKey(Chain):
    """The right chain with a PRIVATE KEY block behind it (RFC 8555 11.4)."""

    def forge(self, exchange: Exchange, issued: Issued, chain: bytes) -> bytes:
        """Add a key that belongs to nobody."""
        del exchange, issued
        key = ec.generate_private_key(ec.SECP256R1())
        block = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return chain + block


@dataclass(frozen=True, slots=True)
class ChainForAnotherKey(Chain):
    """A good chain with the right names and a key that nobody asked for."""

    def forge(self, exchange: Exchange, issued: Issued, chain: bytes) -> bytes:
        """Certify a fresh key."""
        del chain
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        validity = validity_of(issued.profile, exchange.now())
        return _chain(exchange, key, issued.names, issued, validity)


@dataclass(frozen=True, slots=True)
class ChainWithWrongNames(Chain):
    """A good chain with the right key and the name of somebody else."""

    name: str = "somebody-else.example"

    def forge(self, exchange: Exchange, issued: Issued, chain: bytes) -> bytes:
        """Certify another name."""
        del chain
        validity = validity_of(issued.profile, exchange.now())
        names = (x509.DNSName(self.name),)
        return _chain(exchange, _key(issued), names, issued, validity)


@dataclass(frozen=True, slots=True)
class ExpiredChain(Chain):
    """A good chain with the right key and names that ended an hour ago."""

    def forge(self, exchange: Exchange, issued: Issued, chain: bytes) -> bytes:
        """Certify a span in the past."""
        del chain
        end = exchange.now().replace(microsecond=0) - timedelta(hours=1)
        validity = Validity(start=end - issued.profile.lifetime, end=end)
        return _chain(exchange, _key(issued), issued.names, issued, validity)


def _key(issued: Issued) -> PublicKey:
    key = issued.leaf.public_key()
    if not isinstance(key, PublicKey):
        raise TypeError("this CA certifies no such key")
    return key


def _chain(
    exchange: Exchange,
    key: PublicKey,
    names: tuple[x509.GeneralName, ...],
    issued: Issued,
    validity: Validity,
) -> bytes:
    authority = exchange.authority
    leaf = authority.sign(key, names, issued.profile, validity)
    return authority.chain(leaf)
