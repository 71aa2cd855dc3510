"""The jobs of a certificate together: hold, quarantine, emergency, and the result."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.jobs import deploy
from agent.jobs.alarms import PATIENCE
from agent.jobs.certificate import fold, next_step
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.issue import effects
from agent.jobs.lifecycle import begin, found_running, interrupt, is_suspect
from agent.jobs.reconcile import reconcile
from agent.jobs.references import kept
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.certificate import CertificateRecord, EndpointRecord, Wanted
from agent.records.deployment import Sight, Sighting
from agent.records.job import Disposition
from agent.records.keys import KeyState
from agent.records.others import RegisterJob
from agent.records.phases import AccountKeyMade, Downloading, KeyChosen, Stage
from agent.records.slots import Slot, jobs
from agent.renewal.backoff import AWAITED
from tests.vectors.records import (
    ACCOUNT,
    ADDRESS,
    DAY,
    NAME,
    NOW,
    PHASES,
    certificate_table,
    checked,
    context,
    deploy_job,
    enrolled,
    failure,
    fingerprint,
    issue_job,
    key,
    key_id,
    moment,
    order,
    publication,
)

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ISSUE, DEPLOY = Slot("issue"), Slot("deploy")
CONTEXT = context()
URGENT = NOW + 56 * DAY


def issuing(**envelope: Any) -> CertificateRecord:
    """Return an enrolled certificate whose renewal is about to order."""
    job = issue_job(PHASES["key-made"], **envelope)
    return replace(enrolled(), issue=job)


def step(record: CertificateRecord, slot: Slot, now: datetime = NOW) -> Do[Any] | Wait:
    """Return what a job does next."""
    return next_step(record, slot, CONTEXT, now)


@pytest.mark.parametrize("kind", ["issue", "deploy", "retire", "register"])
def test_a_job_that_is_not_there_waits(kind: str) -> None:
    """Whoever asks for it is told so."""
    found = step(enrolled(), Slot(kind, "x"))
    assert found == Wait(until=None, reason="there is no such job")


def test_a_crash_too_many_is_quarantine() -> None:
    """Three crashes in a row; a job that is not the culprit goes on."""
    both = replace(issuing(), deploy={"": deploy_job(Stage.SWAPPED, 1)})
    for count in range(1, QUARANTINE_AFTER + 1):
        record = begin(both, ISSUE, "create-order")
        both = found_running(record)
        assert both.issue is not None
        assert (both.issue.crashes, both.issue.running) == (count, False)
        assert both.issue.crashed_in == "create-order"
        assert is_suspect(both, ISSUE)
    reason = "quarantined: the process crashed in this job"
    assert step(both, ISSUE) == Wait(until=None, reason=reason)
    assert isinstance(step(both, DEPLOY), Do)
    assert not is_suspect(both, DEPLOY)
    assert not is_suspect(enrolled(), ISSUE)


@pytest.mark.parametrize("slot", [ISSUE, DEPLOY, Slot("retire", key_id(1))])
def test_a_shutdown_is_no_crash(slot: Slot) -> None:
    """The intent stays, so that a lost answer is looked for; nothing is counted."""
    record = reconcile(
        replace(
            enrolled(2), endpoints={"": EndpointRecord(live=2, proven=2, by="wire")}
        ),
        CONTEXT,
        moment(),
    )
    job = issue_job(PHASES["key-made"])
    record = replace(record, issue=job, deploy={"": deploy_job(Stage.SWAPPED)})
    stopped = found_running(interrupt(begin(record, slot, "create-order"), slot))
    found = jobs(stopped)[slot]
    assert (found.crashes, found.running, found.intent) == (0, False, "create-order")


def test_held_it_does_not_order() -> None:
    """Nor does it while its account cannot be read."""
    held = replace(issuing(), held=True)
    assert step(held, ISSUE) == Wait(until=None, reason="held by an operator")
    found = next_step(issuing(), ISSUE, context(account=None), NOW)
    reason = "the record of its account cannot be read"
    assert found == Wait(until=None, reason=reason)


def test_an_account_is_waited_for() -> None:
    """With its failure, and until it is tried again."""
    job = RegisterJob(
        id="r",
        phase=AccountKeyMade(),
        reason="new",
        created=NOW,
        failure=failure(),
        not_before=NOW + HOUR,
    )
    for register, until, reason in (
        (None, None, "the account is not registered yet"),
        (job, NOW + HOUR, "the account is not registered yet: transport went wrong"),
        (replace(job, failure=None), NOW + HOUR, "the account is not registered yet"),
    ):
        account = replace(ACCOUNT, url="", register=register)
        found = next_step(issuing(), ISSUE, context(account=account), NOW)
        assert found == Wait(until=until, reason=reason)


@pytest.mark.parametrize(
    ("wait", "facts", "polls", "left"),
    [
        (HOUR, {}, 0, HOUR / 16),
        (MINUTE, {}, 0, AWAITED),
        (AWAITED / 2, {}, 0, AWAITED / 2),
        (HOUR, {"disposition": Disposition.NEEDS_OPERATOR}, 0, HOUR / 16),
        (HOUR, {"disposition": Disposition.WAIT_UNTIL}, 0, HOUR),
        (HOUR, {"retry_at": NOW}, 0, HOUR),
        (HOUR, {}, 1, HOUR),
    ],
)
def test_an_emergency_shortens_our_own_back_off_only(
    wait: timedelta, facts: dict[str, Any], polls: int, left: timedelta
) -> None:
    """Not the CA's Retry-After, not what is awaited, and not the pace of polling."""
    last = failure(at=URGENT, **facts)
    record = issuing(not_before=URGENT + wait, failure=last, failures=3, polls=polls)
    found = step(record, ISSUE, URGENT)
    assert isinstance(found, Wait)
    assert found.until == URGENT + left
    assert isinstance(step(record, ISSUE, URGENT + left), Do)


@pytest.mark.parametrize("last", [failure(), None])
def test_without_an_emergency_a_wait_is_kept(last: Any) -> None:
    """To its end; and one without a failure always."""
    record = issuing(not_before=NOW + HOUR, failure=last)
    found = step(record, ISSUE)
    assert isinstance(found, Wait)
    assert found.until == NOW + HOUR
    patient = issuing(not_before=URGENT + HOUR)
    found = step(patient, ISSUE, URGENT)
    assert isinstance(found, Wait)
    assert found.until == URGENT + HOUR
    assert isinstance(step(issuing(), ISSUE, URGENT), Do)


def downloading() -> CertificateRecord:
    """Return an enrolled certificate whose next one is about to be fetched."""
    job = issue_job(replace(PHASES["downloading"], key=key_id(2)))
    keys = (*enrolled().keys, key(2))
    return replace(
        enrolled(),
        issue=job,
        keys=keys,
        key_count=2,
        renew_asked=NOW,
        wanted=Wanted(names=(NAME,), ca="first", directory="https://first/"),
    )


def test_an_issue_leaves_an_issuance_and_a_publication() -> None:
    """From what was ordered, also where the configuration has changed since."""
    other = context(certificate_table(names=("b.example",)))
    effect = effects.Download(key_id(2), "https://x")
    record = fold(
        downloading(), ISSUE, effect, effects.Downloaded(checked(2)), other, moment()
    )
    assert (record.issue, record.wanted, record.renew_asked) == (None, None, None)
    newest = record.publications[-1]
    assert (newest.number, record.publication_count) == (2, 2)
    assert newest.key == key(2)
    made = newest.issuance
    assert (made.names, made.ca, made.directory) == ((NAME,), "first", "https://first/")
    assert (made.fingerprint, made.key) == (fingerprint(2), key_id(2))
    assert made.order == "https://ca.example/order/7"
    assert (made.draw, made.issued_at) == (0.5, NOW)
    again = reconcile(record, other, moment())
    assert again.issue is not None
    assert again.issue.reason == "the configuration changed its names"


def test_an_order_is_counted_once() -> None:
    """By the answer to newOrder; one that was found is one that was counted."""
    for effect, count in (
        (effects.CreateOrder(key_id(1)), 2),
        (effects.FindOrder(key_id(1)), 1),
    ):
        seen = effects.OrderSeen("https://x", order("pending"))
        record = fold(issuing(), ISSUE, effect, seen, CONTEXT, moment())
        assert record.orders == count


def test_a_key_that_was_made_is_known() -> None:
    """Its public half and its token's serial."""
    chosen = KeyChosen(key=key_id(2))
    keys = (*enrolled().keys, key(2, KeyState.CHOSEN))
    record = replace(enrolled(), issue=issue_job(chosen), keys=keys)
    made = effects.KeyExists(b"public", "serial")
    record = fold(record, ISSUE, effects.MakeKey(key_id(2)), made, CONTEXT, moment())
    found = record.key(key_id(2))
    assert (found.state, found.public) == (KeyState.MADE, b"public")
    assert found.token_serial == "serial"
    assert record.keys[0] == enrolled().keys[0]


def deploying(stage: Stage, **phase: Any) -> CertificateRecord:
    """Return a renewed certificate that is being deployed."""
    before = EndpointRecord(live=1, proven=1, by="wire")
    job = deploy_job(stage, previous=1, **phase)
    return replace(enrolled(2), endpoints={"": before}, deploy={"": job})


def test_a_proof_is_timed() -> None:
    """From the download to the handshake that showed it."""
    at = NOW - 30 * DAY + 90 * timedelta(seconds=1)
    seen = Sighting(
        address=ADDRESS, sight=Sight.SERVED, fingerprint=fingerprint(2), at=at
    )
    record = fold(
        deploying(Stage.PROVING),
        DEPLOY,
        deploy.Watch(fingerprint(2)),
        deploy.Watched((seen,), settled=True),
        CONTEXT,
        moment(at),
    )
    endpoint = record.endpoints[""]
    assert (endpoint.proven, endpoint.issued_to_served) == (2, 90)
    forgotten = replace(deploying(Stage.PROVING), publications=())
    record = fold(
        forgotten,
        DEPLOY,
        deploy.Watch(""),
        deploy.Watched((seen,), settled=True),
        CONTEXT,
        moment(at),
    )
    assert record.endpoints[""].issued_to_served is None


def test_an_alarm_comes_and_goes_with_what_calls_for_it() -> None:
    """Nobody who looks sees a deployment over and its alarm still standing."""
    record, watch = deploying(Stage.PROVING), deploy.Watch(fingerprint(2))
    late = Failed(failure("deploy.old"))
    for number in range(1, PATIENCE + 1):
        record = fold(record, DEPLOY, watch, late, CONTEXT, moment())
        assert ("deploy-failing" in record.alarms) == (number == PATIENCE)
    at = NOW + HOUR
    seen = Sighting(
        address=ADDRESS, sight=Sight.SERVED, fingerprint=fingerprint(2), at=at
    )
    served = deploy.Watched((seen,), settled=True)
    record = fold(record, DEPLOY, watch, served, CONTEXT, moment(at))
    assert record.endpoints[""].proven == 2
    assert record.alarms == {}


def test_a_deployment_ends_with_its_pruning() -> None:
    """The job is gone; what keys still need stays until they go."""
    record = deploying(Stage.PROVEN)
    record = replace(
        record, endpoints={"": EndpointRecord(live=2, proven=2, by="wire")}
    )
    assert step(record, DEPLOY) == Do(deploy.Prune())
    done = fold(record, DEPLOY, deploy.Prune(), Performed(), CONTEXT, moment())
    assert done.deploy == {}
    assert [p.number for p in done.publications] == [1, 2]
    failed = Failed(failure("publication"))
    again = fold(record, DEPLOY, deploy.Prune(), failed, CONTEXT, moment())
    assert again.deploy[""].phase.stage is Stage.PROVEN


def test_publications_that_share_a_key_go_at_once() -> None:
    """The key stays in any case, so nothing else would remove them."""
    shared = replace(
        publication(2), issuance=replace(publication(2).issuance, key=key_id(1))
    )
    record = replace(enrolled(2), publications=(publication(1), shared))
    assert kept(record, CONTEXT, NOW) == frozenset({2})
    assert kept(enrolled(2), CONTEXT, NOW) == frozenset({1, 2})
    assert kept(CertificateRecord(name="x"), CONTEXT, NOW) == frozenset()


@pytest.mark.parametrize(
    ("table", "facts", "reason"),
    [
        ({}, {"held": True}, "held by an operator"),
        ({"deploy": "manual"}, {}, "waits for an operator's release"),
        ({"deploy": "manual"}, {"released": 1}, "waits for an operator's release"),
        ({"deploy": "manual"}, {"released": 2}, ""),
        ({}, {}, ""),
    ],
)
def test_a_swap_waits_for_its_release(
    table: dict[str, Any], facts: dict[str, Any], reason: str
) -> None:
    """Held, or manual and not released up to this publication."""
    record = replace(deploying(Stage.BASELINED), **facts)
    found = next_step(record, DEPLOY, context(certificate_table(**table)), NOW)
    if reason:
        assert found == Wait(until=None, reason=reason)
    else:
        assert found == Do(deploy.Swap(2))


def broken() -> deploy.Watched:
    """Return a watch that saw a broken endpoint."""
    seen = Sighting(address=ADDRESS, sight=Sight.BROKEN, at=NOW)
    return deploy.Watched((seen,), settled=False)


GOOD = Sighting(address=ADDRESS, sight=Sight.SERVED, fingerprint=fingerprint(1), at=NOW)


@pytest.mark.parametrize(
    ("change", "reverts"),
    [
        ({}, True),
        ({"keys": enrolled(2).keys[1:]}, False),
        ({"keys": (key(1, KeyState.DESTROYED), key(2))}, False),
        ({"publications": enrolled(2).publications[1:]}, False),
        (
            {
                "publications": (
                    replace(
                        publication(1),
                        issuance=replace(publication(1).issuance, not_after=NOW),
                    ),
                    publication(2),
                )
            },
            False,
        ),
    ],
    ids=["good", "key forgotten", "key destroyed", "forgotten", "ended"],
)
def test_it_goes_back_only_to_what_is_still_good(
    change: dict[str, Any], reverts: bool
) -> None:
    """The key exists, the publication is known, and its life goes on."""
    record = replace(deploying(Stage.PROVING, baseline=(GOOD,)), **change)
    effect = deploy.Watch(fingerprint(2))
    record = fold(record, DEPLOY, effect, broken(), CONTEXT, moment())
    assert (record.deploy[""].phase.stage is Stage.REVERTING) is reverts


def test_an_endpoint_that_is_gone_is_neither_told_nor_asked() -> None:
    """Its deployment comes to an end by itself."""
    gone = Slot("deploy", "gone")
    job = deploy_job(Stage.BASELINED)
    record = replace(enrolled(2), deploy={"gone": job})
    record = fold(record, gone, deploy.Swap(2), Performed(), CONTEXT, moment())
    assert record.deploy["gone"].phase.stage is Stage.PROVEN
    assert record.endpoints["gone"].by == "nobody-asked"


def test_a_download_of_something_odd_has_no_order() -> None:
    """A phase without an order, which no step makes, is no reason to fail."""
    record = replace(downloading(), issue=issue_job(PHASES["key-made"]), wanted=None)
    effect = effects.Download(key_id(1), "https://x")
    record = fold(
        record, ISSUE, effect, effects.Downloaded(checked(2)), CONTEXT, moment()
    )
    made = record.publications[-1].issuance
    assert (made.order, made.ca) == ("", "operator")
    assert isinstance(PHASES["downloading"], Downloading)
