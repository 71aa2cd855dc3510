"""The life of an account on a model, with faults and restarts anywhere.

Whatever happens to a roll-over: there is always something to do or a wait with a
reason, the CA and the record agree in the end on the one key that is in force, that key
is never destroyed, and no key stays that nothing knows.
"""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.jobs import account_changes
from agent.records.others import AccountRecord
from agent.records.slots import jobs
from tests.vectors.accounts import Fault, Life
from tests.vectors.records import NOW, account_context

CONTEXT = account_context(grace="30s")
WEIGHTED = st.one_of(st.just(Fault.NONE), st.sampled_from(list(Fault)))
REQUESTS = 4
"""Of a roll-over that nothing disturbs: change and probe, and two more to go back."""


def is_settled(record: AccountRecord) -> bool:
    """Tell whether an account is registered and nothing is under way or asked."""
    return bool(record.url) and not jobs(record) and record.roll_asked is None


def registered(faults: list[Fault]) -> Life:
    """Return a life with an account."""
    life = Life(CONTEXT, faults)
    life.go_on(is_settled)
    return life


def agree(life: Life) -> bool:
    """Tell whether token, record and CA know the same one key."""
    key = life.record.key
    return key is not None and life.token == {key.id} == {life.ca.holder}


@settings(max_examples=300)
@given(st.lists(WEIGHTED, max_size=10), st.lists(WEIGHTED, max_size=40))
def test_every_roll_over_ends_with_one_key_in_force(
    first: list[Fault], faults: list[Fault]
) -> None:
    """An operator asks once; whatever goes wrong, it comes to its end."""
    life = registered(first)
    assert agree(life)
    old, before = life.record.key, len(life.ca.asked)
    life.faults[:] = faults
    life.store(replace(life.record, roll_asked=life.now))
    life.go_on(is_settled)
    assert agree(life)
    assert life.record.key != old
    assert life.record.keys == ()
    assert len(life.ca.asked) - before <= REQUESTS * (1 + len(faults))


@given(st.lists(WEIGHTED, max_size=30))
def test_a_schedule_is_kept_whatever_happens(faults: list[Fault]) -> None:
    """A key is replaced when it is old enough, and the next one by its own age."""
    life = registered([])
    life.context = account_context(
        key=replace(CONTEXT.config.key, rotate="90d"), grace="30s"
    )
    life.faults[:] = faults
    first = life.record.key
    life.go_on(lambda record: record.key != first and is_settled(record))
    assert life.now >= NOW + timedelta(days=90)
    assert agree(life)
    second = life.record.key
    life.go_on(lambda record: record.key != second and is_settled(record))
    assert life.now >= NOW + timedelta(days=180)
    assert agree(life)


@given(st.lists(WEIGHTED, max_size=20), st.lists(WEIGHTED, max_size=30))
def test_an_account_is_given_up_for_good(
    first: list[Fault], faults: list[Fault]
) -> None:
    """In the middle of anything: closed at the CA, no key left, nothing more asked."""
    life = registered(first)
    life.store(replace(life.record, roll_asked=life.now))
    life.faults[:] = faults
    life.go_on(lambda record: record.roll is not None)
    life.store(account_changes.begin_deactivation(life.record, life.moment()))
    life.go_on(lambda record: bool(record.closed) and not jobs(record))
    assert life.ca.closed
    assert life.token == set()
    assert (life.record.key, life.record.keys) == (None, ())


def test_without_faults_nothing_is_asked_twice() -> None:
    """One request changes the key, one shows that it is in force."""
    life = registered([])
    life.store(replace(life.record, roll_asked=life.now))
    life.go_on(is_settled)
    assert life.ca.asked == ["register", "change-key", "probe-new-key"]
    assert life.record.key_count == 2


@given(st.lists(WEIGHTED, max_size=20))
def test_contacts_follow_the_configuration(faults: list[Fault]) -> None:
    """The last ones that were configured are those that the CA has."""
    life = registered([])
    life.faults[:] = faults
    for contact in (("mailto:a@example.org",), (), ("mailto:b@example.org",)):
        life.context = account_context(contact=contact, grace="30s")
        life.go_on(is_settled)
        assert life.ca.contact == life.record.contact == contact
