"""A roll-over step by step: what it waits for, and what every answer leads to."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.jobs import account_changes, retire, roll
from agent.jobs.account import fold, is_bound, next_step, waits_for_person, why_unusable
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition
from agent.records.keys import KeyState
from agent.records.others import AccountRecord, RollJob
from agent.records.phases import (
    Finalizing,
    KeyChosen,
    KeyMade,
    NewKeyChosen,
    NewKeyMade,
    Probing,
    RollGate,
    RollPhase,
)
from agent.records.slots import Slot
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    NOW,
    ORDER,
    account_context,
    answering,
    authorization,
    failure,
    issue_job,
    key,
    moment,
)

SLOT = Slot("roll")
CONTEXT = account_context()
OLD, NEW = key(99), key(100)
CHOSEN = replace(NEW, state=KeyState.CHOSEN, public=b"")
REFUSAL = failure("acme.key-change-refused", Disposition.NEEDS_OPERATOR)
ELSEWHERE = "https://ca.example/account/2"


def rolling(phase: RollPhase, **envelope: Any) -> AccountRecord:
    """Return the account with a roll-over that has come so far."""
    job = RollJob(id="r", phase=phase, reason="old", created=NOW, **envelope)
    spare = CHOSEN if isinstance(phase, NewKeyChosen) else NEW
    keys = () if isinstance(phase, RollGate) else (spare,)
    return replace(ACCOUNT, keys=keys, key_count=100, roll=job)


def after(record: AccountRecord, outcome: Any) -> AccountRecord:
    """Return the account after the next effect came to this outcome."""
    step = next_step(record, SLOT, CONTEXT, NOW)
    assert isinstance(step, Do)
    return fold(record, SLOT, step.effect, outcome, CONTEXT, moment())


def phase(record: AccountRecord) -> RollPhase:
    """Return how far the roll-over has come."""
    assert record.roll is not None
    return record.roll.phase


MADE = NewKeyMade(key=NEW.id)
STEPS: list[tuple[AccountRecord, roll.Effect]] = [
    (rolling(RollGate()), roll.FindKeyChange()),
    (rolling(NewKeyChosen(key=NEW.id)), roll.MakeNewKey(CHOSEN)),
    (rolling(MADE), roll.ChangeKey(NEW)),
    (rolling(MADE, intent="change-key"), roll.ProbeNewKey(NEW)),
    (rolling(MADE, intent="probe-new-key"), roll.ProbeNewKey(NEW)),
    (rolling(Probing(key=NEW.id)), roll.ProbeNewKey(NEW)),
    (rolling(Probing(key=NEW.id, unknown=True)), roll.ProbeOldKey(OLD)),
]


@pytest.mark.parametrize(("record", "effect"), STEPS)
def test_every_phase_has_one_effect(record: AccountRecord, effect: roll.Effect) -> None:
    """A change whose answer was lost is followed by a probe, never by a change."""
    assert next_step(record, SLOT, CONTEXT, NOW) == Do(effect)


def test_a_roll_over_goes_through_its_phases() -> None:
    """The new key is durable before it is made, in force before the old one goes."""
    record = after(rolling(RollGate()), roll.KeyChangeOffered())
    (chosen,) = record.keys
    assert (chosen.state, chosen.number) == (KeyState.CHOSEN, 101)
    assert phase(record) == NewKeyChosen(key=chosen.id)
    record = after(record, roll.NewKeyExists(b"new", "serial"))
    (made,) = record.keys
    assert (made.state, made.public, made.token_serial) == (
        KeyState.MADE,
        b"new",
        "serial",
    )
    record = after(record, roll.KeyChanged())
    assert record.key == OLD
    record = after(record, roll.Probed(ACCOUNT.url))
    assert (record.key, record.roll) == (made, None)
    (gone,) = record.keys
    assert (gone.id, gone.state, gone.condemned_at) == (
        OLD.id,
        KeyState.CONDEMNED,
        NOW,
    )
    assert set(record.retire) == {OLD.id}


def test_an_adopted_key_is_let_go_and_not_destroyed() -> None:
    """Whoever made it may need it."""
    record = replace(rolling(Probing(key=NEW.id)), key=replace(OLD, adopted=True))
    record = after(record, roll.Probed(ACCOUNT.url))
    assert (record.key, record.keys, record.retire) == (NEW, (), {})


def test_a_change_waits_for_what_is_bound_to_the_old_key() -> None:
    """An open challenge, and an update that is under way."""
    busy = account_context(busy="web")
    step = next_step(rolling(MADE), SLOT, busy, NOW)
    assert isinstance(step, Wait)
    assert step.reason == "waits for the order of web, which is bound to the old key"
    updating = account_changes.begin_update(rolling(MADE), (), moment())
    assert updating.update is not None
    running = replace(updating, update=replace(updating.update, running=True))
    assert isinstance(next_step(running, SLOT, CONTEXT, NOW), Wait)
    assert isinstance(next_step(updating, SLOT, CONTEXT, NOW), Do)
    asked = replace(updating, roll=rolling(Probing(key=NEW.id)).roll)
    assert isinstance(next_step(asked, Slot("update"), CONTEXT, NOW), Wait)


@pytest.mark.parametrize(
    ("kind", "disposition", "next_phase", "waits"),
    [
        ("token.absent", Disposition.WAIT_UNTIL, MADE, True),
        ("acme:rateLimited", Disposition.WAIT_UNTIL, MADE, True),
        ("acme:badNonce", Disposition.BACK_OFF, MADE, True),
        ("transport", Disposition.BACK_OFF, None, True),
        ("acme.protocol", Disposition.BACK_OFF, None, True),
        ("acme:serverInternal", Disposition.BACK_OFF, None, True),
        ("acme:malformed", Disposition.NEEDS_OPERATOR, None, False),
        ("acme.key-change-refused", Disposition.NEEDS_OPERATOR, None, False),
    ],
)
def test_a_failed_change_is_probed_unless_nothing_was_sent(
    kind: str, disposition: Disposition, next_phase: RollPhase | None, waits: bool
) -> None:
    """Also a refusal: something in between may have answered for a CA that did it."""
    failed = failure(kind, disposition)
    record = after(rolling(MADE), Failed(failed))
    assert phase(record) == (next_phase or Probing(key=NEW.id, answer=failed))
    assert record.roll is not None
    assert (record.roll.not_before is not None) is waits
    assert record.roll.intent == ""


def test_a_refused_change_leaves_the_old_key_and_destroys_the_new_one() -> None:
    """The alarm stands with the job, which tries again in a day with another key."""
    probing = rolling(Probing(key=NEW.id, answer=REFUSAL))
    record = after(after(probing, roll.Probed("")), roll.Probed(ACCOUNT.url))
    assert (record.key, set(record.retire)) == (OLD, {NEW.id})
    assert record.roll is not None
    assert (record.roll.phase, record.roll.failure) == (RollGate(), REFUSAL)
    assert record.roll.not_before is not None
    assert record.roll.not_before >= NOW + 0.9 * DAY


def test_a_change_that_was_lost_is_asked_for_again_with_the_same_key() -> None:
    """The CA has not heard of it."""
    lost = failure("transport")
    probing = rolling(Probing(key=NEW.id, answer=lost), failures=1)
    record = after(after(probing, roll.Probed("")), roll.Probed(ACCOUNT.url))
    assert (phase(record), record.keys, record.retire) == (MADE, (NEW,), {})
    assert next_step(record, SLOT, CONTEXT, NOW) == Do(roll.ChangeKey(NEW))


@pytest.mark.parametrize("url", ["", ELSEWHERE])
def test_a_ca_that_lies_about_a_change_refuses_it(url: str) -> None:
    """It said 200 and knows the new key not at all, or for somebody else's."""
    record = after(rolling(Probing(key=NEW.id)), roll.Probed(url))
    record = after(record, roll.Probed(ACCOUNT.url))
    assert (record.key, set(record.retire)) == (OLD, {NEW.id})
    assert record.roll is not None
    assert record.roll.failure is not None
    assert record.roll.failure.kind == "acme.key-change-refused"


def test_an_account_that_neither_key_has_is_lost() -> None:
    """It is registered anew with the old key; the new one goes."""
    record = after(rolling(Probing(key=NEW.id)), roll.Probed(""))
    record = after(record, roll.Probed(""))
    assert (record.url, record.lost, record.roll, record.key) == ("", 1, None, OLD)
    assert set(record.retire) == {NEW.id}


def test_a_probe_that_fails_after_a_crash_is_not_forgotten() -> None:
    """That the CA was asked outlives the intent."""
    crashed = rolling(MADE, intent="change-key")
    record = after(crashed, Failed(failure("acme:unauthorized")))
    probing = phase(record)
    assert isinstance(probing, Probing)
    assert probing.answer is not None
    assert probing.answer.disposition is Disposition.BACK_OFF
    later = NOW + timedelta(days=2)
    assert next_step(record, SLOT, CONTEXT, later) == Do(roll.ProbeNewKey(NEW))


UNUSABLE: list[tuple[AccountRecord, str]] = [
    (ACCOUNT, ""),
    (rolling(RollGate()), ""),
    (rolling(MADE), ""),
    (rolling(MADE, intent="change-key"), "the key of the account"),
    (rolling(Probing(key=NEW.id)), "the key of the account"),
    (replace(ACCOUNT, url=""), "not registered yet"),
    (replace(ACCOUNT, closed="deactivated"), "deactivated for good"),
    (account_changes.begin_deactivation(ACCOUNT, moment()), "being deactivated"),
]


@pytest.mark.parametrize(("record", "reason"), UNUSABLE)
def test_certificates_are_told_why_they_wait(
    record: AccountRecord, reason: str
) -> None:
    """Between the change and its proof, and where the account is none."""
    found = why_unusable(record)
    assert bool(found) == bool(reason)
    assert reason in found


BOUND: list[tuple[Any, dict[str, Any], bool]] = [
    (KeyChosen(key="k"), {"running": True, "intent": "make-key"}, False),
    (KeyMade(key="k"), {}, False),
    (KeyMade(key="k"), {"running": True, "intent": "create-order"}, True),
    (answering(authorization()), {}, False),
    (answering(authorization(answered=True)), {}, True),
    (answering(authorization(answered=True, valid=True)), {}, False),
    (answering(authorization()), {"intent": "answer"}, True),
    (Finalizing(key="k", order=ORDER), {}, False),
]


@pytest.mark.parametrize(("reached", "envelope", "bound"), BOUND)
def test_what_is_bound_to_the_account_key(
    reached: Any, envelope: dict[str, Any], bound: bool
) -> None:
    """From the answer to a challenge to its validation, and any request under way."""
    job = issue_job(reached, **envelope)
    assert is_bound(CertificateRecord(name="web", issue=job)) is bound
    assert not is_bound(CertificateRecord(name="web"))


def test_orders_wait_an_hour_for_a_person() -> None:
    """One of them tries again then."""
    blocked = replace(ACCOUNT, blocked=failure("acme:userActionRequired"))
    wait = waits_for_person(blocked, NOW)
    assert wait is not None
    assert wait.until == NOW + timedelta(hours=1)
    assert waits_for_person(blocked, NOW + timedelta(hours=1)) is None
    assert waits_for_person(ACCOUNT, NOW) is None


def test_a_key_on_its_way_out_is_destroyed_after_its_grace() -> None:
    """And forgotten with it; a token may leave that to its administration."""
    record = roll.condemned(ACCOUNT, NEW, moment())
    slot = Slot("retire", NEW.id)
    wait = next_step(record, slot, CONTEXT, NOW)
    assert isinstance(wait, Wait)
    assert wait.until == NOW + DAY
    never = account_context(never_destroy=frozenset({"hsm"}))
    assert isinstance(next_step(record, slot, never, NOW + DAY), Wait)
    effect = retire.DestroyKey(NEW.id)
    assert next_step(record, slot, CONTEXT, NOW + DAY) == Do(effect)
    failed = Failed(failure("token.absent", Disposition.WAIT_UNTIL))
    waiting = fold(record, slot, effect, failed, CONTEXT, moment())
    assert waiting.retire[NEW.id].failure is not None
    done = fold(record, slot, effect, Performed(), CONTEXT, moment())
    assert (done.keys, done.retire) == ((), {})


def test_a_job_that_is_not_there_waits() -> None:
    """Nor is anything folded into it."""
    assert isinstance(next_step(ACCOUNT, SLOT, CONTEXT, NOW), Wait)
    effect = roll.FindKeyChange()
    outcome = roll.KeyChangeOffered()
    assert fold(ACCOUNT, SLOT, effect, outcome, CONTEXT, moment()) == ACCOUNT
