"""Accounts: making, finding, changing, closing and re-keying them (RFC 8555 7.3).

Knows account objects, external account binding and key roll-over. Does not know orders,
nor how a request was authenticated.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from tests.ca.config import Config
from tests.ca.csr import fingerprint
from tests.ca.jose import Jwk, Jws, parse_jwk, parse_jws, parse_object, verify
from tests.ca.jose import verify_mac as check_mac
from tests.ca.problems import Problem, ProblemError, refusal
from tests.ca.urls import Urls


@dataclass(slots=True, kw_only=True)
class Account:
    """One account as the CA keeps it."""

    id: str
    jwk: Jwk
    status: str = "valid"
    contact: list[str] = field(default_factory=list)
    terms_agreed: bool = False
    binding: Mapping[str, object] | None = None
    eab_kid: str = ""


class Accounts:
    """The book of accounts."""

    def __init__(self, config: Config, urls: Urls) -> None:
        """Begin with no account."""
        self.by_id: dict[str, Account] = {}
        self._config = config
        self._urls = urls

    def with_key(self, jwk: Jwk) -> Account | None:
        """Return the account of a key, whatever its status."""
        matches = (
            account
            for account in self.by_id.values()
            if account.jwk.thumbprint == jwk.thumbprint
        )
        return next(matches, None)

    def with_kid(self, kid: object) -> Account:
        """Return the account of an account URL; unknown is accountDoesNotExist."""
        for account in self.by_id.values():
            if kid == self._urls.account(account.id):
                return check_open(account)
        raise refusal("accountDoesNotExist", "kid names no account of this CA")

    def create(self, jwk: Jwk, request: Mapping[str, object]) -> tuple[Account, bool]:
        """Return the account of newAccount, and whether it is new (RFC 8555 7.3)."""
        if known := self.with_key(jwk):
            return check_open(known), False
        if _flag(request, "onlyReturnExisting"):
            raise refusal("accountDoesNotExist", "no account has this key")
        contact = _contact(request.get("contact", []))
        agreed = _flag(request, "termsOfServiceAgreed")
        if self._config.terms and not agreed:
            raise refusal("userActionRequired", "the terms of service are not agreed")
        account = Account(
            id=secrets.token_urlsafe(9), jwk=jwk, contact=contact, terms_agreed=agreed
        )
        self._bind(account, request.get("externalAccountBinding"))
        self.by_id[account.id] = account
        return account, True

    def _bind(self, account: Account, binding: object) -> None:
        """Verify an external account binding (RFC 8555 7.3.4)."""
        if binding is None:
            if self._config.eab_required:
                raise refusal("externalAccountRequired", "a binding is required")
            return
        if not self._config.eab_keys:
            return
        inner = parse_jws(binding)
        kid = check_binding(inner, account.jwk, self._urls.new_account)
        if kid not in self._config.eab_keys:
            raise refusal(
                "unauthorized", "the key identifier of the binding is unknown"
            )
        check_mac(inner, self._config.eab_keys[kid])
        if self._config.eab_once and any(a.eab_kid == kid for a in self.by_id.values()):
            raise refusal("unauthorized", "the binding was used before")
        account.eab_kid = kid
        account.binding = binding if isinstance(binding, dict) else None

    def update(self, account: Account, request: Mapping[str, object]) -> None:
        """Change contacts, agree to terms or deactivate (RFC 8555 7.3.2, 7.3.6)."""
        if "status" in request:
            if request["status"] != "deactivated":
                raise refusal("malformed", "an account can only be set to deactivated")
            account.status = "deactivated"
            return
        if "contact" in request:
            account.contact = _contact(request["contact"])
        if _flag(request, "termsOfServiceAgreed"):
            account.terms_agreed = True

    def roll(
        self, account: Account, inner_object: object, certified: Collection[str]
    ) -> None:
        """Replace the key of an account (RFC 8555 7.3.5), by none that is certified."""
        inner = parse_jws(inner_object)
        new = parse_jwk(inner.header.get("jwk"))
        verify(inner, new, self._config.algorithms)
        if fingerprint(new.key) in certified:
            raise refusal("badPublicKey", "the key is the key of a certificate")
        self._check_roll(account, inner)
        if holder := self.with_key(new):
            # RFC 8555 7.3.5: 409 and the URL of that account in Location.
            location = ("Location", self._urls.account(holder.id))
            conflict = Problem(type="malformed", detail="key is in use", status=409)
            raise ProblemError(conflict, (location,))
        account.jwk = new

    def _check_roll(self, account: Account, inner: Jws) -> None:
        """Check header and payload of the inner JWS."""
        if "nonce" in inner.header:
            raise refusal("malformed", "the inner JWS MUST omit the nonce")
        if inner.header.get("url") != self._urls.key_change:
            raise refusal("malformed", "inner and outer url differ")
        request = parse_object(inner.payload, "keyChange payload")
        if request.get("account") != self._urls.account(account.id):
            raise refusal("malformed", "account differs from the outer kid")
        if parse_jwk(request.get("oldKey")).thumbprint != account.jwk.thumbprint:
            raise refusal("malformed", "oldKey is not the key of the account")

    def document(self, account: Account) -> dict[str, object]:
        """Return the account object."""
        body: dict[str, object] = {
            "status": account.status,
            "contact": account.contact,
        }
        if account.terms_agreed:
            body["termsOfServiceAgreed"] = True
        if account.binding is not None:
            body["externalAccountBinding"] = account.binding
        if self._config.orders_list:
            body["orders"] = self._urls.orders(account.id)
        return body


def check_open(account: Account) -> Account:
    """Refuse a closed account with 401 (RFC 8555 7.3.6)."""
    if account.status != "valid":
        raise refusal("unauthorized", f"the account is {account.status}", 401)
    return account


def check_binding(inner: Jws, jwk: Jwk, url: str) -> str:
    """Check all but the MAC of a binding, and return its key identifier."""
    kid = inner.header.get("kid")
    if "nonce" in inner.header or "jwk" in inner.header or not isinstance(kid, str):
        raise refusal(
            "malformed", "a binding has alg, kid and url, and no nonce or jwk"
        )
    if inner.header.get("url") != url:
        raise refusal("malformed", "the url of the binding is not the outer url")
    bound = parse_jwk(parse_object(inner.payload, "the payload of the binding"))
    if bound.thumbprint != jwk.thumbprint:
        raise refusal("malformed", "the binding is for another key")
    return kid


def _flag(request: Mapping[str, object], name: str) -> bool:
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise refusal("malformed", f"{name} is not a boolean")
    return value


def _contact(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(i, str) for i in value):
        raise refusal("malformed", "contact is not a list of strings")
    for url in value:
        _check_contact(url)
    return list(value)


def _check_contact(url: str) -> None:
    """Refuse what RFC 8555 7.3 forbids in a contact."""
    parts = urlsplit(url)
    if parts.scheme != "mailto":
        raise refusal("unsupportedContact", "only mailto contacts are supported")
    # RFC 8555 7.3: no header fields, no more than one addr-spec.
    address = unquote(parts.path)
    plain = parseaddr(address)[1] == address and address.count("@") == 1
    if parts.query or not plain or "," in address:
        raise refusal("invalidContact", "a mailto contact is exactly one address")
