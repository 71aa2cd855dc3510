"""An account: its key first, then the account, and both found again by the key."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.jobs import register
from agent.jobs.envelope import QUARANTINE_AFTER, begun, interrupted
from agent.jobs.lifecycle import found_running, is_suspect
from agent.jobs.register import begin, fold, next_step
from agent.jobs.step import Do, Failed, Wait
from agent.records.keys import KeyState
from agent.records.others import AccountRecord
from agent.records.phases import AccountKeyChosen, AccountKeyMade
from agent.records.slots import Slot
from tests.vectors.records import DIRECTORY, NOW, failure, key, moment

CHOSEN, MADE = key(9, KeyState.CHOSEN), key(9)
NEW = AccountRecord(name="operator", directory=DIRECTORY)
URL = "https://ca.example/account/1"
SLOT = Slot("register")


def test_an_account_is_made_in_two_steps() -> None:
    """A key with an id that is durable, and newAccount; then no job is left."""
    record = begin(NEW, CHOSEN, moment())
    assert record.key_count == 1
    assert next_step(record, NOW) == Do(register.MakeAccountKey(CHOSEN))
    record = fold(record, register.AccountKeyExists(b"spki", "serial"), moment())
    assert record.key is not None
    assert (record.key.state, record.key.token_serial) == (KeyState.MADE, "serial")
    assert next_step(record, NOW) == Do(register.Register(record.key))
    record = fold(record, register.Registered(URL, "https://x/orders"), moment())
    assert (record.url, record.orders) == (URL, "https://x/orders")
    assert record.register is None


@pytest.mark.parametrize("record", [NEW, replace(NEW, register=None, key=MADE)])
def test_without_a_job_there_is_nothing_to_do(record: AccountRecord) -> None:
    """Nor is anything folded into it."""
    wait = Wait(until=None, reason="nothing to register")
    assert next_step(record, NOW) == wait
    assert fold(record, register.Registered(URL, ""), moment()) == record


def test_a_job_without_a_key_waits() -> None:
    """No record of ours has one; it is not made up."""
    record = replace(begin(NEW, CHOSEN, moment()), key=None)
    assert isinstance(next_step(record, NOW), Wait)
    assert fold(record, register.Registered(URL, ""), moment()) == record


@pytest.mark.parametrize(
    ("held", "phase"),
    [(MADE, AccountKeyMade()), (CHOSEN, AccountKeyChosen())],
    ids=["made", "chosen"],
)
def test_a_known_key_registers_again(
    held: object, phase: AccountKeyMade | AccountKeyChosen
) -> None:
    """Its account is found by it, and no further key is numbered."""
    known = replace(NEW, key=held, key_count=1)
    record = begin(known, None, moment())
    assert record.register is not None
    assert record.register.phase == phase
    assert (record.key, record.key_count) == (held, 1)


def test_a_failure_is_waited_for() -> None:
    """With its message, or the CA's wish."""
    record = fold(begin(NEW, CHOSEN, moment()), Failed(failure()), moment())
    at = NOW + timedelta(minutes=1)
    assert next_step(record, NOW) == Wait(until=at, reason="transport went wrong")
    assert isinstance(next_step(record, at), Do)
    assert record.register is not None
    quiet = replace(record, register=replace(record.register, failure=None))
    wait = Wait(until=at, reason="the ca asked for patience")
    assert next_step(quiet, NOW) == wait


@pytest.mark.parametrize(("lost", "waits"), [(0, False), (1, False), (2, True)])
def test_an_account_is_lost_once(lost: int, waits: bool) -> None:
    """Registered anew at once; a CA that loses it again is the operator's."""
    known = replace(NEW, key=MADE, key_count=1, lost=lost)
    record = begin(known, None, moment())
    assert isinstance(next_step(record, NOW), Wait) is waits
    assert record.register is not None
    if waits:
        assert record.register.failure is not None
        assert record.register.failure.kind == "acme:accountDoesNotExist"


def test_three_crashes_are_quarantine() -> None:
    """An account must not take the other accounts down with it."""
    record = begin(NEW, CHOSEN, moment())
    for _ in range(QUARANTINE_AFTER):
        assert isinstance(next_step(record, NOW), Do)
        assert record.register is not None
        record = replace(record, register=begun(record.register, "register"))
        record = found_running(record)
        assert is_suspect(record, SLOT)
    reason = "quarantined: the process crashed in this job"
    assert next_step(record, NOW) == Wait(until=None, reason=reason)


def test_a_shutdown_is_no_crash() -> None:
    """Nor is there one without a job."""
    record = begin(NEW, CHOSEN, moment())
    assert record.register is not None
    stopped = replace(record, register=interrupted(begun(record.register, "register")))
    assert found_running(stopped) == stopped
    assert found_running(NEW) == NEW
    assert not is_suspect(stopped, SLOT)
    assert not is_suspect(NEW, SLOT)
