"""Properties of the renewal policy, for any life and any failure."""

from datetime import timedelta

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.records.certificate import Issuance
from agent.records.job import Disposition
from agent.renewal.backoff import (
    FIRST,
    LONGEST,
    MAX_POLL,
    MIN_POLL,
    delay,
    next_attempt,
    poll_delay,
)
from agent.renewal.plan import JITTER, Rule, emergency_margin, plan
from tests.vectors.records import NOW, failure, issuance

DRAWS = st.floats(0, 1, exclude_max=True)
LIVES = st.timedeltas(timedelta(minutes=2), timedelta(days=4000))
FRACTIONS = st.one_of(st.none(), st.floats(0.1, 0.95))
SPANS = st.timedeltas(timedelta(0), timedelta(days=400))
TICK = timedelta(milliseconds=1)


@st.composite
def issuances(draw: st.DrawFn) -> Issuance:
    """Return issuances that begin when they are issued."""
    return issuance(begins=NOW, life=draw(LIVES), draw=draw(DRAWS))


@given(issuances(), FRACTIONS)
def test_a_plan_is_within_the_life(subject: Issuance, configured: float | None) -> None:
    """After the beginning, before the emergency, and the same when asked again."""
    found = plan(subject, configured)
    assert found == plan(subject, configured)
    assert subject.not_before < found.at <= found.emergency_at < subject.not_after


@given(issuances(), FRACTIONS)
def test_the_jitter_is_to_the_early_side(
    subject: Issuance, configured: float | None
) -> None:
    """Never more than 5 % of the life, never late."""
    found = plan(subject, configured)
    assume(found.rule not in {Rule.EMERGENCY, Rule.JUST_ISSUED})
    latest = plan(replace(subject, draw=0.0), configured)
    life = subject.not_after - subject.not_before
    assert timedelta(0) <= latest.at - found.at <= life * JITTER + TICK


@given(issuances(), SPANS, FRACTIONS)
def test_two_orders_never_follow_at_once(
    subject: Issuance, age: timedelta, configured: float | None
) -> None:
    """However old a certificate is when it is handed out, some of it passes first."""
    subject = replace(subject, issued_at=NOW + age)
    left = subject.not_after - subject.issued_at
    assume(left > timedelta(0))
    pause = plan(subject, configured).at - subject.issued_at
    assert pause >= min(left / 20, left / 2) - TICK
    assert pause >= min(FIRST, left / 2) - TICK
    assert plan(subject, configured).at <= subject.not_after


@given(SPANS, SPANS)
def test_the_margin_grows_with_the_life(one: timedelta, other: timedelta) -> None:
    """And is never more than a quarter of it."""
    short, long = sorted([one, other])
    assert emergency_margin(short) <= emergency_margin(long) <= long / 4


@given(st.integers(0, 10_000), st.one_of(st.none(), SPANS), DRAWS)
def test_back_off_is_bounded_and_grows(
    failures: int, remaining: timedelta | None, draw: float
) -> None:
    """Within a tenth of its middle, within its caps, never less after more failures."""
    found = delay(failures, remaining, draw)
    middle = delay(failures, remaining, 0.5)
    assert middle * 0.9 - TICK <= found <= middle * 1.1 + TICK
    cap = LONGEST if remaining is None else max(min(LONGEST, remaining / 8), FIRST)
    assert FIRST <= middle <= cap
    assert middle <= delay(failures + 1, remaining, 0.5)


@given(
    st.sampled_from(list(Disposition)),
    st.integers(1, 100),
    st.one_of(st.none(), SPANS),
    st.one_of(st.none(), st.timedeltas(timedelta(days=-5), timedelta(days=400))),
    DRAWS,
)
def test_retry_after_is_never_undercut(
    disposition: Disposition,
    failures: int,
    asked: timedelta | None,
    left: timedelta | None,
    draw: float,
) -> None:
    """Nor is the past; without it no wait is longer than a day and a tenth."""
    retry_at = None if asked is None else NOW + asked
    end = None if left is None else NOW + left
    failed = failure(disposition=disposition, retry_at=retry_at)
    at = next_attempt(failed, failures, end, draw)
    assert at >= max(NOW, retry_at or NOW)
    assert at <= max(NOW + timedelta(days=1.1), (retry_at or NOW) + FIRST) + TICK


@given(st.integers(0, 10_000), st.one_of(st.none(), st.timedeltas()))
def test_polls_are_never_hurried_nor_forgotten(
    polls: int, asked: timedelta | None
) -> None:
    """Between a second and a day, whatever the CA asks."""
    assert MIN_POLL <= poll_delay(polls, asked) <= MAX_POLL
