"""What an order asks for beyond RFC 8555: only what fits, and once without."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from agent.config.star import Star
from agent.jobs.certificate import fold, next_step
from agent.jobs.context import Context
from agent.jobs.issue import effects
from agent.jobs.reconcile import reconcile
from agent.jobs.step import Do, Failed
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition
from agent.records.phases import KeyMade
from agent.records.slots import Slot
from agent.records.star import StarWanted
from tests.vectors.records import (
    ACCOUNT,
    NOW,
    certificate_table,
    checked,
    context,
    enrolled,
    failure,
    issue_job,
    key,
    key_id,
    moment,
    order,
)

CONTEXT = context()
ISSUE = Slot("issue")
CERTID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
REFUSED = failure("acme.replaces-refused", Disposition.RETRY_NOW)


def renewing(told: Context = CONTEXT, **changes: Any) -> CertificateRecord:
    """Return a certificate whose renewal orders next; changes are of its issuance."""
    record = enrolled()
    last = record.publications[-1]
    fields = {"certid": CERTID, "account_url": ACCOUNT.url, **changes}
    known = replace(last, issuance=replace(last.issuance, **fields))
    return replace(
        record,
        publications=(known,),
        keys=(*record.keys, key(2)),
        key_count=2,
        issue=issue_job(KeyMade(key=key_id(2))),
        wanted=told.wanted,
    )


def ordered(record: CertificateRecord, told: Context = CONTEXT) -> effects.Extras:
    """Return what the next newOrder asks for."""
    step = next_step(record, ISSUE, told, NOW)
    assert isinstance(step, Do)
    assert isinstance(step.effect, effects.CreateOrder)
    return step.effect.extras


def test_a_renewal_says_what_it_replaces() -> None:
    """At the same CA, by the same account (RFC 9773 section 5)."""
    assert ordered(renewing()) == effects.Extras(replaces=CERTID)


@pytest.mark.parametrize(
    "changes",
    [
        {"certid": ""},
        {"account_url": ""},
        {"account_url": "https://ca.example/account/2"},
        {"directory": "https://other.example/directory"},
    ],
)
def test_what_another_account_or_ca_issued_is_not_replaced(
    changes: dict[str, Any],
) -> None:
    """It would be refused, or mean a certificate of somebody else."""
    assert ordered(renewing(**changes)) == effects.Extras()


def test_a_first_order_replaces_nothing() -> None:
    """There is nothing yet."""
    record = replace(renewing(), publications=())
    assert ordered(record) == effects.Extras()


def test_a_refusal_is_remembered_and_asked_again_without() -> None:
    """At once, not counted, and for as long as this renewal lasts."""
    record = renewing()
    effect = effects.CreateOrder(key_id(2), effects.Extras(replaces=CERTID))
    after = fold(record, ISSUE, effect, Failed(REFUSED), CONTEXT, moment())
    assert after.issue is not None
    assert (after.issue.failures, after.issue.not_before) == (0, None)
    assert ordered(after) == effects.Extras()
    lost = Failed(failure("acme:serverInternal"))
    plain = effects.CreateOrder(key_id(2))
    later = fold(after, ISSUE, plain, lost, CONTEXT, moment())
    assert later.issue is not None
    due = replace(later, issue=replace(later.issue, not_before=None, intent=""))
    assert ordered(due) == effects.Extras()
    assert reconcile(due, CONTEXT, moment()).wanted == due.wanted


def test_a_ca_that_errs_whenever_it_is_told_more_is_told_less() -> None:
    """Pebble errs for some serial numbers: nothing would ever be issued again.

    After three errors in a row one member is left out, after the next another; an
    outage that says nothing of the order costs none.
    """
    wanted = StarWanted(lifetime=86400, duration=90 * 86400)
    told = dataclasses.replace(
        CONTEXT, config=certificate_table(star=Star(lifetime="1d", duration="90d"))
    )
    record = renewing(told)
    shed = []
    for _ in range(5):
        asked = ordered(record, told)
        shed.append((bool(asked.replaces), asked.star is not None))
        effect = effects.CreateOrder(key_id(2), asked)
        broken = Failed(failure("acme:serverInternal"))
        record = fold(record, ISSUE, effect, broken, told, moment())
        assert record.issue is not None
        record = replace(
            record, issue=replace(record.issue, not_before=None, intent="")
        )
    assert shed == [(True, True)] * 3 + [(False, True), (False, False)]
    assert told.star == wanted
    away = renewing(told)
    for _ in range(5):
        effect = effects.CreateOrder(key_id(2), ordered(away, told))
        away = fold(away, ISSUE, effect, Failed(failure("transport")), told, moment())
        assert away.issue is not None
        away = replace(away, issue=replace(away.issue, not_before=None, intent=""))
    assert ordered(away, told).replaces == CERTID


def test_the_next_renewal_names_its_own_predecessor() -> None:
    """What was refused once is forgotten with the order; the issuance remembers who."""
    record = renewing()
    assert record.wanted is not None
    record = replace(
        record,
        wanted=replace(record.wanted, refused=("replaces",)),
        issue=issue_job(KeyMade(key=key_id(2))),
    )
    chain = checked(2)._replace(certid="next.AQ")
    effect = effects.Download(key_id(2), "https://ca.example/certificate/2")
    outcome = effects.Downloaded(chain, renewal_info=True)
    after = fold(record, ISSUE, effect, outcome, CONTEXT, moment())
    assert after.current is not None
    assert after.current.certid == "next.AQ"
    assert after.current.account_url == ACCOUNT.url
    assert after.current.renewal_info
    assert after.wanted is None


def test_an_order_found_again_is_taken_as_it_is() -> None:
    """A lost newOrder that is listed needs no second one, refused or not."""
    record = replace(
        renewing(), issue=issue_job(KeyMade(key=key_id(2)), intent="create-order")
    )
    step = next_step(record, ISSUE, CONTEXT, NOW)
    assert step == Do(effects.FindOrder(key_id(2)))
    seen = effects.OrderSeen("https://ca.example/order/7", order("ready"))
    after = fold(record, ISSUE, effects.FindOrder(key_id(2)), seen, CONTEXT, moment())
    assert after.issue is not None
    assert after.issue.phase.key == key_id(2)
