"""Whether a CA may be asked: its breaker, its limits, the rate of its orders."""

from datetime import timedelta

import pytest

from agent.records.authority import CaRecord
from agent.records.job import Disposition, Failure
from agent.renewal import breaker
from tests.vectors.records import DIRECTORY, NOW

CA = CaRecord(name="operator", directory=DIRECTORY)
MINUTE = timedelta(minutes=1)


def failure(
    kind: str = "transport",
    after: timedelta = timedelta(0),
    retry: timedelta | None = None,
    disposition: Disposition = Disposition.BACK_OFF,
) -> Failure:
    """Return a failure some time after `NOW`."""
    at = NOW + after
    return Failure(
        kind=kind,
        message="no answer",
        at=at,
        retry_at=None if retry is None else at + retry,
        disposition=disposition,
    )


def broken(times: int) -> CaRecord:
    """Return a CA that has failed so often in a row, at one instant."""
    record = CA
    for _ in range(times):
        record = breaker.failed(record, failure(), 0.5)
    return record


def test_the_breaker_opens_after_several_errors_in_a_row() -> None:
    """One answer in between begins the count anew, whatever the answer says."""
    almost = broken(breaker.OPEN_AFTER - 1)
    assert almost.open_until is None
    assert breaker.answered(almost, NOW).failures == 0
    opened = breaker.failed(almost, failure(), 0.5)
    assert opened.open_until == NOW + breaker.SHORTEST
    shown = breaker.standing(opened, "a", None)
    assert shown.down
    assert shown.shut(NOW)
    assert not shown.shut(NOW + breaker.SHORTEST)
    assert "no answer" in shown.shut_reason


def test_what_was_under_way_does_not_open_it_further() -> None:
    """Eight jobs that fail together are one failure of the CA."""
    opened = broken(breaker.OPEN_AFTER)
    assert breaker.failed(opened, failure(), 0.5) is opened


def test_each_probe_that_fails_doubles_the_pause_up_to_a_cap() -> None:
    """1, 2, 4 ... 30 minutes, spread by a tenth."""
    record, at, pauses = broken(breaker.OPEN_AFTER), timedelta(0), []
    for _ in range(7):
        assert record.open_until is not None
        at = record.open_until - NOW
        record = breaker.failed(record, failure(after=at), 0.5)
        assert record.open_until is not None
        pauses.append(record.open_until - NOW - at)
    assert pauses == [n * MINUTE for n in (2, 4, 8, 16, 30, 30, 30)]
    early = breaker.failed(broken(breaker.OPEN_AFTER - 1), failure(), 0.0)
    assert early.open_until == NOW + MINUTE * 0.9


def test_a_retry_after_opens_it_at_once() -> None:
    """And holds, also where something that was under way is answered meanwhile."""
    asked = breaker.failed(CA, failure(retry=timedelta(hours=2)), 0.5)
    assert asked.open_until == NOW + timedelta(hours=2)
    assert asked.asked
    assert not breaker.standing(asked, "a", None).down
    assert breaker.answered(asked, NOW + MINUTE) is asked
    assert breaker.answered(asked, NOW + timedelta(hours=2)) == CA


@pytest.mark.parametrize(
    ("kind", "disposition", "outage", "answer"),
    [
        ("transport", Disposition.BACK_OFF, True, False),
        ("acme:serverInternal", Disposition.WAIT_UNTIL, True, False),
        ("acme:about:blank", Disposition.BACK_OFF, True, False),
        ("acme:about:blank", Disposition.NEEDS_OPERATOR, False, True),
        ("acme.protocol", Disposition.BACK_OFF, True, False),
        ("acme:rejectedIdentifier", Disposition.NEEDS_OPERATOR, False, True),
        ("acme:rateLimited", Disposition.WAIT_UNTIL, False, True),
        ("pki.chain", Disposition.NEEDS_OPERATOR, False, True),
        ("acme.eab-key", Disposition.NEEDS_OPERATOR, False, False),
        ("token.absent", Disposition.WAIT_UNTIL, False, False),
        ("solver.bind", Disposition.BACK_OFF, False, False),
        ("transport.refused", Disposition.NEEDS_OPERATOR, False, False),
    ],
)
def test_an_error_is_told_from_a_refusal_and_from_our_own(
    kind: str, disposition: Disposition, *, outage: bool, answer: bool
) -> None:
    """Only what says that the CA does not work counts against it."""
    met = failure(kind, disposition=disposition)
    assert breaker.is_outage(met) is outage
    assert breaker.is_answer(met) is answer


def test_a_limit_is_one_accounts_until_the_ca_lets_it() -> None:
    """Another account of the same CA orders on; an order ends the limit."""
    met = failure("acme:rateLimited", retry=timedelta(hours=1))
    record = breaker.limited(CA, "a", met, 0.5)
    assert breaker.standing(record, "a", None).limited(NOW)
    assert breaker.standing(record, "a", None).limited_reason == "no answer"
    assert not breaker.standing(record, "b", None).limited(NOW)
    assert list(breaker.current_limits(record, NOW)) == ["a"]
    assert not breaker.current_limits(record, NOW + timedelta(hours=1))
    assert breaker.ordered(record, "a") == CA
    assert breaker.ordered(record, "b") is record


def test_a_limit_that_is_met_again_is_only_ever_longer() -> None:
    """Jobs that were under way meet the same limit: it neither shrinks nor counts."""
    record = breaker.limited(
        CA, "a", failure("acme:rateLimited", retry=timedelta(hours=1)), 0.5
    )
    shorter = failure("acme:rateLimited", retry=MINUTE)
    longer = failure("acme:rateLimited", retry=timedelta(hours=2))
    assert breaker.limited(record, "a", shorter, 0.5) is record
    limit = breaker.limited(record, "a", longer, 0.5).limits["a"]
    assert (limit.until, limit.count) == (NOW + timedelta(hours=2), 1)


def test_a_limit_without_a_retry_after_backs_the_whole_account_off() -> None:
    """1 minute, then 10, then doubled: a SHOULD that is missing is no invitation."""
    record, spans = CA, []
    at = timedelta(0)
    for _ in range(3):
        record = breaker.limited(
            record, "a", failure("acme:rateLimited", after=at), 0.5
        )
        spans.append(record.limits["a"].until - NOW - at)
        at = record.limits["a"].until - NOW
    assert spans == [MINUTE, 10 * MINUTE, 20 * MINUTE]


def test_orders_keep_their_rate() -> None:
    """Of 60 an hour three go at once, then one a minute; a spared one comes back."""
    record, rate = CA, 60
    assert breaker.burst(rate) == 3
    for _ in range(3):
        at = breaker.standing(record, "a", rate).order_at
        assert at is None or at <= NOW
        record = breaker.order_taken(record, rate, NOW)
    assert breaker.standing(record, "a", rate).order_at == NOW + MINUTE
    spared = breaker.order_spared(record, rate)
    assert breaker.standing(spared, "a", rate).order_at == NOW
    assert breaker.standing(record, "a", None).order_at is None
    # Nothing is saved up over a pause.
    later = NOW + timedelta(days=1)
    assert breaker.order_taken(record, rate, later).orders_at == later + MINUTE
    assert breaker.order_spared(CA, rate) is CA


def test_another_directory_is_another_ca() -> None:
    """What is remembered of the old one says nothing of the new."""
    assert breaker.of_directory(broken(3), "https://new.example/dir").failures == 0
    assert breaker.of_directory(broken(3), DIRECTORY).failures == 3
