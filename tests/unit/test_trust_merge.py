"""How roots come into a list, how they leave it, and what is never done to it."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from agent.records.trust import Source, TrustRecord
from agent.trust.errors import (
    BoundsError,
    EmptyError,
    RollbackError,
    StepError,
    TrustError,
)
from agent.trust.merge import (
    Policy,
    admit,
    has_all_ended,
    leaving,
    merge,
    next_passing,
    passed,
    signer_of,
)
from agent.trust.roots import MAX_ROOTS, Document, of_roots, read_der, read_pem
from tests.vectors.trust import DAY, NOW, Ca, entry, public, root

DELAY = 2 * DAY
OVERLAP = 20 * DAY
EMPTY = TrustRecord(name="operator-roots")
SHORT = root(7, begins=NOW - DAY, life=10 * DAY)
"""A root that ends in nine days."""


def policy(source: Source = "signed") -> Policy:
    """Return how a list is kept."""
    return Policy(source=source, delay=DELAY, overlap=OVERLAP, max_step=10)


def offer(*cas: Ca, sequence: int = 0, **more: object) -> Document:
    """Return a document with these roots."""
    roots = of_roots(read_der(str(entry(ca)["certificate"])) for ca in cas)
    pinned = {"signer": public(500), "pin": public(500)} if sequence else {}
    return roots._replace(sequence=sequence, **pinned, **more)  # type: ignore[arg-type]  # a test's own keywords


def take(
    record: TrustRecord,
    document: Document,
    now: datetime = NOW,
    source: Source = "signed",
) -> TrustRecord:
    """Admit and merge."""
    admit(record, document, policy(source), now)
    return merge(record, document, policy(source), now)


def held(record: TrustRecord) -> set[str]:
    """Return what is trusted."""
    return {root.fingerprint for root in record.roots}


def of(*cas: Ca) -> set[str]:
    """Return the fingerprints of roots."""
    return {ca.fingerprint for ca in cas}


def test_a_new_root_is_trusted_at_once() -> None:
    """A peer may have the new chain in the next minute."""
    first = take(EMPTY, offer(root(1), sequence=1))
    assert (held(first), first.version, first.fetched_at) == (of(root(1)), 1, NOW)
    second = take(first, offer(root(1), root(2), sequence=2), NOW + DAY)
    assert (held(second), second.version) == (of(root(1), root(2)), 2)
    assert [r.since for r in second.roots] == [NOW, NOW + DAY]


def test_the_same_again_changes_nothing_but_the_time() -> None:
    """No version, no publication, no reload."""
    first = take(EMPTY, offer(root(1), sequence=1))
    again = take(first, offer(root(1), sequence=1), NOW + DAY)
    assert replace(again, fetched_at=NOW) == first


def test_a_signed_list_lets_a_root_leave_after_the_overlap() -> None:
    """It says so once; the peers of the old root are accepted until it has passed."""
    both = take(EMPTY, offer(root(1), root(2), sequence=1))
    gone = take(both, offer(root(2), sequence=2), NOW + DAY)
    assert (held(gone), gone.version) == (of(root(1), root(2)), 1)
    assert leaving(gone) == {root(1).fingerprint: NOW + DAY}
    end = NOW + DAY + OVERLAP
    assert next_passing(gone, OVERLAP, NOW + DAY) == end
    assert passed(gone, OVERLAP, end - timedelta(seconds=1)) == gone
    after = passed(gone, OVERLAP, end)
    assert (held(after), after.version, after.changed_at) == (of(root(2)), 2, end)


@pytest.mark.parametrize("source", ["est", "file"])
def test_est_and_files_let_a_root_leave_after_agreeing_fetches(source: Source) -> None:
    """Two of them at least, the delay apart; one is a mistake until it is repeated."""
    both = take(EMPTY, offer(root(1), root(2)), NOW, source)
    once = take(both, offer(root(2)), NOW + DAY, source)
    early = take(once, offer(root(2)), NOW + 2 * DAY, source)
    assert leaving(once) == leaving(early) == {}
    established = take(early, offer(root(2)), NOW + 3 * DAY, source)
    assert leaving(established) == {root(1).fingerprint: NOW + 3 * DAY}
    alone = take(both, offer(root(2)), NOW + 9 * DAY, source)
    assert leaving(alone) == {}


@pytest.mark.parametrize("source", ["signed", "est", "file"])
def test_a_root_that_comes_back_stays(source: Source) -> None:
    """Whatever it was about to do: fetches must agree without interruption."""
    record = take(EMPTY, offer(root(1), root(2), sequence=1), NOW, source)
    for day in range(1, 8):
        shown = (root(1), root(2)) if day % 2 else (root(2),)
        record = take(record, offer(*shown, sequence=1 + day), NOW + day * DAY, source)
    assert leaving(record) == {}
    assert {r.missed for r in record.roots} == {0}


def test_distrust_beats_the_overlap() -> None:
    """By certificate at once, also one that is leaving already."""
    both = take(EMPTY, offer(root(1), root(2), sequence=1))
    left = take(both, offer(root(2), sequence=2), NOW + DAY)
    document = offer(root(2), sequence=3, distrusted=frozenset(of(root(1))))
    gone = take(left, document, NOW + 2 * DAY)
    assert (held(gone), gone.version) == (of(root(2)), 2)
    assert leaving(gone) == {root(1).fingerprint: NOW + 2 * DAY}


def test_a_distrusted_key_takes_all_of_its_certificates() -> None:
    """A root that was issued again with its key is as compromised as it was."""
    again = root(9, of=1)
    three = take(EMPTY, offer(root(1), again, root(2), sequence=1))
    key = three.roots[0].key
    document = offer(root(2), again, sequence=2, distrusted_keys=frozenset({key}))
    gone = take(three, document, NOW + DAY)
    assert held(gone) == of(root(2))
    assert leaving(gone).keys() == of(root(1), again)


def test_what_is_distrusted_stays_shown_until_it_is_offered_again() -> None:
    """A later list need not repeat it; to trust it again is the signer's word."""
    both = take(EMPTY, offer(root(1), root(2), sequence=1))
    distrust = frozenset(of(root(1)))
    gone = take(both, offer(root(2), sequence=2, distrusted=distrust))
    later = take(gone, offer(root(2), sequence=3), NOW + DAY)
    assert leaving(later) == {root(1).fingerprint: NOW}
    back = take(later, offer(root(1), root(2), sequence=4), NOW + 2 * DAY)
    assert (held(back), leaving(back)) == (of(root(1), root(2)), {})


def test_an_ended_root_goes_without_being_told() -> None:
    """Nobody verifies with it; a list that still shows it changes nothing."""
    first = take(EMPTY, offer(SHORT, root(1), sequence=1))
    end = NOW + 9 * DAY
    assert next_passing(first, OVERLAP, NOW) == end
    after = passed(first, OVERLAP, end)
    assert held(after) == of(root(1))
    assert take(after, offer(SHORT, root(1), sequence=1), end).version == after.version


def test_the_last_root_is_kept_even_when_it_has_ended() -> None:
    """An empty file would end what serves with it; an alarm says it instead."""
    first = take(EMPTY, offer(SHORT, sequence=1))
    late = NOW + 30 * DAY
    assert passed(first, OVERLAP, late) == first
    assert has_all_ended(first, late)
    assert not has_all_ended(first, NOW)
    assert not has_all_ended(EMPTY, late)


@pytest.mark.parametrize("source", ["signed", "est", "file"])
@pytest.mark.parametrize(
    "document",
    [
        offer(sequence=2),
        offer(root(8, begins=NOW - 2 * DAY, life=DAY), sequence=2),
        offer(root(1), sequence=2, distrusted=frozenset(of(root(1)))),
    ],
    ids=["nothing", "only what has ended", "only what it distrusts"],
)
@pytest.mark.parametrize("record", [EMPTY, take(EMPTY, offer(root(1), sequence=1))])
def test_nothing_is_never_left(
    record: TrustRecord, document: Document, source: Source
) -> None:
    """Not by a list, and not without a person who accepts exactly this one."""
    with pytest.raises(EmptyError) as caught:
        admit(record, document, policy(source), NOW)
    assert caught.value.digest == document.digest
    assert "nfcertd trust accept operator-roots" in caught.value.hint
    other = replace(record, accepted="0" * 64)
    with pytest.raises(EmptyError):
        admit(other, document, policy(source), NOW)
    admit(replace(record, accepted=document.digest), document, policy(source), NOW)


def test_an_accepted_empty_list_is_empty_after_the_overlap() -> None:
    """The operator has taken the guard away, and nothing else."""
    first = take(EMPTY, offer(root(1), sequence=1))
    nothing = offer(sequence=2)
    accepted = replace(first, accepted=nothing.digest)
    left = take(accepted, nothing, NOW + DAY)
    assert held(left) == of(root(1))
    assert held(passed(left, OVERLAP, NOW + DAY + OVERLAP)) == set()


@pytest.mark.parametrize(
    ("sequence", "error"),
    [(4, RollbackError), (5, RollbackError), (15, None), (16, StepError)],
)
def test_the_number_of_a_signed_list_only_grows(
    sequence: int, error: type[TrustError] | None
) -> None:
    """Neither back nor the same with other words, nor ahead by more than a step."""
    record = take(EMPTY, offer(root(1), sequence=5))
    document = offer(root(2), sequence=sequence)
    if error is None:
        admit(record, document, policy(), NOW)
        return
    with pytest.raises(error):
        admit(record, document, policy(), NOW)
    accepted = replace(record, accepted=document.digest)
    if error is StepError:
        admit(accepted, document, policy(), NOW)
    else:
        with pytest.raises(RollbackError):
            admit(accepted, document, policy(), NOW)


def test_a_first_list_may_have_any_number() -> None:
    """A host that was installed today has missed all the others."""
    assert take(EMPTY, offer(root(1), sequence=4711)).sequence == 4711


def test_another_pinned_key_begins_another_series() -> None:
    """An operator did that; the present signer as the pin is no other key."""
    record = take(EMPTY, offer(root(1), sequence=50))
    record = replace(record, signer=public(501))
    assert signer_of(record, public(500)) == public(501)
    assert signer_of(record, public(501)) == public(501)
    assert signer_of(record, public(502)) == public(502)
    other = offer(root(1), sequence=2)._replace(pin=public(502), signer=public(502))
    after = take(record, other)
    assert (after.sequence, after.signer, after.pin) == (2, public(502), public(502))
    with pytest.raises(RollbackError):
        admit(record, offer(root(1), sequence=2), policy(), NOW)


def test_a_server_cannot_make_the_list_grow_without_end() -> None:
    """Other roots in every answer would stay for the overlap, each of them."""
    one = read_pem(root(1).pem.encode()).roots[0]

    def many(prefix: str) -> Document:
        found = (one._replace(fingerprint=f"{prefix}{n:063x}") for n in range(300))
        return of_roots(found)

    record = take(EMPTY, many("a"), source="est")
    with pytest.raises(BoundsError):
        admit(record, many("b"), policy("est"), NOW)
    assert len(record.roots) < MAX_ROOTS
