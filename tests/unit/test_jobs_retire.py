"""A key is destroyed once nothing refers to it and its grace is over, if at all."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.jobs import retire
from agent.jobs.certificate import fold, next_step
from agent.jobs.reconcile import reconcile
from agent.jobs.references import needed_keys, needed_publications
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.keys import KeyState
from agent.records.phases import KeyMade, Stage
from agent.records.slots import Slot
from tests.vectors.records import (
    DAY,
    NOW,
    TOLD_AND_WATCHED,
    certificate_table,
    context,
    deploy_job,
    enrolled,
    failure,
    issue_job,
    key,
    key_id,
    moment,
)

OLD = Slot("retire", key_id(1))
CONTEXT = context()


def condemned() -> CertificateRecord:
    """Return a certificate that was renewed and proven: its first key is free."""
    return reconcile(enrolled(2), CONTEXT, moment())


def test_a_free_key_waits_for_its_grace() -> None:
    """Then it is destroyed, and the publications that used it go."""
    record = condemned()
    assert record.key(key_id(1)).state is KeyState.CONDEMNED
    step = next_step(record, OLD, CONTEXT, NOW)
    assert step == Wait(until=NOW + DAY, reason="the key's grace")
    step = next_step(record, OLD, CONTEXT, NOW + DAY)
    assert step == Do(retire.DestroyKey(key_id(1)))
    effect: retire.Effect = retire.DestroyKey(key_id(1))
    record = fold(record, OLD, effect, Performed(), CONTEXT, moment(NOW + DAY))
    assert record.key(key_id(1)).state is KeyState.DESTROYED
    assert [p.number for p in record.publications] == [2]
    assert reconcile(record, CONTEXT, moment(NOW + DAY)) == record
    effect = retire.PruneAfter()
    assert next_step(record, OLD, CONTEXT, NOW + DAY) == Do(effect)
    record = fold(record, OLD, effect, Performed(), CONTEXT, moment(NOW + DAY))
    assert record.retire == {}
    assert [k.id for k in record.keys] == [key_id(2)]


def test_a_failure_to_destroy_is_tried_again() -> None:
    """The reason of the wait is the failure's; the key stays condemned."""
    record = condemned()
    failed = Failed(failure("token"))
    effect = retire.DestroyKey(key_id(1))
    record = fold(record, OLD, effect, failed, CONTEXT, moment(NOW + DAY))
    later = NOW + DAY
    assert record.key(key_id(1)).state is KeyState.CONDEMNED
    step = next_step(record, OLD, CONTEXT, NOW)
    assert isinstance(step, Wait)
    assert step.reason == "token went wrong"
    assert isinstance(next_step(record, OLD, CONTEXT, later), Do)


def test_a_failure_to_prune_keeps_the_job() -> None:
    """The key is gone; its directories go with the next attempt."""
    record = condemned()
    destroyed = replace(record.key(key_id(1)), state=KeyState.DESTROYED)
    record = replace(record, keys=(destroyed, record.keys[1]))
    failed = Failed(failure("publication"))
    after = fold(record, OLD, retire.PruneAfter(), failed, CONTEXT, moment())
    assert OLD.name in after.retire


def test_an_outcome_of_another_kind_is_a_bug() -> None:
    """It is said at once, and not written down."""
    with pytest.raises(TypeError, match="retire cannot have"):
        fold(
            condemned(),
            OLD,
            retire.PruneAfter(),
            fold,  # type: ignore[arg-type]  # what no procedure returns
            CONTEXT,
            moment(),
        )


def test_destruction_may_be_left_to_the_hsm() -> None:
    """`destroy = "never"`: it waits for ever; a file is not the HSM's."""
    never = context(never_destroy=True)
    step = next_step(condemned(), OLD, never, NOW + 400 * DAY)
    reason = "destroying keys is left to the hsm's operator"
    assert step == Wait(until=None, reason=reason)
    record = enrolled(2)
    in_file = replace(record.keys[0], store="file")
    record = replace(record, keys=(in_file, record.keys[1]))
    record = reconcile(record, never, moment())
    assert isinstance(next_step(record, OLD, never, NOW + DAY), Do)


def test_a_key_that_is_needed_again_is_pardoned() -> None:
    """Unless it is being destroyed at this moment."""
    record = condemned()
    again = {"": replace(record.endpoints[""], live=1)}
    needed = reconcile(replace(record, endpoints=again), CONTEXT, moment())
    assert needed.retire == {}
    assert needed.key(key_id(1)) == enrolled(2).key(key_id(1))
    running = {key_id(1): replace(record.retire[key_id(1)], running=True)}
    going = replace(record, endpoints=again, retire=running)
    assert reconcile(going, CONTEXT, moment()).retire == running


def test_a_key_that_was_never_made_is_pardoned_as_such() -> None:
    """It does not become one that exists."""
    chosen = key(3, KeyState.CHOSEN)
    record = replace(enrolled(2), keys=(*enrolled(2).keys, chosen), key_count=3)
    record = reconcile(record, CONTEXT, moment())
    assert record.key(chosen.id).state is KeyState.CONDEMNED
    job = issue_job(KeyMade(key=chosen.id))
    record = reconcile(replace(record, issue=job), CONTEXT, moment())
    assert record.key(chosen.id).state is KeyState.CHOSEN


def test_an_adopted_key_is_never_destroyed() -> None:
    """Nor is one of ours after an operator adopted it."""
    record = enrolled(2)
    adopted = replace(record.keys[0], adopted=True)
    assert (
        reconcile(
            replace(record, keys=(adopted, record.keys[1])), CONTEXT, moment()
        ).retire
        == {}
    )
    late = replace(condemned(), keys=(adopted, record.keys[1]))
    assert reconcile(late, CONTEXT, moment()).retire == {}
    running = {key_id(1): replace(condemned().retire[key_id(1)], running=True)}
    late = replace(late, retire=running)
    assert reconcile(late, CONTEXT, moment()).retire == running


def test_what_is_needed() -> None:
    """The newest, what is live, what was proven, and both ends of a deployment."""
    record = enrolled(5)
    endpoints = {
        "a": EndpointRecord(live=2, proven=1, by="wire"),
        "gone": EndpointRecord(live=0, proven=0),
    }
    job = deploy_job(Stage.SWAPPED, 4, previous=3)
    full = replace(record, endpoints=endpoints, deploy={"a": job})
    assert needed_publications(full, CONTEXT, NOW) == frozenset({1, 2, 3, 4, 5})
    bare = replace(full, deploy={})
    assert needed_publications(bare, CONTEXT, NOW) == frozenset({1, 2, 5})
    empty = CertificateRecord(name="amf1")
    assert needed_publications(empty, CONTEXT, NOW) == frozenset()
    issuing = replace(empty, issue=issue_job(KeyMade(key=key_id(9))))
    assert needed_keys(issuing, CONTEXT, NOW) == frozenset({key_id(9)})


def test_without_proof_keys_live_as_long_as_their_certificates() -> None:
    """Or until an operator acknowledges; an endpoint that is gone has no say."""
    by = {"": EndpointRecord(live=3, proven=3, by="nobody-asked")}
    record = replace(enrolled(3), endpoints=by)
    assert needed_publications(record, CONTEXT, NOW) == frozenset({1, 2, 3})
    ended = NOW + 60 * DAY + timedelta(seconds=1)
    assert needed_publications(record, CONTEXT, ended) == frozenset({3})
    seen = {"": replace(by[""], by="operator")}
    acknowledged = replace(record, endpoints=seen)
    assert needed_publications(acknowledged, CONTEXT, NOW) == frozenset({3})
    elsewhere = certificate_table(endpoints=[replace(TOLD_AND_WATCHED, name="other")])
    assert needed_publications(record, context(elsewhere), NOW) == frozenset({3})
