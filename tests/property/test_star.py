"""A series over a virtual year, with faults: no gap in validity at the endpoint.

The CA publishes as late as RFC 8739 allows, is away for a while, answers with errors,
hands out what it has handed out before, and cancels; the daemon is killed in between.
Whatever happens: at every instant after the first deployment the endpoint serves a
certificate that is valid then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as with_
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.acme.messages import AutoRenewal
from agent.config.star import Star
from agent.jobs import deploy, series
from agent.jobs.certificate import fold, next_step
from agent.jobs.issue import effects as issue
from agent.jobs.lifecycle import begin, found_running
from agent.jobs.reconcile import next_change, reconcile
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.codec import decode, encode
from agent.records.job import Disposition, Failure
from agent.records.slots import jobs
from agent.renewal.disposition import TABLE as TABLE_OF
from tests.vectors.model import ModelCa, ModelHost, ModelOrder
from tests.vectors.records import DAY, NOW, certificate_table, checked, context

LIFE = timedelta(days=4)
SPAN = timedelta(days=90)
YEAR = timedelta(days=365)
MINUTE = timedelta(minutes=1)
TABLE = certificate_table(
    grace="30s", star=Star(lifetime="4d", adjust="0s", duration="90d")
)
CONTEXT = context(TABLE)
STEPS = 12_000
"""Effects in which a year must be over."""


class Trouble(StrEnum):
    """What goes wrong at one look for a certificate."""

    NONE = "none"
    AWAY = "no answer"
    BUSY = "server error"
    REFUSED = "a refusal that passes"
    OLD = "the certificate before"
    SAME = "the same certificate, for a while"
    BAD = "a chain that does not verify"
    LOST = "not found"
    CANCELLED = "cancelled by the ca"
    KILLED = "killed after the answer"


@dataclass
class ModelSeries:
    """One STAR order: from when, and what was published last."""

    begins: datetime
    ends: datetime
    cancelled: bool = False

    def number(self, now: datetime) -> int:
        """Return which certificate is published: the next one as late as allowed."""
        return max(0, (now - self.begins + LIFE / 2) // LIFE)

    def span(self, number: int) -> tuple[datetime, datetime]:
        """Return when a certificate of it is valid: half a life beforehand."""
        nominal = self.begins + number * LIFE
        start = max(nominal - LIFE / 2, self.begins)
        return start, min(nominal + LIFE, self.ends)


@dataclass
class StarCa(ModelCa):
    """A CA whose orders are series."""

    lists: bool = True
    series: dict[str, ModelSeries] = field(default_factory=dict)
    brought: int = 0

    def shown(self, order: ModelOrder) -> issue.OrderSeen:
        """Show a STAR order with what was agreed."""
        seen = super().shown(order)
        known = self.series.get(order.url)
        ends = order.expires + SPAN if known is None else known.ends
        star = f"{order.url}/certificate" if order.status == "valid" else None
        agreed = AutoRenewal(end_date=ends, lifetime=int(LIFE.total_seconds()))
        shown = replace(
            seen.order, certificate=None, star_certificate=star, auto_renewal=agreed
        )
        return issue.OrderSeen(seen.url, shown, None, star_asked=True)

    def perform(self, effect: Any, key: str, now: datetime) -> issue.Outcome:
        """Do what a request asks for; an order that becomes valid begins its series."""
        outcome = super().perform(effect, key, now) if not _loads(effect) else None
        for order in self.orders:
            if order.status == "valid" and order.url not in self.series:
                ends = order.expires + SPAN
                self.series[order.url] = ModelSeries(begins=now, ends=ends)
        return outcome or self.fetch(effect.certificate, now)

    def fetch(self, url: str, now: datetime, back: int = 0) -> issue.Downloaded:
        """Return the certificate that is published, or one before it."""
        order = url.removesuffix("/certificate")
        known = self.series[order]
        number = max(0, known.number(now) - back)
        start, end = known.span(number)
        assert start <= now
        self.brought = max(self.brought, number)
        of = list(self.series).index(order) * 1000 + number + 1
        return issue.Downloaded(checked(of, begins=start, life=end - start))


def _loads(effect: Any) -> bool:
    return isinstance(effect, issue.Download)


class Year:
    """A daemon, a CA and an endpoint, over a year of virtual time."""

    def __init__(self, troubles: list[Trouble]) -> None:
        """Begin with nothing; each fetch of a series takes the next trouble."""
        self.record = CertificateRecord(name="amf1")
        self.ca = StarCa()
        self.host = ModelHost()
        self.now = NOW
        self.context = CONTEXT
        self.refuses = False
        self.fetches = 0
        self.gaps: list[str] = []
        self.reasons: list[str] = []
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        self._troubles = troubles
        self._count = 0

    def live(self, until: datetime) -> None:
        """Let time pass, from one thing that is due to the next."""
        for _ in range(STEPS):
            self._store(reconcile(self.record, self.context, self._moment()))
            due = [s for s in jobs(self.record) if isinstance(self._next(s), Do)]
            if due:
                self._step(due[self._count % len(due)])
            elif self.now >= until:
                return
            else:
                self._wait(until)
        raise AssertionError(f"no end: {self.now} {self.record}")

    def _next(self, slot: Any) -> Do[Any] | Wait:
        return next_step(self.record, slot, self.context, self.now)

    def _wait(self, until: datetime) -> None:
        instants = [next_change(self.record, self.context, self.now), until]
        for slot in jobs(self.record):
            step = self._next(slot)
            assert isinstance(step, Wait)
            instants.append(step.until)
        later = [at for at in instants if at is not None and at > self.now]
        self._pass(min(later))

    def _pass(self, later: datetime) -> None:
        """Let time pass, and look at the endpoint at the end of each span."""
        served = self.record.publication(self.host.served)
        if served is not None:
            start, end = served.issuance.not_before, served.issuance.not_after
            if not start <= self.now or later > end:
                self.gaps.append(f"{self.now} to {later}: serves {start} to {end}")
        self.now = later

    def _step(self, slot: Any) -> None:
        step = self._next(slot)
        assert isinstance(step, Do)
        effect = step.effect
        self._store(begin(self.record, slot, effect.name))
        trouble = Trouble.NONE
        if isinstance(effect, issue.CreateOrder) and self.record.issue is not None:
            self.reasons.append(self.record.issue.reason)
        if isinstance(effect, series.Fetch):
            self.fetches += 1
            trouble = self._troubles.pop(0) if self._troubles else Trouble.NONE
        outcome = self._perform(slot, effect, trouble)
        if trouble is Trouble.KILLED:
            self._store(found_running(self.record))
            return
        self._store(
            fold(self.record, slot, effect, outcome, self.context, self._moment())
        )

    def _perform(  # noqa: PLR0911 -- one arm an effect
        self, slot: Any, effect: Any, trouble: Trouble
    ) -> Any:
        match effect:
            case series.Fetch(url, _):
                return self._fetch(url, trouble)
            case series.LookAtOrder(url):
                cancelled = self.ca.series[url].cancelled
                return series.OrderState("canceled" if cancelled else "valid")
            case series.Cancel(url):
                self.ca.series[url].cancelled = True
                return Performed()
            case issue.MakeKey(key):
                self.host.keys.add(key)
                return issue.KeyExists(b"spki", "serial")
            case issue.CreateOrder() if self.refuses:
                kind = "acme:rejectedIdentifier"
                return self._failed(kind, Disposition.NEEDS_OPERATOR)
            case _ if slot.kind == "issue":
                job = self.record.issue
                assert job is not None
                return self.ca.perform(effect, job.phase.key, self.now)
            case _:
                known = self.record.publications
                prints = {p.number: p.issuance.fingerprint for p in known}
                if isinstance(effect, deploy.Tell):
                    self._pass(self.now)
                return self.host.perform(effect, prints, self.now)

    def _fetch(self, url: str, trouble: Trouble) -> Any:
        order = url.removesuffix("/certificate")
        known = self.ca.series[order]
        if trouble is Trouble.CANCELLED:
            known.cancelled = True
        if known.cancelled:
            return self._failed("acme:autoRenewalCanceled", Disposition.NEEDS_OPERATOR)
        failures: dict[Trouble, tuple[str, Disposition]] = {
            Trouble.AWAY: ("transport", Disposition.BACK_OFF),
            Trouble.BUSY: ("acme:serverInternal", Disposition.BACK_OFF),
            Trouble.REFUSED: ("acme:unauthorized", Disposition.NEEDS_OPERATOR),
            Trouble.BAD: ("pki.chain", TABLE_OF["pki.chain"]),
            Trouble.LOST: ("acme.not-found", TABLE_OF["acme.not-found"]),
        }
        if trouble in failures:
            return self._failed(*failures[trouble])
        back = 1 if trouble in {Trouble.OLD, Trouble.SAME} else 0
        return self.ca.fetch(url, self.now, back)

    def _failed(self, kind: str, disposition: Disposition) -> Failed:
        return Failed(
            Failure(kind=kind, message=kind, at=self.now, disposition=disposition)
        )

    def _store(self, record: CertificateRecord) -> None:
        """Let a record pass through its file, as every step of the daemon does."""
        self.record = decode(encode(record), CertificateRecord)

    def _moment(self) -> Moment:
        self._count += 1
        draw = self._count % 10 / 10
        return Moment(now=self.now, draw=draw, token=f"{self._count:012x}{0:020x}")


def bounded(kinds: list[Trouble]) -> list[Trouble]:
    """Return troubles of which no more than three come in a row."""
    found: list[Trouble] = []
    for kind in kinds:
        if [t is not Trouble.NONE for t in found[-3:]] == [True] * 3:
            found.append(Trouble.NONE)
        found.append(kind)
    return found


TROUBLES = st.lists(st.sampled_from(list(Trouble)), max_size=250).map(bounded)


@settings(max_examples=10, deadline=None)
@given(TROUBLES)
def test_a_year_of_a_series_has_no_gap_at_the_endpoint(troubles: list[Trouble]) -> None:
    """Some hundred certificates, several series, and always a valid one served."""
    year = Year(troubles)
    year.live(NOW + YEAR)
    assert year.gaps == []
    assert len(year.ca.series) >= 4
    assert sum(s.cancelled for s in year.ca.series.values()) >= 3
    last = year.record
    assert len(last.keys) <= 2
    assert year.host.keys == {key.id for key in last.keys}
    assert len(last.series) <= 2


@pytest.mark.parametrize("kind", [k for k in Trouble if k is not Trouble.NONE])
def test_a_year_in_which_one_kind_of_trouble_comes_again_and_again(
    kind: Trouble,
) -> None:
    """Every other look, for the whole year."""
    year = Year([Trouble.NONE if n % 2 else kind for n in range(600)])
    year.live(NOW + YEAR)
    assert year.gaps == []


def test_a_year_without_trouble_costs_one_look_a_certificate() -> None:
    """And one order a series; no certificate is looked for before it can be there."""
    year = Year([])
    year.live(NOW + YEAR)
    assert year.gaps == []
    orders = len(year.ca.orders)
    assert orders == len(year.ca.series)
    assert 4 <= orders <= 5
    planned = "renewal is due by the rule before-the-series-ends"
    assert year.reasons == ["there is no certificate yet", *[planned] * (orders - 1)]
    assert year.fetches <= YEAR // LIFE + 2 * orders


def test_a_series_goes_on_while_what_is_wanted_instead_is_refused() -> None:
    """Another name is configured, and the CA does not issue for it for weeks."""
    year = Year([])
    year.live(NOW + 10 * DAY)
    changed = replace(TABLE, names=("other.example",))
    year.context = with_(CONTEXT, config=changed)
    year.refuses = True
    year.live(NOW + 40 * DAY)
    assert year.gaps == []
    assert len(year.ca.series) == 1


def test_a_ca_that_is_away_too_long_leaves_a_gap_and_the_test_sees_it() -> None:
    """Longer than a life: what this file measures can be missed."""
    year = Year([Trouble.AWAY] * 10_000)
    year._perform = _away(year)  # type: ignore[assignment,method-assign]  # noqa: SLF001 -- a dead ca
    year.live(NOW + LIFE + timedelta(hours=2))
    assert year.gaps


def _away(year: Year) -> Callable[[Any, Any, Trouble], Any]:
    """Return a world in which no CA answers any more once something is served."""
    usual = year._perform  # noqa: SLF001 -- the harness's own

    def perform(slot: Any, effect: Any, trouble: Trouble) -> Any:
        if year.host.served and slot.kind in {"issue", "series"}:
            return year._failed("transport", Disposition.BACK_OFF)  # noqa: SLF001
        return usual(slot, effect, trouble)

    return perform


def test_the_context_of_this_file_wants_a_series() -> None:
    """Or everything above would be about usual orders."""
    assert CONTEXT.star is not None
    assert with_(CONTEXT, config=certificate_table()).star is None
