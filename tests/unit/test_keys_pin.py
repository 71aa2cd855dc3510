"""The rules that make a wrong PIN cost one attempt, ever."""

import pytest

from agent.keys import pin
from agent.keys.pin import Outcome, PinFlags, Verdict
from agent.records.keys import PinRecord, PinStatus
from tests.fakes.clock import START

NONE = PinFlags()
LOW = PinFlags(count_low=True)
FINAL = PinFlags(final_try=True)
LOCKED = PinFlags(locked=True)


def known(status: PinStatus, crashed: int = 0) -> PinRecord:
    """Return a record about the PIN at hand."""
    return PinRecord(
        status=status, salt=b"s" * 16, fingerprint=b"f", crashed_attempts=crashed
    )


@pytest.mark.parametrize(
    ("status", "crashed", "flags", "same", "verdict"),
    [
        (PinStatus.UNTRIED, 0, NONE, False, Verdict.TRY),
        (PinStatus.UNTRIED, 0, LOW, False, Verdict.TRY),
        (PinStatus.UNTRIED, 0, LOCKED, False, Verdict.LOCKED),
        (PinStatus.ACCEPTED, 0, NONE, True, Verdict.TRY),
        (PinStatus.ACCEPTED, 0, LOW, True, Verdict.TRY),
        (PinStatus.ACCEPTED, 0, LOCKED, True, Verdict.LOCKED),
        (PinStatus.REFUSED, 0, NONE, True, Verdict.REFUSED),
        (PinStatus.REFUSED, 1, NONE, False, Verdict.TRY),
        (PinStatus.ATTEMPTING, 0, NONE, True, Verdict.TRY),
        (PinStatus.ATTEMPTING, 1, NONE, True, Verdict.REFUSED),
        (PinStatus.ATTEMPTING, 1, NONE, False, Verdict.TRY),
        (PinStatus.ATTEMPTING, 0, LOW, True, Verdict.REFUSED),
        (PinStatus.ATTEMPTING, 0, FINAL, True, Verdict.REFUSED),
        (PinStatus.ATTEMPTING, 0, LOCKED, True, Verdict.LOCKED),
        (PinStatus.LOCKED, 0, NONE, True, Verdict.TRY),
        (PinStatus.LOCKED, 1, NONE, True, Verdict.LOCKED),
        (PinStatus.LOCKED, 0, LOW, True, Verdict.LOCKED),
        (PinStatus.LOCKED, 1, NONE, False, Verdict.TRY),
    ],
)
def test_what_may_be_tried(
    status: PinStatus, crashed: int, flags: PinFlags, same: bool, verdict: Verdict
) -> None:
    """One table of status, extra tries, the token's flags, and a new PIN."""
    assert pin.judge(known(status, crashed), flags, same=same) is verdict


@pytest.mark.parametrize(
    ("before", "outcome", "after", "crashed"),
    [
        (PinStatus.UNTRIED, Outcome.ACCEPTED, PinStatus.ACCEPTED, 0),
        (PinStatus.ATTEMPTING, Outcome.ACCEPTED, PinStatus.ACCEPTED, 0),
        (PinStatus.ACCEPTED, Outcome.REFUSED, PinStatus.REFUSED, 0),
        (PinStatus.ATTEMPTING, Outcome.REFUSED, PinStatus.REFUSED, 1),
        (PinStatus.LOCKED, Outcome.LOCKED, PinStatus.LOCKED, 1),
        (PinStatus.UNTRIED, Outcome.UNCOMPARED, PinStatus.UNTRIED, 0),
        (PinStatus.ATTEMPTING, Outcome.UNCOMPARED, PinStatus.ATTEMPTING, 0),
        (PinStatus.UNTRIED, Outcome.UNKNOWN, PinStatus.ATTEMPTING, 0),
        (PinStatus.ATTEMPTING, Outcome.UNKNOWN, PinStatus.ATTEMPTING, 1),
        (PinStatus.ACCEPTED, Outcome.UNKNOWN, PinStatus.ACCEPTED, 0),
    ],
)
def test_what_an_attempt_leaves(
    before: PinStatus, outcome: Outcome, after: PinStatus, crashed: int
) -> None:
    """An unknown outcome uses up the extra try; an accepted one returns it."""
    start = known(before)
    attempted = pin.attempt(start, START)
    assert attempted.status is PinStatus.ATTEMPTING
    record = pin.settle(start, attempted, outcome, START)
    assert (record.status, record.crashed_attempts) == (after, crashed)


def test_two_interrupted_attempts_are_the_end() -> None:
    """However often the process dies in C_Login, a PIN is given at most twice."""
    record = known(PinStatus.UNTRIED)
    tries = 0
    while pin.judge(record, NONE, same=True) is Verdict.TRY:
        record = pin.attempt(record, START)
        tries += 1
    assert tries == 2


def test_the_fingerprint_tells_a_changed_pin() -> None:
    """The record recognises its PIN and no other, and holds nothing of it."""
    salt = b"0123456789abcdef"
    record = PinRecord(salt=salt, fingerprint=pin.fingerprint(b"1234", salt))
    assert pin.is_known(record, b"1234")
    assert not pin.is_known(record, b"1235")
    assert not pin.is_known(PinRecord(), b"1234")
    assert b"1234" not in record.fingerprint
