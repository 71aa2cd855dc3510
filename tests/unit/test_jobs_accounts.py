"""Which jobs an account should have: configuration against record."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from agent.config.authorities import Eab
from agent.config.tokens import AccountKey
from agent.jobs import account_changes, register
from agent.jobs.accounts import next_account_change, reconcile_account
from agent.jobs.context import AccountContext
from agent.jobs.step import Failed
from agent.records.keys import KeyState
from agent.records.others import AccountRecord, RollJob
from agent.records.phases import NewKeyMade, Probing, RollGate, RollPhase
from agent.records.slots import jobs
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    DIRECTORY,
    NOW,
    account_context,
    failure,
    key,
    moment,
)

CONTEXT = account_context()
NEW = AccountRecord(name="operator", directory=DIRECTORY)
SPARE = key(100)
CONTACT = ("mailto:pki@operator.example",)


def seen(record: AccountRecord, context: AccountContext = CONTEXT) -> AccountRecord:
    """Return the account after it was held against its configuration, twice."""
    once = reconcile_account(record, context, moment())
    again = reconcile_account(once, context, moment(token="cd" * 16))
    assert again == once
    return once


def slots(record: AccountRecord) -> list[str]:
    """Return the kinds of the account's jobs."""
    return [slot.kind for slot in jobs(record)]


def with_key(**settings: Any) -> AccountContext:
    """Return the context of an account with another key table."""
    return account_context(key=AccountKey(**({"token": "hsm"} | settings)))


def rolling(phase: RollPhase, **envelope: Any) -> AccountRecord:
    """Return the account with a roll-over under way."""
    job = RollJob(id="r", phase=phase, reason="old", created=NOW, **envelope)
    keys = () if isinstance(phase, RollGate) else (SPARE,)
    return replace(ACCOUNT, keys=keys, key_count=100, roll=job)


def test_an_account_that_is_as_configured_has_nothing_to_do() -> None:
    """Nor does its record change."""
    assert seen(ACCOUNT) == ACCOUNT


@pytest.mark.parametrize(
    ("record", "context", "reason"),
    [
        (ACCOUNT, with_key(token="other"), "the configuration changed its key"),
        (ACCOUNT, with_key(type="rsa-2048"), "the configuration changed its key"),
        (ACCOUNT, with_key(rotate="30d"), "its key is old enough"),
        (replace(ACCOUNT, roll_asked=NOW), CONTEXT, "an operator asked for it"),
    ],
    ids=["token", "type", "age", "asked"],
)
def test_a_key_is_rolled_for_a_reason(
    record: AccountRecord, context: AccountContext, reason: str
) -> None:
    """The reason is in the job, for `plan` and the log; the key stays until then."""
    record = seen(record, context)
    assert record.roll is not None
    assert (record.roll.reason, record.roll.phase) == (reason, RollGate())
    assert record.key == ACCOUNT.key


@pytest.mark.parametrize("rotate", ["31d", "never"])
def test_a_key_that_is_young_enough_stays(rotate: str) -> None:
    """And the instant at which it no longer is, is known."""
    context = with_key(rotate=rotate)
    assert seen(ACCOUNT, context) == ACCOUNT
    due = next_account_change(ACCOUNT, context.config)
    assert due == (NOW + DAY if rotate == "31d" else None)


def test_a_roll_over_that_nobody_wants_any_more_is_given_up() -> None:
    """Its key goes the way of all keys, unless the CA has heard of it."""
    for phase, gone in ((RollGate(), set()), (NewKeyMade(key=SPARE.id), {SPARE.id})):
        record = seen(rolling(phase))
        assert (record.roll, set(record.retire)) == (None, gone)
    for asked in (
        rolling(NewKeyMade(key=SPARE.id), intent="change-key"),
        rolling(Probing(key=SPARE.id)),
    ):
        assert seen(asked) == asked


def test_a_table_that_changes_again_begins_with_another_key() -> None:
    """The key that was made for the table before goes."""
    begun = rolling(NewKeyMade(key=SPARE.id))
    record = seen(begun, with_key(type="ec-p384"))
    assert record.roll is not None
    assert (record.roll.phase, set(record.retire)) == (RollGate(), {SPARE.id})


def test_contacts_that_differ_are_told() -> None:
    """Once; a change of mind replaces the job, or ends it."""
    context = account_context(contact=CONTACT)
    record = seen(ACCOUNT, context)
    assert record.update is not None
    assert record.update.phase.contact == CONTACT
    other = seen(record, account_context(contact=("mailto:b@example.org",)))
    assert other.update is not None
    assert other.update.phase.contact == ("mailto:b@example.org",)
    assert seen(record).update is None
    assert seen(replace(ACCOUNT, contact=CONTACT), context).update is None


def test_an_account_that_is_closed_has_no_jobs() -> None:
    """Whatever the configuration says."""
    closed = replace(ACCOUNT, key=None, closed="deactivated")
    context = account_context(contact=CONTACT, key=AccountKey(file=True))
    assert seen(closed, context) == closed
    assert next_account_change(closed, with_key(rotate="1d").config) is None


def test_while_it_is_given_up_nothing_else_is_begun() -> None:
    """A roll-over that the CA has not heard of ends."""
    giving_up = account_changes.begin_deactivation(
        rolling(NewKeyMade(key=SPARE.id)), moment()
    )
    context = account_context(contact=CONTACT)
    assert slots(seen(giving_up, context)) == ["deactivate", "retire"]


def test_at_another_ca_it_is_another_account_with_another_key() -> None:
    """The old key stays known, and nothing of it is destroyed."""
    moved = dataclasses.replace(CONTEXT, directory="https://other.example/directory")
    record = seen(replace(ACCOUNT, key_count=99), moved)
    assert (record.url, slots(record)) == ("", ["register"])
    assert record.keys == (ACCOUNT.key,)
    assert record.key is not None
    assert record.key.number == 100


def test_a_key_that_was_never_made_follows_its_table() -> None:
    """The one that was chosen before may exist after a crash, and is destroyed."""
    record = seen(NEW)
    first = record.key
    assert first is not None
    record = seen(record, with_key(token="other"))
    assert record.key is not None
    assert record.key.store == "other"
    assert set(record.retire) == {first.id}
    assert [k.state for k in record.keys] == [KeyState.CONDEMNED]


def bound(kid: str) -> AccountContext:
    """Return the context of an account with a binding."""
    return account_context(eab=Eab(kid=kid, key="file:/unread"))


def test_a_binding_that_was_used_is_not_used_for_another_account() -> None:
    """At once the operator's; a new one begins the registration again."""
    lost = replace(ACCOUNT, url="", lost=1, eab_used=("nf-1",))
    record = seen(lost, bound("nf-1"))
    assert record.register is not None
    assert record.register.failure is not None
    assert record.register.failure.kind == register.EAB_USED
    assert record.register.not_before is not None
    record = seen(record, bound("nf-2"))
    assert record.register is not None
    assert (record.register.failure, record.register.not_before) == (None, None)
    done = register.Registered("https://ca.example/account/3", "", (), "nf-2")
    record = register.fold(record, done, moment())
    assert record.eab_used == ("nf-1", "nf-2")


def test_what_a_person_has_changed_is_tried_at_once() -> None:
    """A refused registration does not wait a day for a binding or an agreement."""
    record = seen(NEW)
    record = register.fold(record, Failed(failure("acme:userActionRequired")), moment())
    assert seen(record) == record
    agreed = seen(record, account_context(terms_agreed=True))
    assert agreed.register is not None
    assert agreed.register.not_before is None
    assert agreed.key == record.key
