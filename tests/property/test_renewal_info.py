"""Properties of the suggested window, for any window, restart and question."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.jobs.certificate import fold
from agent.jobs.lifecycle import begin, found_running, interrupt
from agent.jobs.reconcile import reconcile
from agent.jobs.renewal_info import AskRenewalInfo, Informed
from agent.records.certificate import CertificateRecord
from agent.records.codec import decode, encode
from agent.records.slots import Slot
from agent.renewal.plan import LEAST_PAUSE, Rule, due, plan
from tests.vectors.records import DAY, NOW, context, enrolled, issuance, moment

CONTEXT = context()
SLOT = Slot("renewal-info")
DRAWS = st.floats(0, 1, exclude_max=True)
OFFSETS = st.timedeltas(-400 * DAY, 60 * DAY)
WIDTHS = st.timedeltas(timedelta(milliseconds=1), 90 * DAY)
LIVES = st.timedeltas(timedelta(minutes=5), 400 * DAY)
TICK = timedelta(milliseconds=1)


@st.composite
def windows(draw: st.DrawFn) -> Informed:
    """Return a window that ends within the certificate's life."""
    start = NOW + draw(OFFSETS)
    end = min(start + draw(WIDTHS), NOW + 60 * DAY)
    return Informed(start=min(start, end - TICK), end=end)


def asked() -> CertificateRecord:
    """Return a certificate that is asked about."""
    record = enrolled()
    last = record.publications[-1]
    told = replace(last.issuance, certid="a.b", renewal_info=True)
    return replace(record, publications=(replace(last, issuance=told),))


def restarted(record: CertificateRecord) -> CertificateRecord:
    """Return a record after its file was read by a new process."""
    return found_running(decode(encode(record), CertificateRecord))


def told(
    record: CertificateRecord, window: Informed, now: datetime, draw: float
) -> CertificateRecord:
    """Ask once, with a restart before and after the answer."""
    record = reconcile(record, CONTEXT, moment(now, draw=draw))
    effect = AskRenewalInfo("a.b")
    if record.renewal_info is None:
        return record
    record = restarted(interrupt(begin(record, SLOT, effect.name), SLOT))
    record = begin(record, SLOT, effect.name)
    done = fold(record, SLOT, effect, window, CONTEXT, moment(now, draw=draw))
    return restarted(done)


@given(windows(), st.lists(DRAWS, min_size=2, max_size=5))
def test_the_pick_is_inside_the_window_and_never_moves(
    window: Informed, draws: list[float]
) -> None:
    """However often it is asked and started again, with whatever draws."""
    record, now, picks = asked(), NOW, set()
    for draw in draws:
        record = told(record, window, now, draw)
        assert record.renewal is not None
        assert record.renewal.pick is not None
        picks.add(record.renewal.pick)
        now += timedelta(hours=7)
    (pick,) = picks
    assert window.start <= pick <= window.end


@given(windows(), DRAWS)
def test_a_window_never_pushes_a_renewal_into_the_emergency(
    window: Informed, draw: float
) -> None:
    """The emergency margin overrides it; the plan stays inside the life."""
    record = told(asked(), window, NOW, draw)
    planned = due(record, None)
    assert planned is not None
    assert planned.at <= planned.emergency_at < NOW + 60 * DAY
    assert planned.rule in {Rule.SUGGESTED, Rule.EMERGENCY}


@given(LIVES, OFFSETS, st.integers(0, 100))
def test_a_hurry_of_the_ca_is_followed_soon_and_not_for_ever(
    life: timedelta, offset: timedelta, hasty: int
) -> None:
    """An hour at most at first; longer each time, up to the usual pause."""
    fresh = replace(issuance(begins=NOW, life=life), hasty=hasty)
    usual = max(life / 20, min(LEAST_PAUSE, life / 2))
    planned = plan(fresh, None, NOW + min(offset, timedelta(0)))
    pause = planned.at - NOW
    assert min(usual, timedelta(hours=1)) - TICK <= pause <= usual + TICK
    again = plan(replace(fresh, hasty=hasty + 1), None, NOW - DAY)
    assert again.at >= planned.at
