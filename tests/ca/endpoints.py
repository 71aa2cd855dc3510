"""What each resource does with a request (RFC 8555 7).

Knows which room is asked for what, and how its outcome is answered. Nothing here waits:
a request is worked on in one turn of the event loop, so that requests never interleave.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from tests.ca.accounts import Account, Accounts
from tests.ca.actions import Processing, TurnInvalid, http_date, struck_by
from tests.ca.certificates import Certificates, Subject, is_key_of
from tests.ca.checks import check_owner, known, read_only
from tests.ca.config import Config
from tests.ca.csr import fingerprint
from tests.ca.deviceattest01 import DeviceAttest01
from tests.ca.documents import (
    authorization_document,
    challenge_document,
    order_document,
)
from tests.ca.exchange import Answer, Exchange, Headers, json_answer
from tests.ca.gate import Gate, Request
from tests.ca.issuing import Authority, Issued
from tests.ca.jose import b64decode
from tests.ca.nonces import Nonces
from tests.ca.orders import Authorization, Challenge, Order, Orders, Verdict
from tests.ca.problems import refusal
from tests.ca.profiles import advertised, chosen
from tests.ca.renewal import Renewals
from tests.ca.star import Stars
from tests.ca.urls import Urls
from tests.ca.validation import Proof, Validator

_PLAIN: Final = {
    "directory": ("GET", "HEAD"),
    "newNonce": ("GET", "HEAD"),
    "renewalInfo": ("GET", "HEAD"),
    "starCertificate": ("GET", "HEAD"),
}

Spawn = Callable[[Challenge, Proof], None]
"""Begins a validation that concludes the challenge later."""


class Rooms:
    """Everything that the CA remembers, put together once."""

    def __init__(
        self,
        config: Config,
        urls: Urls,
        validators: Mapping[str, Validator],
        authority: Authority,
    ) -> None:
        """Open every book, empty."""
        self.config = config
        self.urls = urls
        self.validators = validators
        self.nonces = Nonces()
        self.accounts = Accounts(config, urls)
        self.orders = Orders(config)
        self.authority = authority
        self.certificates = Certificates(config, self.authority)
        self.renewals = Renewals(config, self.certificates, self.orders)
        self.gate = Gate(config, self.nonces, self.accounts)
        self.stars = Stars(config, self.certificates, self.gate, self.authority)


class Endpoints:
    """The resources; a further one is a method and a line in `_handlers`."""

    def __init__(self, rooms: Rooms, spawn: Spawn) -> None:
        """Keep the rooms, and the way to begin a validation."""
        self._config = rooms.config
        self._urls = rooms.urls
        self._validators = rooms.validators
        self._accounts = rooms.accounts
        self._orders = rooms.orders
        self._certificates = rooms.certificates
        self._authority = rooms.authority
        self._renewals = rooms.renewals
        self._gate = rooms.gate
        self._stars = rooms.stars
        self._spawn = spawn
        self._handlers: dict[str, Callable[[Exchange], Answer]] = {
            "directory": self._directory,
            "newNonce": self._new_nonce,
            "newAccount": self._new_account,
            "account": self._account,
            "orders": self._list_orders,
            "newOrder": self._new_order,
            "order": self._order,
            "finalize": self._finalize,
            "authz": self._authorization,
            "challenge": self._challenge,
            "certificate": self._certificate,
            "starCertificate": rooms.stars.fetch,
            "revokeCert": self._revoke,
            "keyChange": self._key_change,
            "renewalInfo": self._renewal_info,
        }

    def handle(self, exchange: Exchange) -> Answer:
        """Do what a request asks for; raises `ProblemError`."""
        if not exchange.user_agent.strip():
            # RFC 8555 6.1: clients MUST send a User-Agent header field.
            raise refusal("malformed", "the User-Agent header is missing")
        handler = self._handlers.get(exchange.resource)
        if handler is None:
            raise refusal("malformed", "there is no such resource", 404)
        plain = _PLAIN.get(exchange.resource, ())
        if exchange.method != "POST" and exchange.method not in plain:
            # RFC 8555 6.3: 405 with type malformed.
            raise refusal("malformed", f"{exchange.method} is not allowed here", 405)
        return handler(exchange)

    def _directory(self, exchange: Exchange) -> Answer:
        self._admit_reader(exchange)
        meta = self._meta()
        document: dict[str, object] = {
            "newNonce": self._urls.new_nonce,
            "newAccount": self._urls.new_account,
            "newOrder": self._urls.new_order,
            "revokeCert": self._urls.revoke_cert,
            "keyChange": self._urls.key_change,
        }
        if self._config.renewal_info:
            document["renewalInfo"] = self._urls.renewal_info
        if meta:
            document["meta"] = meta
        return json_answer(document | dict(self._config.directory))

    def _meta(self) -> dict[str, object]:
        meta: dict[str, object] = dict(self._config.meta)
        if self._config.terms:
            meta["termsOfService"] = self._config.terms
        if self._config.profiles:
            meta["profiles"] = advertised(self._config)
        if self._config.eab_required:
            meta["externalAccountRequired"] = True
        star = self._config.auto_renewal
        if star is not None and star.advertised:
            meta["auto-renewal"] = star.meta()
        return meta

    def _new_nonce(self, exchange: Exchange) -> Answer:
        self._admit_reader(exchange)
        # RFC 8555 7.2: 200 to HEAD, 204 to GET.
        status = 204 if exchange.method == "GET" else 200
        return Answer(status=status, headers=(("Cache-Control", "no-store"),))

    def _admit_reader(self, exchange: Exchange) -> None:
        """Admit GET and, by RFC 8555 6.3, POST-as-GET."""
        if exchange.method == "POST":
            request, _ = self._gate.by_account(exchange)
            read_only(request)

    def _new_account(self, exchange: Exchange) -> Answer:
        request = self._gate.by_key(exchange)
        if fingerprint(request.jwk.key) in self._certificates.key_fingerprints():
            # RFC 8555 11.1: an account key is never the key of a certificate.
            raise refusal("badPublicKey", "the key is the key of a certificate")
        account, new = self._accounts.create(request.jwk, request.object())
        return json_answer(
            self._accounts.document(account),
            status=201 if new else 200,
            headers=(("Location", self._urls.account(account.id)),),
        )

    def _account(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        check_owner(account.id, exchange.parts[0])
        if request.payload:
            self._accounts.update(account, request.payload)
        return json_answer(self._accounts.document(account))

    def _list_orders(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        check_owner(account.id, exchange.parts[0])
        read_only(request)
        # RFC 8555 7.1.2.1: invalid orders SHOULD NOT be listed.
        open_orders = [o for o in self._orders.of(account) if o.status != "invalid"]
        return json_answer({"orders": [self._urls.order(o.id) for o in open_orders]})

    def _new_order(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        replaces = self._renewals.check(account.id, request.object())
        profile = chosen(self._config, request.object())
        order = self._orders.create(account, request.object())
        order.replaces, order.profile = replaces, profile
        for authz in order.authorizations:
            if not authz.challenges:
                self._offer(authz)
        return self._order_answer(order, status=201)

    def _offer(self, authz: Authorization) -> None:
        for kind, validator in self._validators.items():
            extra = validator.offer(authz.identifier)
            if extra is not None:
                self._orders.offer(authz, kind, extra)

    def _order_answer(self, order: Order, status: int = 200) -> Answer:
        headers: Headers = (("Location", self._urls.order(order.id)),)
        if order.status == "processing":
            headers += _retry_after(order.retry_after)
        document = order_document(order, self._urls, self._config)
        return json_answer(document, status=status, headers=headers)

    def _order(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        order = known(self._orders.by_id, exchange.parts[0])
        check_owner(account.id, order.account.id)
        if request.payload == {"status": "canceled"}:
            self._stars.cancel(order)
        else:
            read_only(request)
        self._orders.look_at_order(order)
        return self._order_answer(order)

    def _finalize(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        order = known(self._orders.by_id, exchange.parts[0])
        check_owner(account.id, order.account.id)
        self._orders.of(account)
        if order.status != "ready":
            raise refusal("orderNotReady", f"the order is {order.status}")
        csr = b64decode(request.object().get("csr"), "csr")
        account_keys = [fingerprint(a.jwk.key) for a in self._all_accounts()]
        if invalid := struck_by(exchange, TurnInvalid):
            self._orders.fail(order, invalid.problem)
            return self._order_answer(order)
        subject = self._certificates.check(order, csr, account_keys)
        self._check_attested(order, subject)
        order.certificate = (
            self._stars.open(order, subject)
            if order.terms
            else self._certificates.issue(order, subject).id
        )
        script = struck_by(exchange, Processing) or self._usual(
            self._config.order_polls
        )
        order.retry_after = script.retry_after
        self._orders.process(order, Verdict(problem=script.then), script.polls)
        return self._order_answer(order)

    def _check_attested(self, order: Order, subject: Subject) -> None:
        """Refuse a request by another key than the one that was attested."""
        judge = self._validators.get("device-attest-01")
        if not isinstance(judge, DeviceAttest01):
            return
        key = fingerprint(subject.csr.public_key())
        for challenge in (c for a in order.authorizations for c in a.challenges):
            mine = challenge.type == "device-attest-01" and challenge.verdict
            if mine and judge.attested.get(challenge.extra["token"]) != key:
                raise refusal("badCSR", "another key was attested")

    def _all_accounts(self) -> list[Account]:
        return list(self._accounts.by_id.values())

    def _usual(self, polls: int) -> Processing:
        return Processing(polls=polls, retry_after=self._config.retry_after)

    def _authorization(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        authz = known(self._orders.authorizations, exchange.parts[0])
        check_owner(account.id, authz.account.id)
        if request.payload is not None:
            if request.payload.get("status") != "deactivated":
                raise refusal("malformed", "an authorization can only be deactivated")
            self._orders.deactivate(authz)
        self._orders.look_at_authorization(authz)
        headers: Headers = ()
        for challenge in authz.challenges:
            if challenge.status == "processing":
                headers = _retry_after(challenge.retry_after)
        return json_answer(authorization_document(authz, self._urls), headers=headers)

    def _challenge(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        challenge = known(self._orders.challenges, exchange.parts[0])
        check_owner(account.id, challenge.authz.account.id)
        self._orders.refresh(challenge.authz)
        if request.payload is None:
            self._orders.look_at_challenge(challenge)
        elif challenge.status == "pending" and challenge.authz.status == "pending":
            self._respond(exchange, challenge, request)
        up = ("Link", f'<{self._urls.authz(challenge.authz.id)}>;rel="up"')
        headers: Headers = (up,)
        if challenge.status == "processing":
            headers += _retry_after(challenge.retry_after)
        return json_answer(challenge_document(challenge, self._urls), headers=headers)

    def _respond(
        self, exchange: Exchange, challenge: Challenge, request: Request
    ) -> None:
        """Take the response to a challenge, and begin to validate."""
        payload = request.object()
        self._validators[challenge.type].check(payload)
        challenge.status = "processing"
        if invalid := struck_by(exchange, TurnInvalid):
            self._orders.conclude(challenge, invalid.problem)
            return
        script = struck_by(exchange, Processing) or self._usual(
            self._config.challenge_polls
        )
        challenge.hold, challenge.retry_after = script.polls, script.retry_after
        if script.then is not None:
            self._orders.conclude(challenge, script.then)
            return
        proof = Proof(
            identifier=challenge.authz.identifier,
            extra=challenge.extra,
            thumbprint=request.jwk.thumbprint,
            account_url=self._urls.account(challenge.authz.account.id),
            payload=payload,
        )
        self._spawn(challenge, proof)

    def _renewal_info(self, exchange: Exchange) -> Answer:
        """Answer whoever asks (RFC 9773 4.1): the request carries no signature."""
        if not self._config.renewal_info or exchange.method == "POST":
            raise refusal("malformed", "there is no such resource", 404)
        document = self._renewals.document(exchange.parts[0])
        again = self._config.ask_again
        if isinstance(again, timedelta):
            dated = (("Retry-After", http_date(self._config.now() + again)),)
            return json_answer(document, headers=dated)
        return json_answer(document, headers=_retry_after(again))

    def _certificate(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        ident, number = exchange.parts[0], int(exchange.parts[1] or 0)
        issued = known(self._certificates.by_id, ident)
        check_owner(account.id, issued.account)
        read_only(request)
        if self._orders.by_id[issued.order].status != "valid":
            raise refusal("malformed", "the order is not valid yet", 404)
        if number >= len(self._authority.roots):
            raise refusal("malformed", "there is no such chain", 404)
        exchange.issued = issued
        headers: Headers = (("Content-Type", "application/pem-certificate-chain"),)
        body = self._authority.chain(issued.leaf, number)
        return Answer(headers=headers + self._alternates(issued, number), body=body)

    def _alternates(self, issued: Issued, number: int) -> Headers:
        """Return links to the other chains (RFC 8555 7.4.2)."""
        others = (n for n in range(len(self._authority.roots)) if n != number)
        return tuple(
            ("Link", f'<{self._urls.certificate(issued.id, n)}>;rel="alternate"')
            for n in others
        )

    def _revoke(self, exchange: Exchange) -> Answer:
        request = self._gate.by_either(exchange)
        issued = self._certificates.named(request.object())
        self._check_revoker(request, issued)
        if self._stars.holds(issued):
            words = "certificates of a series are not revoked: cancel the order"
            raise refusal("autoRenewalRevocationNotSupported", words)
        self._certificates.revoke(issued, request.object())
        return Answer()

    def _check_revoker(self, request: Request, issued: Issued) -> None:
        """Allow the subscriber, who holds all names, and the key (RFC 8555 7.6)."""
        if request.account is None:
            allowed = is_key_of(request.jwk, issued)
        else:
            allowed = issued.account == request.account.id or self._holds(
                request.account, issued
            )
        if not allowed:
            raise refusal("unauthorized", "neither account nor key may revoke it")

    def _holds(self, account: Account, issued: Issued) -> bool:
        held = set()
        for authz in self._orders.authorizations.values():
            self._orders.refresh(authz)
            if authz.account is account and authz.status == "valid":
                held.add(authz.identifier)
        return set(self._orders.by_id[issued.order].identifiers) <= held

    def _key_change(self, exchange: Exchange) -> Answer:
        request, account = self._gate.by_account(exchange)
        certified = self._certificates.key_fingerprints()
        self._accounts.roll(account, request.object(), certified)
        return json_answer(self._accounts.document(account))


def _retry_after(seconds: int | None) -> Headers:
    return () if seconds is None else (("Retry-After", str(seconds)),)
