"""Orders, authorizations and challenges as JSON objects (RFC 8555 7.1)."""

from datetime import datetime

from tests.ca.config import Authorizations, Config
from tests.ca.orders import Authorization, Challenge, Order
from tests.ca.urls import Urls


def rfc3339(instant: datetime) -> str:
    """Return an instant in UTC with a final `Z`."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def order_document(order: Order, urls: Urls, config: Config) -> dict[str, object]:
    """Return the order object; `certificate` is there only when it is valid."""
    body: dict[str, object] = {
        "status": order.status,
        "expires": rfc3339(order.expires),
        "identifiers": [item.document() for item in order.identifiers],
        "authorizations": [urls.authz(authz.id) for authz in order.authorizations],
        "finalize": urls.finalize(order.id),
    }
    if order.not_before:
        body["notBefore"] = rfc3339(order.not_before)
    if order.not_after:
        body["notAfter"] = rfc3339(order.not_after)
    if config.authorizations is Authorizations.MISSING:
        del body["authorizations"]
    if order.profile and config.echo_profile:
        body["profile"] = order.profile
    if order.replaces:
        body["replaces"] = order.replaces
    if order.error:
        body["error"] = order.error.document()
    numbers = any(item.type == "TNAuthList" for item in order.identifiers)
    if numbers and config.signer_url and order.status == "valid":
        body["x5u"] = config.signer_url
    return body | _outcome(order, urls)


def _outcome(order: Order, urls: Urls) -> dict[str, object]:
    """Return what a usual order leads to, or a STAR one (RFC 8739 3.1.1)."""
    body: dict[str, object] = {}
    if order.terms:
        body["auto-renewal"] = order.terms.document()
    if order.status != "valid":
        return body
    if order.terms:
        return body | {"star-certificate": urls.star(order.certificate)}
    return {"certificate": urls.certificate(order.certificate)}


def authorization_document(authz: Authorization, urls: Urls) -> dict[str, object]:
    """Return the authorization object with its challenges."""
    body: dict[str, object] = {
        "identifier": authz.identifier.base.document(),
        "status": authz.status,
        "expires": rfc3339(authz.expires),
        "challenges": [challenge_document(c, urls) for c in authz.challenges],
    }
    if authz.identifier.wildcard:
        body["wildcard"] = True
    return body


def challenge_document(challenge: Challenge, urls: Urls) -> dict[str, object]:
    """Return the challenge object."""
    body: dict[str, object] = {
        "type": challenge.type,
        "url": urls.challenge(challenge.id),
        "status": challenge.status,
        **challenge.extra,
    }
    if challenge.validated:
        body["validated"] = rfc3339(challenge.validated)
    if challenge.error:
        body["error"] = challenge.error.document()
    return body
