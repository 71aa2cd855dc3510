"""Which jobs exist, and why: the configuration held against the record."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.config.endpoints import Endpoint
from agent.config.tokens import Key
from agent.jobs.choosing import choose_key
from agent.jobs.context import Context
from agent.jobs.reconcile import next_change, reason_to_issue, reconcile
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.keys import KeyState
from agent.records.phases import KeyChosen, KeyMade, Processing, Stage
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    NOW,
    ORDER,
    TOLD_AND_WATCHED,
    certificate_table,
    context,
    deploy_job,
    enrolled,
    failure,
    key,
    key_id,
    moment,
    publication,
)

CONTEXT = context()
EMPTY = CertificateRecord(name="amf1")
FRESH = "cd" * 16
DUE = NOW + 30 * DAY
NEVER, MONTHLY = Key(token="hsm", rotate="never"), Key(token="hsm", rotate="30d")


def with_key(config: Key, **settings: Any) -> Context:
    """Return a context whose certificate has this key."""
    return context(certificate_table(key=config, **settings))


def adopting(number: int, token: str = "hsm") -> Key:
    """Return the table of a key that exists."""
    uri = "pkcs11:id=" + "".join(f"%{octet:02x}" for octet in number.to_bytes(16))
    return Key(token=token, rotate="never", adopt=uri)


RECORDS = {
    "empty": EMPTY,
    "enrolled": enrolled(),
    "renewed": enrolled(3),
    "held": replace(enrolled(), held=True),
    "asked": replace(enrolled(), renew_asked=NOW),
    "unproven": replace(enrolled(2), endpoints={}),
    "nobody asked": replace(
        enrolled(2), endpoints={"": EndpointRecord(live=2, proven=2, by="nobody-asked")}
    ),
    "removed endpoint": replace(enrolled(), deploy={"gone": deploy_job(Stage.SWAPPED)}),
}
CONTEXTS = {
    "same": CONTEXT,
    "other ca": context(directory="https://other.example/dir"),
    "other names": context(certificate_table(names=("b.example",))),
    "other key": with_key(Key(file=True)),
    "adopted key": with_key(adopting(7)),
    "adopted ours": with_key(adopting(1)),
    "adopted elsewhere": with_key(adopting(1, "tpm")),
    "lasting key": with_key(NEVER),
    "no endpoint": context(certificate_table(endpoints=())),
    "new endpoint": context(
        certificate_table(endpoints=[TOLD_AND_WATCHED, Endpoint(name="b")])
    ),
    "new look": context(certificate_table(group="www-data")),
    "no account": context(account=None),
}


@pytest.mark.parametrize("known", RECORDS)
@pytest.mark.parametrize("told", CONTEXTS)
@pytest.mark.parametrize("now", [NOW, DUE, NOW + 59 * DAY, NOW + 61 * DAY])
def test_asked_again_it_changes_nothing(known: str, told: str, now: datetime) -> None:
    """The very same record comes back, also from another draw and a little later."""
    once = reconcile(RECORDS[known], CONTEXTS[told], moment(now))
    again = moment(now + timedelta(seconds=1), draw=0.9, token=FRESH)
    assert reconcile(once, CONTEXTS[told], moment(now)) is once
    assert reconcile(once, CONTEXTS[told], again) is once


@pytest.mark.parametrize(
    ("record", "told", "now", "reason"),
    [
        (EMPTY, "same", NOW, "there is no certificate yet"),
        (enrolled(), "same", NOW, None),
        (enrolled(), "same", DUE - timedelta(seconds=1), None),
        (enrolled(), "same", DUE, "renewal is due by the rule two-thirds"),
        (RECORDS["asked"], "same", NOW, "an operator asked for it"),
        (enrolled(), "other names", NOW, "the configuration changed its names"),
        (enrolled(), "other ca", NOW, "the configuration changed its ca"),
        (enrolled(), "other key", NOW, "the configuration changed its key"),
        (enrolled(), "adopted key", NOW, "the configuration changed its key"),
        (enrolled(), "adopted ours", NOW, None),
        (enrolled(), "lasting key", NOW, None),
        (enrolled(), "new look", NOW, None),
    ],
)
def test_a_certificate_is_ordered_for_a_reason(
    record: CertificateRecord, told: str, now: datetime, reason: str | None
) -> None:
    """And not without one."""
    assert reason_to_issue(record, CONTEXTS[told], now) == reason
    job = reconcile(record, CONTEXTS[told], moment(now)).issue
    assert (None if job is None else job.reason) == reason


def test_the_order_of_names_is_no_change() -> None:
    """Names are a set."""
    two = ("a.example", "b.example")
    issuance = replace(enrolled().publications[0].issuance, names=two)
    shown = replace(enrolled().publications[0], issuance=issuance)
    record = replace(enrolled(), publications=(shown,))
    told = context(certificate_table(names=two[::-1]))
    assert reason_to_issue(record, told, NOW) is None


def test_a_key_exists_before_the_order() -> None:
    """Its id is drawn and stored; label and number say whose it is."""
    record = reconcile(EMPTY, CONTEXT, moment())
    assert record.issue is not None
    assert record.issue.phase == KeyChosen(key="ab" * 16)
    (made,) = record.keys
    assert made.label == "nfcertd/0123456789abcdef/amf1/1"
    assert (made.number, record.key_count, made.state) == (1, 1, KeyState.CHOSEN)
    assert record.wanted == CONTEXT.wanted


def test_a_held_certificate_is_left_alone() -> None:
    """Neither due nor changed nor asked for, it is ordered."""
    held = replace(enrolled(), held=True, renew_asked=NOW)
    assert reconcile(held, CONTEXTS["other names"], moment(DUE)).issue is None


@pytest.mark.parametrize(
    ("config", "now", "reused"),
    [
        (Key(token="hsm"), DUE, False),
        (NEVER, DUE, True),
        (MONTHLY, NOW - timedelta(seconds=1), True),
        (MONTHLY, NOW, False),
        (Key(token="hsm", rotate="never", type="ec-p384"), DUE, False),
        (Key(token="tpm", rotate="never"), DUE, False),
    ],
)
def test_a_key_is_reused_where_it_may_be(
    config: Key, now: datetime, reused: bool
) -> None:
    """By the rotation that is configured, and only if it is still of that kind."""
    asked = replace(enrolled(), renew_asked=now)
    job = reconcile(asked, with_key(config), moment(now)).issue
    assert job is not None
    assert (job.phase == KeyMade(key=key_id(1))) is reused


def test_a_lasting_key_that_is_forgotten_is_made_anew() -> None:
    """A publication may outlive the record of its key."""
    record = replace(enrolled(), keys=(), renew_asked=NOW)
    job = reconcile(record, with_key(NEVER), moment()).issue
    assert job is not None
    assert isinstance(job.phase, KeyChosen)


def test_an_adopted_key_has_one_record() -> None:
    """Adopted from another token or again, its record is replaced, not doubled."""
    record = reconcile(enrolled(), CONTEXTS["adopted elsewhere"], moment())
    (adopted,) = record.keys
    assert (adopted.id, adopted.store, adopted.adopted) == (key_id(1), "tpm", True)
    assert record.issue is not None
    assert record.issue.phase == KeyChosen(key=key_id(1))
    record = reconcile(EMPTY, CONTEXTS["adopted key"], moment())
    assert [k.id for k in record.keys] == [key_id(7)]
    made = replace(record.keys[0], state=KeyState.MADE)
    again = replace(record, issue=None, keys=(made,))
    job = reconcile(again, CONTEXTS["adopted key"], moment()).issue
    assert job is not None
    assert job.phase == KeyMade(key=key_id(7))


def test_a_key_of_ours_replaces_an_adopted_one() -> None:
    """Where `adopt` is taken out of the configuration."""
    adopted = key(1, adopted=True)
    shown = replace(publication(1), key=adopted)
    record = replace(enrolled(), keys=(adopted,), publications=(shown,))
    job = reconcile(record, with_key(NEVER), moment()).issue
    assert job is not None
    assert job.reason == "the configuration changed its key"
    assert isinstance(job.phase, KeyChosen)


def ordering(**facts: Any) -> CertificateRecord:
    """Return a certificate whose first order is under way and has failed."""
    begun = reconcile(EMPTY, CONTEXT, moment())
    assert begun.issue is not None
    made = replace(begun.keys[0], state=KeyState.MADE, public=b"spki")
    phase = Processing(key=made.id, order=ORDER)
    envelope: dict[str, Any] = {
        "failures": 7,
        "not_before": NOW + DAY,
        "failure": failure(),
    }
    job = replace(begun.issue, phase=phase, **(envelope | facts))
    return replace(begun, issue=job, keys=(made,))


@pytest.mark.parametrize(
    ("told", "same_key"),
    [
        (context(certificate_table(names=("b.example",))), True),
        (context(directory="https://other.example/dir"), True),
        (context(account=replace(ACCOUNT, name="second")), True),
        (context(certificate_table(challenge="dns-persist-01")), True),
        (with_key(Key(file=True)), False),
        (with_key(adopting(7)), False),
    ],
    ids=["names", "ca", "account", "challenge", "key", "adopt"],
)
def test_an_order_of_an_old_configuration_is_given_up(
    told: Context, same_key: bool
) -> None:
    """It begins anew at once, with the key that it has where that still fits."""
    record = reconcile(ordering(), told, moment(token=FRESH))
    job = record.issue
    assert job is not None
    assert (job.id, job.failures, job.not_before) == (FRESH[:12], 0, None)
    assert record.wanted == told.wanted
    assert isinstance(job.phase, KeyMade if same_key else KeyChosen)
    assert (job.phase.key == "ab" * 16) is same_key


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (ordering(), CONTEXT),
        (ordering(running=True), CONTEXTS["other ca"]),
        (replace(ordering(), held=True), CONTEXTS["other ca"]),
        (replace(ordering(), wanted=None), CONTEXTS["other ca"]),
        (ordering(), CONTEXTS["no account"]),
        (ordering(), CONTEXTS["new look"]),
    ],
    ids=["same", "running", "held", "unknown", "account unreadable", "look"],
)
def test_an_order_that_is_still_wanted_goes_on(
    record: CertificateRecord, told: Context
) -> None:
    """Nothing is repeated for a change that does not concern it."""
    assert reconcile(record, told, moment(token=FRESH)).issue == record.issue


def test_a_change_that_is_taken_back_ends_its_order() -> None:
    """What is in service is right again: there is no reason for another."""
    changed = reconcile(enrolled(), CONTEXTS["other names"], moment())
    assert changed.issue is not None
    assert reconcile(changed, CONTEXT, moment()).issue is None


def test_the_key_in_service_is_no_spare() -> None:
    """Given up, a job that reused it leaves it where it is."""
    told = context(certificate_table(key=NEVER, names=("b.example",)))
    record = reconcile(enrolled(), told, moment())
    assert record.issue is not None
    assert record.issue.phase == KeyMade(key=key_id(1))
    rotating = context(certificate_table(names=("c.example",)))
    record = reconcile(record, rotating, moment(token=FRESH))
    assert record.issue is not None
    assert record.issue.phase == KeyChosen(key=FRESH)


def test_another_look_is_published_again() -> None:
    """The same issuance, a new number; the deployment follows."""
    record = reconcile(enrolled(), CONTEXTS["new look"], moment())
    first, second = record.publications
    assert second.number == record.publication_count == 2
    assert second.issuance == first.issuance
    assert second.look != first.look
    assert record.deploy[""].phase.publication == 2


def test_a_deployment_is_begun_where_the_newest_is_not_proven() -> None:
    """For each endpoint its own; one that is proven is left alone."""
    told = CONTEXTS["new endpoint"]
    shown = publication(1, told.look)
    record = reconcile(replace(enrolled(), publications=(shown,)), told, moment())
    assert list(record.deploy) == ["b"]
    job = record.deploy["b"]
    assert job.phase.stage is Stage.UNPUBLISHED
    assert job.reason == "publication 1 is to be served"


def test_a_newer_publication_supersedes() -> None:
    """Unless an effect is on the way; then it is replaced when that is back."""
    old = deploy_job(Stage.PROVING, 1)
    record = replace(enrolled(2), endpoints={}, deploy={"": old})
    after = reconcile(record, CONTEXT, moment())
    assert after.deploy[""].phase.publication == 2
    assert after.deploy[""].id != old.id
    running = replace(record, deploy={"": replace(old, running=True)})
    assert reconcile(running, CONTEXT, moment()).deploy == running.deploy


def test_the_deployment_of_an_endpoint_that_is_gone_ends() -> None:
    """Not in the middle of an effect."""
    gone = deploy_job(Stage.SWAPPED, 1)
    record = replace(enrolled(), deploy={"gone": gone})
    assert reconcile(record, CONTEXT, moment()).deploy == {}
    running = replace(record, deploy={"gone": replace(gone, running=True)})
    assert reconcile(running, CONTEXT, moment()).deploy == running.deploy


def test_what_nobody_saw_is_looked_at_once_somebody_can() -> None:
    """An endpoint that is given `verify` is deployed again, to be proven."""
    record = RECORDS["nobody asked"]
    assert list(reconcile(record, CONTEXT, moment()).deploy) == [""]
    assert reconcile(record, CONTEXTS["no endpoint"], moment()).deploy == {}


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (NOW, DUE),
        (DUE, NOW + 55.5 * DAY),
        (NOW + 56 * DAY, NOW + 60 * DAY),
        (NOW + 60 * DAY, None),
    ],
)
def test_the_next_change_is_known(now: datetime, then: datetime | None) -> None:
    """When it is due, when that is urgent, and when it ends."""
    assert next_change(enrolled(), CONTEXT, now) == then
    assert next_change(EMPTY, CONTEXT, now) is None


def test_a_key_in_a_file_is_chosen_like_another() -> None:
    """Its store says so."""
    chosen = choose_key(
        Key(file=True), subject="amf1", number=3, install="x", moment=moment()
    )
    assert (chosen.store, chosen.id, chosen.adopted) == ("file", "ab" * 16, False)
