"""Profiles and must-staple in the jobs: what is wanted, refused, and a reason."""

from typing import Any

import pytest
from msgspec.structs import replace

from agent.config.model import Certificate
from agent.config.orders import Profile
from agent.jobs.certificate import fold, next_step
from agent.jobs.context import Context
from agent.jobs.issue import effects
from agent.jobs.reconcile import reason_to_issue, reconcile
from agent.jobs.step import Do, Failed
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition
from agent.records.phases import KeyMade
from agent.records.slots import Slot
from agent.views import certificate_view
from tests.vectors.records import (
    NOW,
    ORDER,
    PHASES,
    certificate_table,
    checked,
    context,
    enrolled,
    failure,
    issue_job,
    key_id,
    moment,
    order,
)

ISSUE = Slot("issue")
REQUIRED, PREFERRED = (
    context(certificate_table(profile=wish))
    for wish in ("short", Profile(name="short", required=False))
)
CREATE = effects.CreateOrder(key_id(1))
FINALIZE = effects.Finalize(key_id(1), ORDER)


def ordering(told: Context, phase: str = "key-made") -> CertificateRecord:
    """Return a first certificate whose order comes next, or has come so far."""
    return replace(
        enrolled(),
        publications=(),
        publication_count=0,
        endpoints={},
        issue=issue_job(PHASES[phase]),
        wanted=told.wanted,
    )


def asked(record: CertificateRecord, told: Context) -> effects.Extras:
    """Return what the next newOrder asks for."""
    step = next_step(record, ISSUE, told, NOW)
    assert isinstance(step, Do)
    assert isinstance(step.effect, effects.CreateOrder)
    return step.effect.extras


def after(
    record: CertificateRecord, effect: effects.Effect, outcome: Any, told: Context
) -> CertificateRecord:
    """Return the record after an effect of its order."""
    return fold(record, ISSUE, effect, outcome, told, moment())


def test_an_order_asks_for_the_profile() -> None:
    """As it was wanted when the job began."""
    wanted = effects.Extras(profile="short", required=True)
    assert asked(ordering(REQUIRED), REQUIRED) == wanted
    assert asked(ordering(PREFERRED), PREFERRED) == effects.Extras(profile="short")


def test_a_preferred_profile_that_is_refused_is_left_out_at_once() -> None:
    """One refusal at newOrder costs one request."""
    refused = Failed(failure("acme.profile-refused", Disposition.RETRY_NOW))
    record = after(ordering(PREFERRED), CREATE, refused, PREFERRED)
    assert asked(record, PREFERRED) == effects.Extras()
    assert reconcile(record, PREFERRED, moment()).wanted == record.wanted


@pytest.mark.parametrize(
    ("told", "disposition", "left"),
    [
        (PREFERRED, Disposition.BACK_OFF, effects.Extras()),
        (
            REQUIRED,
            Disposition.NEEDS_OPERATOR,
            effects.Extras(profile="short", required=True),
        ),
    ],
)
def test_a_profile_that_is_withdrawn_at_finalize(
    told: Context, disposition: Disposition, left: effects.Extras
) -> None:
    """A new order is needed: without it, or by an operator."""
    refused = Failed(failure("acme:invalidProfile", Disposition.NEEDS_OPERATOR))
    record = after(ordering(told, "finalizing"), FINALIZE, refused, told)
    assert record.issue is not None
    assert record.issue.phase == KeyMade(key=key_id(1))
    assert record.issue.failure is not None
    assert record.issue.failure.disposition is disposition
    due = replace(record, issue=replace(record.issue, not_before=None))
    assert asked(due, told) == left


@pytest.mark.parametrize("echo", [None, "", "classic"])
@pytest.mark.parametrize("effect", [CREATE, effects.FindOrder(key_id(1))])
def test_an_order_without_the_required_profile_is_given_up(
    echo: str | None, effect: effects.Effect
) -> None:
    """Silence is no consent: servers ignore what they do not know."""
    seen = effects.OrderSeen(ORDER.url, order("pending", profile=echo))
    record = after(ordering(REQUIRED), effect, seen, REQUIRED)
    assert record.issue is not None
    assert record.issue.phase == KeyMade(key=key_id(1))
    assert record.issue.failure is not None
    assert record.issue.failure.kind == "acme.profile-unavailable"
    assert record.issue.failure.disposition is Disposition.NEEDS_OPERATOR
    alarmed = reconcile(record, REQUIRED, moment())
    assert "short" in alarmed.alarms["issue-failing"].cause


def test_what_the_ca_chose_is_remembered_and_shown() -> None:
    """Also where a later object of the order leaves it out."""
    told = PREFERRED
    seen = effects.OrderSeen(ORDER.url, order("ready", profile="classic"))
    record = after(ordering(told), CREATE, seen, told)
    valid = effects.OrderSeen(ORDER.url, order("valid"))
    record = after(record, FINALIZE, valid, told)
    download = effects.Download(key_id(1), "https://ca.example/certificate/7")
    chain = checked(1)._replace(anchor_subject="CN=Root X2")
    record = after(record, download, effects.Downloaded(chain), told)
    view = certificate_view(record, told, NOW)
    assert (view.profile, view.anchor) == ("classic", "CN=Root X2")
    assert record.current is not None
    assert record.current.asked_profile == "short"
    assert reason_to_issue(record, told, NOW) is None


def table(**settings: Any) -> Context:
    """Return the context of a table."""
    return context(certificate_table(**settings))


@pytest.mark.parametrize(
    ("had", "given", "told", "reason"),
    [
        ("", "", table(), None),
        ("", "classic", table(), None),
        ("short", "short", table(), None),
        ("short", "short", REQUIRED, None),
        ("short", "short", PREFERRED, None),
        ("short", "classic", PREFERRED, None),
        ("short", "classic", REQUIRED, "profile"),
        ("", "", REQUIRED, "profile"),
        ("", "short", PREFERRED, "profile"),
        ("classic", "classic", REQUIRED, "profile"),
        ("", "", table(must_staple=True), "must_staple"),
    ],
)
def test_a_changed_wish_is_a_reason_to_order(
    had: str, given: str, told: Context, reason: str | None
) -> None:
    """What was asked for counts, not what the CA made of it: no loop."""
    record = enrolled()
    last = record.publications[-1]
    issued = replace(last.issuance, asked_profile=had, profile=given)
    record = replace(record, publications=(replace(last, issuance=issued),))
    found = reason_to_issue(record, told, NOW)
    assert found == (reason and f"the configuration changed its {reason}")


@pytest.mark.parametrize("told", [table(), PREFERRED, table(must_staple=True)])
def test_an_order_for_another_wish_is_begun_anew(told: Context) -> None:
    """It would be for something else; its key is used again."""
    record = ordering(REQUIRED, "answering-asked")
    changed = reconcile(record, told, moment())
    assert changed.issue is not None
    assert changed.issue.id != "job"
    assert changed.issue.phase == KeyMade(key=key_id(1))
    assert changed.wanted == told.wanted


def test_a_name_alone_is_required() -> None:
    """The table says more."""
    tables: list[Certificate] = [REQUIRED.config, PREFERRED.config, table().config]
    assert [t.wished_profile for t in tables] == [
        Profile(name="short", required=True),
        Profile(name="short", required=False),
        None,
    ]
