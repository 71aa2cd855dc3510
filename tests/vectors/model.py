"""A CA, an endpoint and a token without a wire, and the loop that drives jobs on them.

They do what the standards say, at once and in order; what goes wrong is decided by the
caller, fault by fault. Nothing here knows what the jobs should make of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from agent.acme.errors import ProblemError
from agent.acme.identifiers import Identifier
from agent.acme.messages import Authorization, Challenge, Order
from agent.acme.problem import PREFIX, Problem
from agent.errors import AgentError
from agent.jobs import deploy, farewell, retire
from agent.jobs.issue import effects as issue
from agent.jobs.step import Performed
from agent.records.deployment import Sight, Sighting
from agent.renewal.disposition import TABLE
from tests.vectors.records import ADDRESS, NAME, checked, fingerprint

ORDER_LIFE = timedelta(days=7)
CERTIFICATE_LIFE = timedelta(days=90)


class Fault(StrEnum):
    """What can go wrong with one effect."""

    NONE = "none"
    CRASH_BEFORE = "killed before the effect"
    CRASH_AFTER = "killed after the effect"
    STOP_BEFORE = "shut down before the effect"
    STOP_AFTER = "shut down after the effect"
    LOST_BEFORE = "the request was lost"
    LOST_AFTER = "the answer was lost"
    PART_AWAY = "a token or an endpoint is away"
    LIMITED = "rate limited with a Retry-After"
    LIMITED_SILENTLY = "rate limited without one"
    SERVER_ERROR = "the ca has a problem of its own"
    PROXY_ERROR = "something in between has a problem"
    REFUSED = "the ca refuses for a reason"
    INVALID = "the ca gives the order up"
    BAD_CHAIN = "the chain is not what was ordered"
    NO_DIRECTORY = "a published directory is gone"
    BROKEN = "the endpoint does not come up with the new certificate"
    STUBBORN = "the endpoint goes on with the old certificate"


class GoneError(AgentError):
    """A request or an answer was lost, or a part is away."""

    def __init__(self, kind: str) -> None:
        """Take the kind of an adapter's error, so that none is imported."""
        super().__init__(f"{kind} in the model")
        self.slug = kind


def problem(kind: str, status: int, retry_at: datetime | None = None) -> ProblemError:
    """Return a refusal of the CA."""
    document = Problem(type=PREFIX + kind if kind else "about:blank")
    return ProblemError(document, status=status, url="", retry_at=retry_at)


@dataclass
class ModelOrder:
    """An order at the CA."""

    url: str
    expires: datetime
    key: str = ""
    status: str = "pending"
    answered: int = 0
    valid: bool = False
    delivered: bool = False
    given_up: bool = False

    @property
    def open(self) -> bool:
        """Tell whether the CA still waits for something."""
        return self.status in {"pending", "ready", "processing"}


@dataclass
class ModelCa:
    """A CA that keeps one authorization an order, and may list orders."""

    lists: bool
    orders: list[ModelOrder] = field(default_factory=list)
    polls: int = 0

    def order(self, url: str, now: datetime) -> ModelOrder:
        """Return an order; one that has expired is forgotten."""
        found = next(o for o in self.orders if f"{url}/".startswith(f"{o.url}/"))
        if now >= found.expires:
            found.status = "invalid"
            raise problem("malformed", 404)
        return found

    def shown(self, order: ModelOrder) -> issue.OrderSeen:
        """Return an order as it goes over the wire."""
        valid = order.status == "valid"
        seen = Order(
            status=order.status,
            finalize=f"{order.url}/finalize",
            identifiers=(Identifier(type="dns", value=NAME),),
            authorizations=(f"{order.url}/authz",),
            expires=order.expires,
            certificate=f"{order.url}/certificate" if valid else None,
        )
        return issue.OrderSeen(order.url, seen)

    def perform(  # noqa: PLR0911 -- one arm an effect
        self, effect: Any, key: str, now: datetime
    ) -> issue.Outcome:
        """Do what a request asks for."""
        match effect:
            case issue.CreateOrder():
                number = len(self.orders) + 1
                url = f"https://ca.example/order/{number}"
                order = ModelOrder(url=url, expires=now + ORDER_LIFE)
                self.orders.append(order)
                return self.shown(order)
            case issue.FindOrder():
                mine = [o for o in self.orders if o.open and now < o.expires]
                if self.lists and mine:
                    return self.shown(mine[-1])
                return issue.OrderNotFound()
            case issue.FetchAuthorization(wanted):
                return self._authorization(self.order(wanted.url, now))
            case issue.Answer(wanted):
                self.order(wanted.url, now).answered += 1
                return issue.Answered()
            case issue.Finalize(_, record):
                return self._finalize(self.order(record.url, now), key)
            case issue.FetchOrder(record):
                return self._progress(self.order(record.url, now))
            case _:
                return self._download(self.order(effect.certificate, now), key, now)

    def _authorization(self, order: ModelOrder) -> issue.AuthorizationSeen:
        self.polls += 1
        if order.answered and self.polls % 3 == 0:
            order.valid = True
            order.status = "ready" if order.status == "pending" else order.status
        status = "valid" if order.valid else "pending"
        status = "invalid" if order.status == "invalid" else status
        challenge = "processing" if order.answered else "pending"
        url = f"{order.url}/challenge"
        seen = Authorization(
            identifier=Identifier(type="dns", value=NAME),
            status=status,
            challenges=(Challenge(type="http-01", url=url, token="token"),),
        )
        return issue.AuthorizationSeen(seen, url, "token", challenge)

    def _finalize(self, order: ModelOrder, key: str) -> issue.OrderSeen:
        if order.status != "ready":
            raise problem("orderNotReady", 403)
        order.key, order.status = key, "processing"
        return self.shown(order)

    def _progress(self, order: ModelOrder) -> issue.OrderSeen:
        self.polls += 1
        if order.status == "processing" and self.polls % 2 == 0:
            order.status = "valid"
        return self.shown(order)

    def _download(self, order: ModelOrder, key: str, now: datetime) -> issue.Downloaded:
        if order.key != key:
            raise GoneError("pki.chain")
        number = self.orders.index(order) + 1
        return issue.Downloaded(checked(number, begins=now, life=CERTIFICATE_LIFE))


@dataclass
class ModelHost:
    """A token, published directories, a link, and an endpoint that reads it."""

    keys: set[str] = field(default_factory=set)
    directories: set[int] = field(default_factory=set)
    live: int = 0
    served: int = 0
    broken: bool = False

    def perform(self, effect: Any, prints: dict[int, str], now: datetime) -> Any:
        """Do what a deployment or a retirement asks for."""
        match effect:
            case deploy.Publish(number):
                self.directories.add(number)
            case deploy.Swap(number):
                if number not in self.directories:
                    raise GoneError("publication")
                self.live = number
            case deploy.Tell():
                self.served, self.broken = self.live, False
            case deploy.LookBefore():
                return deploy.Looked(self._look(prints, now))
            case deploy.Watch(wanted):
                seen = self._look(prints, now)
                return deploy.Watched(seen, settled=seen[0].fingerprint == wanted)
            case retire.DestroyKey(identity):
                self.keys.discard(identity)
            case _:
                pass
        return Performed()

    def _look(self, prints: dict[int, str], now: datetime) -> tuple[Sighting, ...]:
        if self.broken:
            return (Sighting(address=ADDRESS, sight=Sight.BROKEN, at=now),)
        shown = prints.get(self.served, fingerprint(0))
        sighting = Sighting(
            address=ADDRESS, sight=Sight.SERVED, fingerprint=shown, at=now
        )
        return (sighting,)


def refusals(effect: Any, now: datetime) -> dict[Fault, AgentError]:
    """Return the errors that an effect can end in without having been performed."""
    own = isinstance(effect, issue.MakeKey | retire.DestroyKey)
    if own:
        return {Fault.PART_AWAY: GoneError("token.absent")}
    if not isinstance(effect, issue.Effect):
        told = isinstance(effect, deploy.Tell | farewell.Tell)
        failed = "endpoint.down" if told else "publication"
        watched = isinstance(
            effect, deploy.LookBefore | deploy.Watch | farewell.LookAfter
        )
        return {} if watched else {Fault.PART_AWAY: GoneError(failed)}
    errors: dict[Fault, AgentError] = {
        Fault.LOST_BEFORE: GoneError("transport"),
        Fault.PART_AWAY: GoneError("token.absent"),
        Fault.LIMITED: problem("rateLimited", 429, now + timedelta(hours=3)),
        Fault.LIMITED_SILENTLY: problem("rateLimited", 429),
        Fault.SERVER_ERROR: problem("serverInternal", 500),
        Fault.PROXY_ERROR: problem("", 502),
    }
    if not isinstance(effect, issue.FindOrder):
        errors[Fault.REFUSED] = problem("unauthorized", 403)
    if isinstance(effect, issue.Download):
        errors[Fault.BAD_CHAIN] = GoneError("pki.chain")
    return errors


def known_kinds() -> Iterator[str]:
    """Yield the kinds that the model uses in the place of adapters' errors."""
    yield from ("transport", "token.absent", "endpoint.down", "publication")
    yield "pki.chain"


if not set(known_kinds()) <= TABLE.keys():
    raise LookupError("the model has a kind that the table does not know")
