"""The gate that every POST passes (RFC 8555 6.2 to 6.5).

Knows the rules for the envelope: media type, JWS, algorithm, URL, nonce, key and
signature. Does not know what a payload means.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.ca.accounts import Account, Accounts
from tests.ca.config import Config
from tests.ca.exchange import Exchange
from tests.ca.jose import (
    Jwk,
    Jws,
    check_algorithm,
    parse_jwk,
    parse_jws,
    parse_object,
    verify,
)
from tests.ca.log import PayloadKind
from tests.ca.nonces import Nonces
from tests.ca.problems import ProblemError, refusal

_MEDIA_TYPE = "application/jose+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose signature has been verified.

    Attributes:
        jwk: The key that signed.
        account: The account, when the request was signed by `kid`.
        payload: The payload; None for POST-as-GET.
    """

    jwk: Jwk
    account: Account | None
    payload: Mapping[str, object] | None

    def object(self) -> Mapping[str, object]:
        """Return the payload of a request that has to have one."""
        if self.payload is None:
            raise refusal("malformed", "the payload is empty where an object belongs")
        return self.payload


class Gate:
    """Lets requests in, or refuses them."""

    def __init__(self, config: Config, nonces: Nonces, accounts: Accounts) -> None:
        """Keep what the rules are about."""
        self._config = config
        self._nonces = nonces
        self._accounts = accounts

    def by_account(self, exchange: Exchange) -> tuple[Request, Account]:
        """Admit a request that has to be signed by an account (`kid`)."""
        request = self._admit(exchange, jwk_allowed=False)
        if request.account is None:
            raise refusal("malformed", "this request has to carry a kid")
        return request, request.account

    def by_key(self, exchange: Exchange) -> Request:
        """Admit a request that has to carry its key (`jwk`)."""
        request = self._admit(exchange)
        if request.account is not None:
            raise refusal("malformed", "this request has to carry a jwk")
        return request

    def by_either(self, exchange: Exchange) -> Request:
        """Admit a request that carries either."""
        return self._admit(exchange)

    def _admit(self, exchange: Exchange, *, jwk_allowed: bool = True) -> Request:
        if exchange.content_type.lower() != _MEDIA_TYPE:
            raise refusal("malformed", f"the media type is not {_MEDIA_TYPE}", 415)
        jws = parse_jws(parse_object(exchange.body, "the body"))
        check_algorithm(jws, self._config.algorithms)
        if jws.header.get("url") != exchange.url:
            # RFC 8555 6.4: the server MUST reject the request as unauthorized.
            raise refusal("unauthorized", "url is not the URL of the request", 401)
        if not self._nonces.redeem(jws.header.get("nonce")):
            raise refusal("badNonce", "the nonce is unknown or was used before")
        if not jwk_allowed and "jwk" in jws.header:
            raise refusal("malformed", "this request has to carry a kid")
        jwk, account = self._signer(jws)
        verify(jws, jwk, self._config.algorithms)
        payload = parse_object(jws.payload, "payload") if jws.payload else None
        return Request(jwk=jwk, account=account, payload=payload)

    def _signer(self, jws: Jws) -> tuple[Jwk, Account | None]:
        if "jwk" in jws.header:
            return parse_jwk(jws.header["jwk"]), None
        if "kid" not in jws.header:
            raise refusal("malformed", "the header has neither jwk nor kid")
        account = self._accounts.with_kid(jws.header["kid"])
        return account.jwk, account


def peek(body: bytes) -> tuple[PayloadKind, str]:
    """Return what a body carries and its nonce, for the log; refuses nothing."""
    if not body:
        return PayloadKind.NONE, ""
    try:
        jws = parse_jws(parse_object(body, "the body"))
    except ProblemError:
        return PayloadKind.UNREADABLE, ""
    nonce = jws.header.get("nonce")
    text = nonce if isinstance(nonce, str) else ""
    return _kind(jws.payload), text


def _kind(payload: bytes) -> PayloadKind:
    if not payload:
        return PayloadKind.POST_AS_GET
    try:
        found = parse_object(payload, "payload")
    except ProblemError:
        return PayloadKind.UNREADABLE
    return PayloadKind.OBJECT if found else PayloadKind.EMPTY
