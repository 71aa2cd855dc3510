"""The arithmetic of short-term, automatically renewed certificates (RFC 8739).

Knows what an order may ask for, what the CA makes of it, and which span each
certificate of a series has. Does not know keys, URLs or who asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tests.ca.issuing import Validity
from tests.ca.problems import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRenewal:
    """How the CA speaks STAR.

    Attributes:
        min_lifetime: The shortest nominal lifetime that may be ordered.
        max_duration: The longest way from the start of a series to its end.
        certificate_get: What the directory says of plain GET; None says nothing.
        advertised: Whether the directory tells of it at all.
        ignored: Take the order as a usual one, silently, though it is advertised.
        longest: Longer nominal lifetimes are cut to this.
        latest: Ends further away than this from now are brought nearer.
        grants_get: Whether an order that asks for plain GET gets it.
        fraction: How much of a lifetime the next certificate is valid beforehand.
    """

    min_lifetime: timedelta = timedelta(hours=1)
    max_duration: timedelta = timedelta(days=366)
    certificate_get: bool | None = True
    advertised: bool = True
    ignored: bool = False
    longest: timedelta | None = None
    latest: timedelta | None = None
    grants_get: bool = True
    fraction: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a fraction that the next certificate could not keep."""
        if not 0.5 <= self.fraction < 1:
            raise ValueError("the fraction is at least a half and less than one")

    def meta(self) -> dict[str, object]:
        """Return the member `auto-renewal` of the directory's meta (RFC 8739 3.2)."""
        told: dict[str, object] = {
            "min-lifetime": _seconds(self.min_lifetime),
            "max-duration": _seconds(self.max_duration),
        }
        if self.certificate_get is not None:
            told["allow-certificate-get"] = self.certificate_get
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was agreed for one series (RFC 8739 3.1.1).

    Attributes:
        start: The earliest start of the first certificate; None means once authorized.
        end: No certificate is valid longer.
        lifetime: The nominal lifetime of each.
        adjust: How far each is back-dated.
        get: Whether plain GET may fetch; None where it was not asked for.
    """

    start: datetime | None
    end: datetime
    lifetime: timedelta
    adjust: timedelta | None
    get: bool | None

    def document(self) -> dict[str, object]:
        """Return the member `auto-renewal` of the order."""
        members: dict[str, object] = {
            "end-date": self.end.isoformat(),
            "lifetime": _seconds(self.lifetime),
        }
        if self.start is not None:
            members["start-date"] = self.start.isoformat()
        if self.adjust is not None:
            members["lifetime-adjust"] = _seconds(self.adjust)
        if self.get is not None:
            members["allow-certificate-get"] = self.get
        return members


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The spans of a series (RFC 8739 3.5).

    Attributes:
        first: The nominal date of the first certificate.
        terms: What was agreed.
        fraction: That of `AutoRenewal`.
    """

    first: datetime
    terms: Terms
    fraction: float = 0.5

    def validity(self, number: int) -> Validity:
        """Return the span of a certificate, counted from zero."""
        life = self.terms.lifetime
        nominal = self.first + number * life
        adjust = self.terms.adjust or timedelta(0)
        pad = max(min(life, adjust), life * self.fraction)
        start = max(nominal - pad, self.first).replace(microsecond=0)
        return Validity(start=start, end=min(nominal + life, self.terms.end))

    @property
    def last(self) -> int:
        """Return the number of the last certificate: its nominal date is before end."""
        return max(0, -((self.first - self.terms.end) // self.terms.lifetime) - 1)

    def current(self, now: datetime) -> int:
        """Return the number of the one on the URL.

        Each is published when half of the nominal lifetime of the one before is over:
        the latest instant that is allowed, and after its own start.
        """
        life = self.terms.lifetime
        return min(max(0, (now - self.first + life / 2) // life), self.last)


def agree(
    request: Mapping[str, object], star: AutoRenewal | None, now: datetime
) -> Terms | None:
    """Return what a newOrder agrees with this CA; None for a usual order.

    Raises `ProblemError` (malformed) where it cannot be had. A CA that does not speak
    it, or ignores it, ignores the member whatever it holds.
    """
    asked = request.get("auto-renewal")
    if asked is None or star is None or star.ignored:
        return None
    if not isinstance(asked, dict):
        raise refusal("malformed", "auto-renewal is not an object")
    if request.get("notBefore") is not None or request.get("notAfter") is not None:
        # RFC 8739 3.1.1: they MUST NOT be present in such an order.
        raise refusal("malformed", "notBefore and notAfter do not go with auto-renewal")
    terms = _parse(asked)
    _check(terms, star, now)
    return _cut(terms, star, now)


def _parse(asked: Mapping[str, object]) -> Terms:
    start, end = _date(asked, "start-date"), _date(asked, "end-date")
    lifetime, adjust = _span(asked, "lifetime"), _span(asked, "lifetime-adjust")
    get = asked.get("allow-certificate-get")
    if end is None or not lifetime:
        raise refusal("malformed", "auto-renewal needs end-date and a lifetime")
    if get is not None and not isinstance(get, bool):
        raise refusal("malformed", "allow-certificate-get is not a boolean")
    return Terms(start=start, end=end, lifetime=lifetime, adjust=adjust, get=get)


def _check(terms: Terms, star: AutoRenewal, now: datetime) -> None:
    begins = max(terms.start or now, now)
    if terms.end <= begins:
        raise refusal("malformed", "end-date is over, or before start-date")
    if terms.end - (terms.start or now) > star.max_duration:
        raise refusal("malformed", "the series is longer than max-duration")
    if not star.min_lifetime <= terms.lifetime <= star.max_duration:
        raise refusal("malformed", "lifetime is below min-lifetime, or out of bounds")


def _cut(terms: Terms, star: AutoRenewal, now: datetime) -> Terms:
    """Return what the CA makes of it: clients have to use what they read back."""
    instant = now.replace(microsecond=0)
    ends = terms.end if star.latest is None else min(terms.end, instant + star.latest)
    granted = star.grants_get and star.certificate_get is True
    return replace(
        terms,
        end=ends,
        lifetime=min(terms.lifetime, star.longest or terms.lifetime),
        get=None if terms.get is None else terms.get and granted,
    )


def _date(asked: Mapping[str, object], name: str) -> datetime | None:
    value = asked.get(name)
    if value is None:
        return None
    try:
        date = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise refusal("malformed", f"{name} is not a date of RFC 3339") from error
    if date.tzinfo is None:
        raise refusal("malformed", f"{name} has no offset")
    return date.astimezone(UTC).replace(microsecond=0)


def _span(asked: Mapping[str, object], name: str) -> timedelta | None:
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refusal("malformed", f"{name} is not a number of seconds")
    try:
        return timedelta(seconds=value)
    except OverflowError as error:
        raise refusal("malformed", f"{name} is out of bounds") from error


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
