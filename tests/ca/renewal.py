"""Renewal information, and what replaces what (RFC 9773).

Knows how a certificate is named, which window is told for it, and which order holds its
place as the next one. Does not know how a request came in.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509

from tests.ca.certificates import Certificates
from tests.ca.config import Config
from tests.ca.issuing import Issued
from tests.ca.orders import Order
from tests.ca.problems import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What this CA says of one certificate.

    Attributes:
        start: Where the window begins.
        end: Where it ends; a script may let it end before it begins.
        explanation: URL of a page for people, or empty.
    """

    start: datetime
    end: datetime
    explanation: str = ""


class Book(Protocol):
    """The orders that are known."""

    by_id: dict[str, Order]


def name_of(leaf: x509.Certificate) -> str:
    """Return the name of a certificate: issuer's key identifier, period, serial.

    RFC 9773 4.1: the serial as in the certificate, a leading zero octet included.
    """
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    octets = (leaf.serial_number.bit_length() + 8) // 8
    serial = leaf.serial_number.to_bytes(octets, "big", signed=True)
    return f"{_text(issuer.value.key_identifier or b'')}.{_text(serial)}"


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().replace("=", "")


class Renewals:
    """What is suggested, and which order stands for the next certificate.

    Attributes:
        script: Suggestions by the name of the certificate; the usual one otherwise.
    """

    def __init__(
        self, config: Config, certificates: Certificates, orders: Book
    ) -> None:
        """Begin without a script."""
        self.script: dict[str, Suggestion] = {}
        self._config = config
        self._certificates = certificates
        self._orders = orders

    def document(self, name: str) -> dict[str, object]:
        """Return the renewalInfo object of a certificate; 404 for an unknown one."""
        told = self.script.get(name) or self._usual(self.known(name))
        window = {"start": told.start.isoformat(), "end": told.end.isoformat()}
        body: dict[str, object] = {"suggestedWindow": window}
        if told.explanation:
            body["explanationURL"] = told.explanation
        return body

    def _usual(self, issued: Issued) -> Suggestion:
        """Suggest two days in the last third of the life, or less of a short one."""
        start, end = issued.leaf.not_valid_before_utc, issued.leaf.not_valid_after_utc
        life = end - start
        begins = start + life * 2 / 3
        return Suggestion(start=begins, end=begins + min(timedelta(days=2), life / 20))

    def known(self, name: str) -> Issued:
        """Return the certificate of a name."""
        if name.count(".") != 1 or "=" in name:
            raise refusal("malformed", "this is no name of a certificate")
        for issued in self._certificates.by_id.values():
            if name_of(issued.leaf) == name:
                return issued
        raise refusal("malformed", "there is no such certificate", 404)

    def check(self, account: str, request: Mapping[str, object]) -> str:
        """Return what a newOrder replaces, empty for nothing (RFC 9773 5).

        The predecessor is of the same account, shares a name, and has no successor yet
        whose order is alive.
        """
        name = request.get("replaces")
        if name is None or not self._config.renewal_info:
            return ""
        if not isinstance(name, str):
            raise refusal("malformed", "replaces is not a string")
        issued = self.known(name)
        if issued.account != account:
            raise refusal("unauthorized", "the certificate is of another account")
        if not _names(request) & {str(n.value) for n in issued.names}:
            raise refusal("malformed", "no name of the certificate is ordered again")
        for order in self._orders.by_id.values():
            if order.replaces == name and order.status != "invalid":
                raise refusal("alreadyReplaced", "another order replaces it")
        return name


def _names(request: Mapping[str, object]) -> set[str]:
    identifiers = request.get("identifiers")
    if not isinstance(identifiers, list):
        return set()
    return {str(i.get("value")) for i in identifiers if isinstance(i, dict)}
