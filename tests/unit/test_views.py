"""What the daemon shows of itself: states, plans and keys, also without a record."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.config.model import Config
from agent.jobs.context import Context
from agent.jobs.reconcile import reconcile
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.deployment import Sight, Sighting
from agent.records.job import Alarm, Severity
from agent.records.others import RegisterJob
from agent.records.phases import AccountKeyMade, Stage
from agent.shapes import State
from agent.views import (
    Facts,
    account_view,
    alarm_views,
    certificate_view,
    certificate_views,
    key_views,
)
from tests.vectors.records import (
    ACCOUNT,
    ADDRESS,
    DAY,
    DIRECTORY,
    NAME,
    NOW,
    PHASES,
    account_context,
    certificate_table,
    context,
    deploy_job,
    enrolled,
    failure,
    issue_job,
    key_id,
    moment,
)

CONTEXT = context()
EMPTY = CertificateRecord(name="amf1")
ALARM = Alarm(severity=Severity.CRITICAL, cause="it crashed", action="", raised=NOW)
BEHIND = {"": EndpointRecord(live=1, proven=1, by="wire")}


@pytest.mark.parametrize(
    ("record", "told", "now", "state"),
    [
        (EMPTY, CONTEXT, NOW, State.MISSING),
        (replace(EMPTY, held=True), CONTEXT, NOW, State.HELD),
        (enrolled(), CONTEXT, NOW, State.DEPLOYED),
        (enrolled(), None, NOW, State.UNMANAGED),
        (enrolled(), CONTEXT, NOW + 60 * DAY, State.EXPIRED),
        (replace(enrolled(), held=True), CONTEXT, NOW, State.HELD),
        (replace(enrolled(2), endpoints=BEHIND), CONTEXT, NOW, State.DEPLOYING),
        (
            replace(enrolled(), alarms={"issue-quarantined": ALARM}),
            CONTEXT,
            NOW,
            State.QUARANTINED,
        ),
        (
            replace(enrolled(), alarms={"deploy-quarantined-failing": ALARM}),
            CONTEXT,
            NOW,
            State.DEPLOYED,
        ),
    ],
)
def test_a_certificate_has_one_state(
    record: CertificateRecord, told: Context | None, now: datetime, state: State
) -> None:
    """The worst that is true of it; and every view is JSON."""
    view = certificate_view(record, told, now)
    assert view.state == state
    assert msgspec.json.decode(msgspec.json.encode(view))["state"] == state


def test_issued_is_not_deployed() -> None:
    """They are different everywhere."""
    view = certificate_view(replace(enrolled(2), endpoints=BEHIND), CONTEXT, NOW)
    assert (view.issued, view.deployed, view.publication) == (True, False, 2)
    assert [e.deployed for e in view.endpoints] == [False]
    view = certificate_view(EMPTY, CONTEXT, NOW)
    assert (view.issued, view.deployed, view.serial) == (False, False, "")
    assert (view.names, view.ca) == ((NAME,), "operator")


def test_what_is_no_longer_configured_is_shown_from_its_record() -> None:
    """With the endpoints that it had."""
    view = certificate_view(enrolled(), None, NOW)
    assert (view.names, view.ca) == ((NAME,), "operator")
    assert [e.name for e in view.endpoints] == [""]
    assert view.plan.next == "nothing, it is not configured"
    bare = certificate_view(EMPTY, None, NOW)
    assert (bare.names, bare.ca, bare.renew_at) == ((), "", None)


def test_an_endpoint_shows_what_each_address_served() -> None:
    """By address, in one word."""
    seen = Sighting(address=ADDRESS, sight=Sight.BROKEN, at=NOW)
    known = replace(enrolled().endpoints[""], sightings=(seen,))
    view = certificate_view(replace(enrolled(), endpoints={"": known}), CONTEXT, NOW)
    assert view.endpoints[0].addresses == {ADDRESS: "broken"}


@pytest.mark.parametrize(
    ("record", "told", "expected"),
    [
        (EMPTY, CONTEXT, ("order a certificate", NOW, "there is none yet")),
        (enrolled(), CONTEXT, ("renew", NOW + 30 * DAY, "two-thirds")),
        (
            replace(enrolled(), held=True),
            CONTEXT,
            ("held by an operator: renew", NOW + 30 * DAY, "two-thirds"),
        ),
        (
            replace(enrolled(), issue=issue_job(PHASES["key-made"])),
            CONTEXT,
            ("issue: create-order", None, "due"),
        ),
        (
            replace(
                enrolled(),
                issue=issue_job(
                    PHASES["key-made"],
                    failures=2,
                    failure=failure(),
                    not_before=NOW + DAY,
                ),
            ),
            CONTEXT,
            (
                "issue: after 2 failed attempts: transport went wrong",
                NOW + DAY,
                "after 2 failures",
            ),
        ),
        (
            reconcile(enrolled(2), CONTEXT, moment()),
            CONTEXT,
            ("renew", NOW + 30 * DAY, "two-thirds"),
        ),
        (
            enrolled(),
            context(certificate_table(renew_at=0.8)),
            ("renew", NOW + 42 * DAY, "configured-fraction"),
        ),
    ],
)
def test_the_plan_says_what_is_next(
    record: CertificateRecord, told: Context, expected: tuple[Any, ...]
) -> None:
    """The first job's next step, else the renewal; retiring a key is no plan."""
    plan = certificate_view(record, told, NOW).plan
    at = expected[1]
    assert (plan.next, plan.rule) == (expected[0], expected[2])
    assert plan.at == at or (
        at and plan.at and abs(plan.at - at) < timedelta(seconds=1)
    )


def test_jobs_are_shown_with_their_phase() -> None:
    """The stage of a deployment, the tag of every other phase."""
    record = reconcile(enrolled(2), CONTEXT, moment())
    record = replace(
        record,
        issue=issue_job(PHASES["answering-asked"], running=True, crashes=1),
        deploy={"b": deploy_job(Stage.PROVING)},
    )
    jobs = {job.slot: job for job in certificate_view(record, CONTEXT, NOW).jobs}
    assert jobs["issue"].phase == "answering"
    assert (jobs["issue"].running, jobs["issue"].crashes) == (True, 1)
    assert jobs["deploy b"].phase == "proving"
    retire = jobs[f"retire {key_id(1)}"]
    assert (retire.phase, retire.next) == ("condemned", "the key's grace")
    unmanaged = certificate_view(record, None, NOW).jobs
    assert {job.next for job in unmanaged} == {"unmanaged"}


def test_keys_are_shown_with_their_use() -> None:
    """Serving, or the next or previous; referenced where anything needs them."""
    record = reconcile(enrolled(2), CONTEXT, moment())
    old, new = key_views(record, CONTEXT, NOW)
    assert (old.referenced, old.use) == (False, "next or previous certificate")
    assert (new.referenced, new.use) == (True, "certificate")
    assert all(view.referenced for view in key_views(record, None, NOW))


def test_the_fleet_is_sorted() -> None:
    """By name, configured or not."""
    facts = Facts(
        config=Config(),
        certificates={"b": EMPTY, "a": enrolled()},
        contexts={"a": CONTEXT},
        quarantined={},
    )
    shown = certificate_views(facts, NOW)
    assert [view.state for view in shown] == [State.DEPLOYED, State.UNMANAGED]


def test_accounts_and_alarms() -> None:
    """An account is valid by its URL; alarms come by their id."""
    assert account_view(ACCOUNT, "operator", account_context(), NOW).valid
    job = RegisterJob(
        id="r", phase=AccountKeyMade(), reason="new", created=NOW, failure=failure()
    )
    unknown = replace(ACCOUNT, url="", register=job)
    waiting = account_view(unknown, "operator", account_context(), NOW)
    assert (waiting.valid, waiting.failure) == (False, failure())
    assert DIRECTORY not in repr(waiting)
    shown = alarm_views("certificate", "amf1", {"b": ALARM, "a": ALARM})
    assert [view.id for view in shown] == ["a", "b"]
    assert shown[0].subject == "amf1"
