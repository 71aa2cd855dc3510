"""What can go wrong on purpose with a series of certificates (RFC 8739).

Each class is one misbehaviour at `starCertificate`; those of `tests.ca.actions` strike
there as everywhere.
"""

from dataclasses import dataclass
from datetime import timedelta

from tests.ca.actions import http_date
from tests.ca.exchange import Answer, Exchange
from tests.ca.faults import Action


@dataclass(frozen=True, slots=True)
class PublishLate(Action):
    """Show at `starCertificate` what was current some time ago.

    Struck at every fetch, it is a CA that publishes each certificate late by so much.
    """

    by: timedelta


@dataclass(frozen=True, slots=True)
class EarlierCertificate(Action):
    """Show at `starCertificate` one from before, as a stale cache does."""

    back: int = 1


@dataclass(frozen=True, slots=True)
class WrongCertDates(Action):
    """Let `Cert-Not-Before` and `Cert-Not-After` disagree with the certificate."""

    offset: timedelta = timedelta(days=1)

    async def after(self, exchange: Exchange, answer: Answer) -> Answer:
        """Shift both."""
        if exchange.issued is None:
            return answer
        leaf = exchange.issued.leaf
        start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        answer = answer.setting("Cert-Not-Before", http_date(start + self.offset))
        return answer.setting("Cert-Not-After", http_date(end + self.offset))
