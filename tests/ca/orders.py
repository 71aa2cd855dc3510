"""Orders, authorizations and challenges: their states over time (RFC 8555 7.1.6).

Knows every transition and who may see what. Does not know how a challenge is validated
or a certificate is made. Time is what the injected clock says; states that time changes
are brought up to date when somebody looks.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tests.ca.accounts import Account
from tests.ca.config import Authorizations, Config
from tests.ca.devices import DEVICES
from tests.ca.identifiers import Identifier, parse_identifiers
from tests.ca.problems import Problem, refusal
from tests.ca.series import Terms, agree


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How something that is processing will end: well, or with a problem."""

    problem: Problem | None = None


@dataclass(slots=True, kw_only=True)
class Challenge:
    """One way to prove an identifier.

    Attributes:
        hold: Looks that still show `processing`, whatever the verdict.
        extra: Members of the object that only its type knows, such as `token`.
    """

    id: str
    authz: "Authorization" = field(repr=False)
    type: str
    extra: Mapping[str, object]
    status: str = "pending"
    validated: datetime | None = None
    error: Problem | None = None
    hold: int = 0
    retry_after: int | None = None
    verdict: Verdict | None = None


@dataclass(slots=True, kw_only=True)
class Authorization:
    """The right of one account to one identifier."""

    id: str
    account: Account = field(repr=False)
    identifier: Identifier
    expires: datetime
    status: str = "pending"
    challenges: list[Challenge] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Order:
    """One order.

    Attributes:
        hold: Looks that still show `processing`, whatever the verdict.
        certificate: Identifier of what was issued, or of the series; shown once the
            order is valid.
        not_before: Start of validity that was asked for, or None.
        not_after: End of validity that was asked for, or None.
        replaces: Name of the certificate that this order renews, or empty.
        profile: Name of its profile, or empty.
        terms: What was agreed for its series; None for a usual order.
    """

    id: str
    account: Account = field(repr=False)
    identifiers: tuple[Identifier, ...]
    authorizations: list[Authorization]
    created: datetime
    expires: datetime
    status: str = "pending"
    error: Problem | None = None
    certificate: str = ""
    hold: int = 0
    retry_after: int | None = None
    verdict: Verdict | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    replaces: str = ""
    profile: str = ""
    terms: Terms | None = None


_NOTHING_TO_PROVE: Final = frozenset(
    {Authorizations.NONE, Authorizations.MISSING, Authorizations.PENDING_NONE}
)


class Orders:
    """The book of orders, and of the authorizations that they need."""

    def __init__(self, config: Config) -> None:
        """Begin with no order."""
        self.by_id: dict[str, Order] = {}
        self.authorizations: dict[str, Authorization] = {}
        self.challenges: dict[str, Challenge] = {}
        self._config = config

    def create(self, account: Account, request: Mapping[str, object]) -> Order:
        """Return the order that a newOrder asks for (RFC 8555 7.4).

        Members of extensions that this CA does not speak are ignored and not echoed.
        """
        identifiers = parse_identifiers(request.get("identifiers"), self._config)
        if sum(item.type == "TNAuthList" for item in identifiers) > 1:
            raise refusal("malformed", "a certificate has one TNAuthList")
        now = self._config.now()
        terms = agree(request, self._config.auto_renewal, now)
        starts = self._date(request, "notBefore")
        ends = self._date(request, "notAfter")
        expires = now + self._config.order_lifetime
        order = Order(
            id=secrets.token_urlsafe(9),
            account=account,
            identifiers=identifiers,
            authorizations=self._authorize(account, identifiers),
            created=now,
            expires=min(expires, terms.end) if terms else expires,
            not_before=starts,
            not_after=ends,
            terms=terms,
        )
        self.by_id[order.id] = order
        if self._config.authorizations is not Authorizations.PENDING_NONE:
            self._advance(order)
        return order

    def _date(self, request: Mapping[str, object], name: str) -> datetime | None:
        value = request.get(name)
        if value is None:
            return None
        if not self._config.validity_dates:
            raise refusal("malformed", f"{name} is not supported")
        try:
            date = datetime.fromisoformat(str(value))
        except ValueError as error:
            raise refusal("malformed", f"{name} is not a date of RFC 3339") from error
        if date.tzinfo is None:
            raise refusal("malformed", f"{name} has no offset")
        return date.astimezone(UTC)

    def _authorize(
        self, account: Account, identifiers: Iterable[Identifier]
    ) -> list[Authorization]:
        if self._config.authorizations in _NOTHING_TO_PROVE:
            return []
        return [
            self._reusable(account, identifier) or self._open(account, identifier)
            for identifier in identifiers
        ]

    def _reusable(
        self, account: Account, identifier: Identifier
    ) -> Authorization | None:
        if not self._config.reuse_authorizations or identifier.type in DEVICES:
            # A device's proof is of one key: the next key is proven anew.
            return None
        for authz in self.authorizations.values():
            self.refresh(authz)
            own = authz.account is account and authz.identifier == identifier
            if own and authz.status == "valid":
                return authz
        return None

    def _open(self, account: Account, identifier: Identifier) -> Authorization:
        born_valid = self._config.authorizations is Authorizations.BORN_VALID
        life = (
            self._config.authorization_lifetime
            if born_valid
            else self._config.order_lifetime
        )
        authz = Authorization(
            id=secrets.token_urlsafe(9),
            account=account,
            identifier=identifier,
            expires=self._config.now() + life,
            status="valid" if born_valid else "pending",
        )
        self.authorizations[authz.id] = authz
        return authz

    def offer(
        self, authz: Authorization, kind: str, extra: Mapping[str, object]
    ) -> None:
        """Add a challenge to an authorization."""
        challenge = Challenge(
            id=secrets.token_urlsafe(9), authz=authz, type=kind, extra=extra
        )
        if authz.status == "valid":
            challenge.status, challenge.validated = "valid", self._config.now()
        authz.challenges.append(challenge)
        self.challenges[challenge.id] = challenge

    def conclude(self, challenge: Challenge, problem: Problem | None) -> None:
        """Note how a validation ended; shown once the looks on hold are over."""
        challenge.verdict = Verdict(problem=problem)
        if challenge.hold <= 0:
            self._publish(challenge)

    def _publish(self, challenge: Challenge) -> None:
        authz, verdict = challenge.authz, challenge.verdict
        if verdict is None or challenge.status != "processing":
            return
        challenge.error = verdict.problem
        challenge.status = "invalid" if verdict.problem else "valid"
        if not verdict.problem:
            challenge.validated = self._config.now()
        self.refresh(authz)
        if authz.status == "pending":
            authz.status = challenge.status
            if authz.status == "valid":
                authz.expires = self._config.now() + self._config.authorization_lifetime
        for order in self.by_id.values():
            if authz in order.authorizations:
                self._advance(order)

    def refresh(self, authz: Authorization) -> None:
        """Let time act on an authorization."""
        if self._config.now() >= authz.expires:
            ends = {"pending": "invalid", "valid": "expired"}
            authz.status = ends.get(authz.status, authz.status)

    def look_at_challenge(self, challenge: Challenge) -> None:
        """Count one look at a challenge, and show its verdict when it is time."""
        if challenge.status != "processing":
            return
        if challenge.hold > 0:
            challenge.hold -= 1
        else:
            self._publish(challenge)

    def look_at_authorization(self, authz: Authorization) -> None:
        """Count one look at an authorization."""
        self.refresh(authz)
        for challenge in authz.challenges:
            self.look_at_challenge(challenge)

    def look_at_order(self, order: Order) -> None:
        """Count one look at an order, and bring it up to date."""
        for authz in order.authorizations:
            self.look_at_authorization(authz)
        if order.status == "processing":
            if order.hold > 0:
                order.hold -= 1
            else:
                self._end(order)
        self._advance(order)

    def process(self, order: Order, verdict: Verdict, hold: int) -> None:
        """Begin to end a finalized order, after `hold` looks at it."""
        order.status, order.verdict, order.hold = "processing", verdict, hold
        if hold <= 0:
            self._end(order)

    def _end(self, order: Order) -> None:
        if order.verdict is not None and order.verdict.problem is not None:
            self.fail(order, order.verdict.problem)
        else:
            order.status = "valid"

    def fail(self, order: Order, problem: Problem) -> None:
        """Make an order invalid."""
        order.status, order.error = "invalid", problem

    def deactivate(self, authz: Authorization) -> None:
        """Give up an authorization (RFC 8555 7.5.2)."""
        if authz.status in {"pending", "valid"}:
            authz.status = "deactivated"
        for order in self.by_id.values():
            if authz in order.authorizations:
                self._advance(order)

    def _advance(self, order: Order) -> None:
        """Derive `ready` and `invalid` from time and from the authorizations."""
        if order.status not in {"pending", "ready"}:
            return
        for authz in order.authorizations:
            self.refresh(authz)
        states = {authz.status for authz in order.authorizations}
        if self._config.now() >= order.expires:
            self.fail(order, Problem(type="malformed", detail="the order has expired"))
        elif states - {"pending", "valid"}:
            self.fail(order, _cause(order))
        elif "pending" not in states:
            order.status = "ready"

    def of(self, account: Account) -> list[Order]:
        """Return the orders of an account, oldest first."""
        found = [o for o in self.by_id.values() if o.account is account]
        for order in found:
            self._advance(order)
        return found


def _cause(order: Order) -> Problem:
    """Return why an order became invalid, naming the identifiers to blame."""
    failed = [a for a in order.authorizations if a.status not in {"pending", "valid"}]
    errors = [c.error for a in failed for c in a.challenges if c.error]
    kind = errors[0].type if errors else "unauthorized"
    subproblems = [
        Problem(type=kind, detail=f"authorization is {authz.status}").document()
        | {"identifier": authz.identifier.document()}
        for authz in failed
    ]
    return Problem(
        type=kind,
        detail="an authorization of the order failed",
        members={"subproblems": subproblems},
    )
