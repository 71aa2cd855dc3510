"""The series of STAR orders: how they are fetched and how they end (RFC 8739 3).

Knows the URL on which one certificate follows another. A certificate is signed when
somebody fetches it, so that a year which nobody looks at costs nothing.
"""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta

from tests.ca.actions import http_date, struck_by
from tests.ca.certificates import Certificates, Subject
from tests.ca.checks import check_owner, known, read_only
from tests.ca.config import Config
from tests.ca.exchange import Answer, Exchange, Headers
from tests.ca.gate import Gate
from tests.ca.issuing import Authority, Issued
from tests.ca.orders import Order
from tests.ca.problems import refusal
from tests.ca.series import Schedule
from tests.ca.star_actions import EarlierCertificate, PublishLate


@dataclass(slots=True, kw_only=True)
class Series:
    """One series: one request, one key, as many certificates as are fetched.

    Attributes:
        order: The order that it belongs to.
        subject: What every certificate of it says.
        schedule: When each of them is valid.
        issued: Those that were signed, by their number.
    """

    order: Order
    subject: Subject = field(repr=False)
    schedule: Schedule
    issued: dict[int, Issued] = field(default_factory=dict)


class Stars:
    """All series of this CA."""

    def __init__(
        self,
        config: Config,
        certificates: Certificates,
        gate: Gate,
        authority: Authority,
    ) -> None:
        """Begin with none."""
        self.by_id: dict[str, Series] = {}
        self._config = config
        self._certificates = certificates
        self._gate = gate
        self._authority = authority

    def open(self, order: Order, subject: Subject) -> str:
        """Begin a series with its first certificate, and return its identifier."""
        if order.terms is None or self._config.auto_renewal is None:
            raise ValueError("the order is a usual one")
        now = self._config.now().replace(microsecond=0)
        schedule = Schedule(
            first=max(order.terms.start or now, now),
            terms=order.terms,
            fraction=self._config.auto_renewal.fraction,
        )
        ident = secrets.token_urlsafe(9)
        series = Series(order=order, subject=subject, schedule=schedule)
        self.by_id[ident] = series
        self._at(series, 0)
        order.expires = order.terms.end + self._config.order_lifetime
        return ident

    def _at(self, series: Series, number: int) -> Issued:
        if number not in series.issued:
            validity = series.schedule.validity(number)
            made = self._certificates.make(series.subject, validity)
            series.issued[number] = made
        return series.issued[number]

    def holds(self, issued: Issued) -> bool:
        """Tell whether a certificate belongs to a series."""
        return any(series.order.id == issued.order for series in self.by_id.values())

    def cancel(self, order: Order) -> None:
        """End a series before its time (RFC 8739 3.1.2)."""
        if order.terms is None:
            raise refusal("malformed", "the order is no STAR order")
        if order.status != "valid":
            words = f"the order is {order.status}"
            raise refusal("autoRenewalCancellationInvalid", words)
        order.status = "canceled"
        order.expires = self._config.now() + self._config.order_lifetime

    def fetch(self, exchange: Exchange) -> Answer:
        """Answer with the current certificate (RFC 8739 3.3, 3.4)."""
        series = self._admit(exchange)
        order = series.order
        if order.status == "canceled":
            raise refusal("autoRenewalCanceled", "the order was canceled")
        if order.status != "valid":
            raise refusal("malformed", "the order is not valid yet", 404)
        now = self._config.now()
        if now >= series.schedule.terms.end:
            raise refusal("autoRenewalExpired", "the series is over")
        late = struck_by(exchange, PublishLate)
        seen = now - (late.by if late else timedelta(0))
        number = series.schedule.current(seen)
        if old := struck_by(exchange, EarlierCertificate):
            number = max(0, number - old.back)
        exchange.issued = self._at(series, number)
        return self._answer(exchange.issued)

    def _admit(self, exchange: Exchange) -> Series:
        """Admit the account always, and plain GET where it was agreed."""
        if exchange.method != "POST":
            series = known(self.by_id, exchange.parts[0])
            if series.schedule.terms.get is not True:
                # RFC 8555 6.3: 405 with type malformed.
                raise refusal("malformed", f"{exchange.method} was not agreed", 405)
            return series
        request, account = self._gate.by_account(exchange)
        series = known(self.by_id, exchange.parts[0])
        check_owner(account.id, series.order.account.id)
        read_only(request)
        return series

    def _answer(self, issued: Issued) -> Answer:
        leaf = issued.leaf
        headers: Headers = (
            ("Content-Type", "application/pem-certificate-chain"),
            ("Cert-Not-Before", http_date(leaf.not_valid_before_utc)),
            ("Cert-Not-After", http_date(leaf.not_valid_after_utc)),
        )
        return Answer(headers=headers, body=self._authority.chain(leaf))
