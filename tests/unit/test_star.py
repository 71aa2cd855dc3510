"""STAR part by part: what is asked, what is agreed, when one looks, what is shown."""

import dataclasses
from datetime import datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from agent.acme.errors import ProblemError, StarRefusedError
from agent.acme.messages import AutoRenewal, Directory, Order
from agent.acme.problem import Problem
from agent.cli.render_star import told
from agent.cli.shapes import CertificateShape, SeriesShape
from agent.config.errors import ConfigError
from agent.config.nf import Nf
from agent.config.parse import Source, parse
from agent.config.star import Star
from agent.demands import CommandError, revoke
from agent.jobs import ending, series
from agent.jobs.context import Context
from agent.jobs.extras import STAR
from agent.jobs.issue import effects as issue
from agent.jobs.issuing import fold
from agent.jobs.reconcile import reason_to_issue, reconcile
from agent.jobs.star import close, fetch_at, opened, pause
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.procedures.extensions import members, refusal
from agent.records.certificate import CertificateRecord, Wanted
from agent.records.job import Disposition
from agent.records.phases import KeyMade
from agent.records.series import Series, SeriesClosing, SeriesOpen
from agent.records.star import StarTerms, StarWanted
from agent.starviews import series_views, why_usual
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    DIRECTORY,
    NOW,
    certificate_table,
    checked,
    context,
    enrolled,
    failure,
    issue_job,
    issued,
    moment,
)

WANTED = StarWanted(lifetime=4 * 86400, adjust=3600, duration=90 * 86400, get=True)
TERMS = StarTerms(end=NOW + 40 * DAY, lifetime=4 * 86400)
SLOT = "series000001"
UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
META = {"min-lifetime": 3600, "max-duration": 365 * 86400}


def directory(auto_renewal: object) -> Directory:
    """Return a directory whose meta says this of STAR."""
    url = "https://ca.example/x"
    raw = {"newNonce": url, "newAccount": url, "newOrder": url}
    return msgspec.convert(raw | {"meta": {"auto-renewal": auto_renewal}}, Directory)


def wanting() -> Context:
    """Return the context of a certificate that wants a series."""
    table = certificate_table(star=Star(lifetime="4d", adjust="1h", duration="90d"))
    return dataclasses.replace(context(table), accounts={ACCOUNT.name: ACCOUNT})


def with_series(terms: StarTerms = TERMS) -> CertificateRecord:
    """Return a certificate of a series that is open."""
    record = enrolled()
    last = record.publications[-1]
    known = replace(
        last.issuance,
        series=SLOT,
        asked_star=wanting().star,
        content=wanting().wanted.content,
        not_before=NOW,
        not_after=NOW + 4 * DAY,
        issued_at=NOW,
    )
    brought = Series(
        order="https://ca.example/order/1",
        certificate="https://ca.example/star/1",
        terms=terms,
        since=NOW,
        key=known.key,
        ca="operator",
        directory=DIRECTORY,
        account=ACCOUNT.name,
    )
    record = replace(
        record,
        publications=(replace(last, issuance=known),),
        issued=(replace(issued(), fingerprint=known.fingerprint, series=SLOT),),
    )
    return opened(record, SLOT, brought, known.not_after, moment(draw=0.0))


def at(record: CertificateRecord, now: datetime) -> Do[series.Effect] | Wait:
    """Return the next step of the series."""
    return series.next_step(record, SLOT, record.series[SLOT], wanting(), now)


def after(
    record: CertificateRecord, outcome: series.Outcome, now: datetime
) -> CertificateRecord:
    """Return the record after what the series does now came out so."""
    step = at(record, now)
    assert isinstance(step, Do), step
    return series.fold(record, SLOT, step.effect, outcome, wanting(), moment(now))


# -- what is asked for


def test_what_is_asked_fits_what_the_ca_offers() -> None:
    """Not below its shortest life, not beyond its longest series, GET where it lets."""
    asked = members(issue.Extras(star=WANTED), directory(META), NOW)["auto-renewal"]
    assert asked == {
        "end-date": NOW + 90 * DAY,
        "lifetime": 4 * 86400,
        "lifetime-adjust": 3600,
    }
    short = META | {"min-lifetime": 5 * 86400, "allow-certificate-get": True}
    asked = members(issue.Extras(star=WANTED), directory(short), NOW)["auto-renewal"]
    assert isinstance(asked, dict)
    assert asked["lifetime"] == 5 * 86400
    assert asked["allow-certificate-get"] is True
    brief = META | {"max-duration": 10 * 86400}
    asked = members(issue.Extras(star=WANTED), directory(brief), NOW)["auto-renewal"]
    assert isinstance(asked, dict)
    assert NOW + 9 * DAY < asked["end-date"] < NOW + 10 * DAY


@pytest.mark.parametrize(
    "meta",
    [
        None,
        "yes",
        {},
        {"min-lifetime": -1, "max-duration": 1},
        {"min-lifetime": 3600, "max-duration": 3600},
        {"min-lifetime": "3600", "max-duration": 10**7},
    ],
)
def test_a_ca_that_offers_none_that_can_be_used_is_asked_for_a_usual_order(
    meta: object,
) -> None:
    """Nor does one whose offer cannot be read cost anybody the directory."""
    assert members(issue.Extras(star=WANTED), directory(meta), NOW) == {}
    assert members(issue.Extras(), directory(META), NOW) == {}


def test_a_refusal_that_can_be_about_it_is_told_apart() -> None:
    """Only where it was sent; a rate limit is none."""

    def refused(kind: str, sent: dict[str, object]) -> type[Exception]:
        problem = Problem(type=f"urn:ietf:params:acme:error:{kind}")
        error = ProblemError(problem, status=400, url="https://ca.example/x")
        return type(refusal(error, sent, issue.Extras(star=WANTED)))

    assert refused("malformed", {"auto-renewal": {}}) is StarRefusedError
    assert refused("malformed", {}) is ProblemError
    assert refused("rateLimited", {"auto-renewal": {}}) is ProblemError


@pytest.mark.parametrize("echoed", [True, False])
def test_an_order_without_the_echo_is_given_up_and_the_next_one_asks_for_none(
    echoed: bool,
) -> None:
    """Believed, one certificate would be taken for a series."""
    job = issue_job(KeyMade(key="00" * 16))
    wanted = Wanted(names=("x",), ca="operator", directory=DIRECTORY, star=WANTED)
    record = CertificateRecord(name="amf1", issue=job, wanted=wanted)
    agreed = AutoRenewal(end_date=NOW + 40 * DAY, lifetime=2 * 86400)
    order = Order(
        status="pending",
        finalize="https://ca.example/f",
        authorizations=("https://ca.example/a",),
        auto_renewal=agreed if echoed else None,
    )
    seen = issue.OrderSeen("https://ca.example/o", order, None, star_asked=True)
    effect = issue.CreateOrder("00" * 16, issue.Extras(star=WANTED))
    done = fold(record, job, effect, seen, wanting(), moment())
    assert done.issue is not None
    assert done.wanted is not None
    if echoed:
        phase = done.issue.phase
        assert not isinstance(phase, KeyMade)
        assert phase.order.star == StarTerms(end=NOW + 40 * DAY, lifetime=2 * 86400)  # type: ignore[union-attr]  # answering
        assert done.wanted.refused == ()
    else:
        assert isinstance(done.issue.phase, KeyMade)
        assert done.issue.not_before is None
        assert done.wanted.refused == (STAR,)


def test_a_series_is_not_released_by_hand() -> None:
    """It would run out while it waits."""
    text = b"""
        ca.x = { directory = "https://ca.example/d", roots = "system" }
        account.x = { ca = "x", key = { file = true } }
        [certificate.web]
        names = ["web.example"]
        ca = "x"
        key = { file = true }
        deploy = "manual"
        star = {}
    """
    with pytest.raises(ConfigError) as caught:
        parse([Source("nfcertd.toml", text)])
    [problem] = caught.value.problems
    assert problem.startswith("certificate.web.star: nobody can release")


# -- when one looks


def test_the_next_one_is_looked_for_when_it_has_to_be_there() -> None:
    """Half a nominal life before the end of the last; not after the series."""
    end = NOW + 4 * DAY
    assert fetch_at(TERMS, end, 0.0) == NOW + 2 * DAY
    assert fetch_at(TERMS, end, 1.0) == NOW + 2 * DAY + TERMS.life / 20
    assert fetch_at(TERMS, TERMS.end, 0.5) == TERMS.end
    assert pause(TERMS, 0.0) == TERMS.life / 20
    assert pause(replace(TERMS, lifetime=60), 0.0) == timedelta(minutes=1)


def test_a_fetch_brings_an_issuance_with_the_same_key_and_keeps_the_series() -> None:
    """What is known, or older, is no news; what is late is a failure in the end."""
    record = with_series()
    assert isinstance(at(record, NOW), Wait)
    now = NOW + 2 * DAY
    new = issue.Downloaded(checked(7, begins=now, life=4 * DAY))
    got = after(record, new, now)
    assert got.publication_count == 2
    assert got.current is not None
    assert (got.current.series, got.current.order) == (
        SLOT,
        record.series[SLOT].phase.series.order,
    )
    assert got.current.key == record.publications[-1].issuance.key
    assert isinstance(at(got, now + timedelta(hours=1)), Wait)
    same = after(record, issue.Downloaded(checked(1, begins=NOW, life=4 * DAY)), now)
    assert same.publication_count == 1
    assert same.series[SLOT].failure is None
    late = NOW + 3 * DAY + timedelta(hours=1)
    missed = after(record, issue.Downloaded(checked(1, life=4 * DAY)), late)
    why = missed.series[SLOT].failure
    assert why is not None
    assert "not published" in why.message


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("acme:autoRenewalCanceled", False),
        ("acme:autoRenewalExpired", False),
        ("acme:unauthorized", True),
        ("acme.not-found", True),
        ("transport", True),
        ("pki.chain", True),
    ],
)
def test_what_says_that_it_is_over_ends_it_what_does_not_is_doubted(
    kind: str, left: bool
) -> None:
    """A refusal of another kind is followed by a look at the order."""
    needs = kind.startswith(("acme:", "acme.not-found"))
    disposition = Disposition.NEEDS_OPERATOR if needs else Disposition.BACK_OFF
    failed = replace(failure(kind), disposition=disposition, at=NOW + 2 * DAY)
    record = after(with_series(), Failed(failed), NOW + 2 * DAY)
    assert (SLOT in record.series) is left
    if not left:
        assert reason_to_issue(record, wanting(), NOW) == "its series is over"
        return
    phase = record.series[SLOT].phase
    assert isinstance(phase, SeriesOpen)
    assert phase.doubted is needs
    if needs:
        then = NOW + 3 * DAY
        step = at(record, then)
        assert isinstance(step, Do)
        assert isinstance(step.effect, series.LookAtOrder)
        assert SLOT not in after(record, series.OrderState("canceled"), then).series
        stands = after(record, series.OrderState("valid"), then)
        assert isinstance(stands.series[SLOT].phase, SeriesOpen)
        assert SLOT not in after(record, Failed(failed), then).series


# -- how it ends


def test_a_series_is_ordered_again_before_it_ends_and_when_it_brings_nothing() -> None:
    """Two lives before its end; in an emergency at once."""
    record, about = with_series(), wanting()
    assert reason_to_issue(record, about, NOW + DAY) is None
    assert "in time" in (reason_to_issue(record, about, NOW + 4 * DAY) or "")
    near = with_series(replace(TERMS, end=NOW + 8 * DAY))
    assert "before-the-series-ends" in (
        reason_to_issue(near, about, NOW + 4 * DAY) or ""
    )
    usual = dataclasses.replace(about, config=certificate_table())
    assert reason_to_issue(record, usual, NOW) == "the configuration changed its star"


def test_a_series_is_closed_once_and_its_cancellation_is_idempotent() -> None:
    """One that the CA knows as over is; one that nobody can cancel ends by itself."""
    record = close(with_series(), moment(), "it is not needed")
    phase = record.series[SLOT].phase
    assert isinstance(phase, SeriesClosing)
    assert close(record, moment(), "again") == record
    step = at(record, NOW)
    assert isinstance(step, Do)
    assert step.effect == series.Cancel("https://ca.example/order/1")
    assert after(record, Performed(), NOW).series == {}
    over = Failed(failure("acme:autoRenewalCancellationInvalid"))
    assert after(record, over, NOW).series == {}
    refusal_ = replace(
        failure("acme:malformed"), disposition=Disposition.NEEDS_OPERATOR
    )
    for refused in (refusal_, failure("acme.not-found")):
        doubted = after(record, Failed(refused), NOW)
        step = at(doubted, NOW + DAY)
        assert isinstance(step, Do)
        assert isinstance(step.effect, series.LookAtOrder)
        assert after(doubted, Failed(refused), NOW + DAY).series == {}
        assert after(doubted, series.OrderState("canceled"), NOW + DAY).series == {}
        stands = after(doubted, series.OrderState("valid"), NOW + DAY)
        assert isinstance(at(stands, NOW + 2 * DAY), Do)
    away = after(record, Failed(failure("transport")), NOW)
    assert isinstance(away.series[SLOT].phase, SeriesClosing)
    gone = dataclasses.replace(wanting(), account=None, accounts={})
    assert isinstance(
        series.next_step(record, SLOT, record.series[SLOT], gone, NOW), Wait
    )
    assert reconcile(away, wanting(), moment(TERMS.end)).series == {}


def test_a_certificate_of_a_series_is_cancelled_not_revoked() -> None:
    """And what is left of one whose series is over cannot be either."""
    record = with_series()
    asked = {"reason": "superseded"}
    assert isinstance(revoke(record, asked, moment()).series[SLOT].phase, SeriesClosing)
    with pytest.raises(CommandError, match="cannot be revoked"):
        revoke(replace(record, series={}), asked, moment())


def test_a_series_ends_with_its_network_function() -> None:
    """It is cancelled, its certificates are not revoked, and the end waits for it."""
    of = Nf(instance_id=UUID, types=("AMF",), fqdn="amf1.example")
    ends = dataclasses.replace(
        wanting(), config=certificate_table(nf="amf1"), nf=of, ends=True
    )
    record = reconcile(with_series(), ends, moment())
    assert isinstance(record.series[SLOT].phase, SeriesClosing)
    assert record.revoke == {}
    assert record.end is not None
    gone = replace(record, farewell={}, endpoints={})
    step = ending.next_step(gone, record.end, ends, NOW)
    assert isinstance(step, Wait)
    assert "cancelled" in step.reason


# -- what is shown


def test_a_person_sees_the_series_or_why_there_is_none() -> None:
    """Its end, the next fetch, and the CA that has not agreed."""
    [view] = series_views(with_series())
    assert (view.state, view.end, view.fetch_at) == ("open", TERMS.end, NOW + 2 * DAY)
    [view] = series_views(close(with_series(), moment(), "x"))
    assert (view.state, view.fetch_at) == ("closing", None)
    assert why_usual(with_series(), wanting()) == ""
    assert "since the last order" in why_usual(enrolled(), wanting())
    assert why_usual(enrolled(), context()) == ""
    shown = CertificateShape(
        name="web",
        series=(
            SeriesShape(state="open", end=NOW + DAY, fetch_at=NOW + DAY / 2),
            SeriesShape(state="closing", end=NOW + DAY),
        ),
        star="the ca offers none",
    )
    lines = list(told(shown, NOW))
    assert "fetched in 12 h" in lines[0]
    assert "cancelled" in lines[1]
    assert lines[2] == "no series: the ca offers none"
