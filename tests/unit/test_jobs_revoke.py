"""A revocation: who signs, with which reason, and what the CA's refusals mean."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.jobs import revoke, revoking
from agent.jobs.certificate import fold, next_step
from agent.jobs.reconcile import reason_to_issue, reconcile
from agent.jobs.references import needed_keys
from agent.jobs.revoke import Revoke, View
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition
from agent.records.others import AccountRecord
from agent.records.revocation import RevocationAsked, RevokeJob, Signer
from agent.records.slots import Slot
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    NOW,
    context,
    enrolled,
    failure,
    fingerprint,
    issued,
    key_id,
    moment,
)

FIRST = fingerprint(1)
SLOT = Slot("revoke", FIRST)
ACCOUNTS: Mapping[str, AccountRecord] = {"operator": ACCOUNT}


def job(reason: str = "superseded", by: Signer = "account", **more: bool) -> RevokeJob:
    """Return a revocation."""
    phase = RevocationAsked(reason=reason, by=by, **more)
    return RevokeJob(id="job", phase=phase, reason="asked for", created=NOW)


def view(*, account: bool = True, key: bool = True) -> View:
    """Return a world in which either signer is there or not."""
    return View(
        fingerprint=FIRST,
        account_ready=account,
        account_reason="no account",
        key_exists=key,
    )


def asked(record: CertificateRecord, reason: str = "superseded") -> CertificateRecord:
    """Return a certificate whose first issuance is to be revoked."""
    known = replace(record, issued=(issued(1), *record.issued))
    return revoking.begin(known, issued(1), moment(), reason=reason)


@pytest.mark.parametrize(
    ("by", "account", "key", "by_key"),
    [
        ("account", True, True, False),
        ("account", True, False, False),
        ("account", False, True, True),
        ("key", True, True, True),
        ("key", False, True, True),
        ("key", True, False, False),
    ],
)
def test_whoever_can_sign_signs(
    by: Signer, *, account: bool, key: bool, by_key: bool
) -> None:
    """The wanted signer where it is there, otherwise the other one."""
    step = revoke.next_step(job(by=by), view(account=account, key=key), NOW)
    assert step == Do(Revoke(FIRST, 4, by_key=by_key))


def test_with_neither_account_nor_key_it_waits() -> None:
    """Nobody could sign; the reason says so."""
    step = revoke.next_step(job(), view(account=False, key=False), NOW)
    assert step == Wait(until=None, reason="no account, and its key is gone")


@pytest.mark.parametrize(
    ("reason", "code"),
    [("unspecified", None), ("keyCompromise", 1), ("privilegeWithdrawn", 9)],
)
def test_a_reason_goes_out_as_its_code(reason: str, code: int | None) -> None:
    """Zero is left out, as RFC 5280 section 5.3.1 wants."""
    step = revoke.next_step(job(reason), view(), NOW)
    assert step == Do(Revoke(FIRST, code, by_key=False))


def refused(kind: str, before: RevokeJob, *, key: bool = True) -> RevokeJob | None:
    """Return what becomes of a job that the CA refuses."""
    outcome = Failed(failure(kind, Disposition.NEEDS_OPERATOR))
    return revoke.fold(before, outcome, view(key=key), moment())


@pytest.mark.parametrize(
    "outcome", [Performed(), Failed(failure("acme:alreadyRevoked"))]
)
def test_a_revoked_certificate_ends_the_job(outcome: revoke.Outcome) -> None:
    """Also where it was revoked before: a lost answer costs one more request."""
    assert revoke.fold(job(), outcome, view(), moment()) is None


def test_a_refused_reason_is_left_out_once() -> None:
    """That it is revoked matters more than why."""
    bare = refused("acme:badRevocationReason", job())
    assert bare is not None
    assert revoke.next_step(bare, view(), NOW) == Do(Revoke(FIRST, None, by_key=False))
    again = refused("acme:badRevocationReason", bare)
    assert again is not None
    assert isinstance(revoke.next_step(again, view(), NOW), Wait)


@pytest.mark.parametrize("kind", ["acme:unauthorized", "acme:accountDoesNotExist"])
def test_the_key_signs_where_the_account_may_not(kind: str) -> None:
    """An account that was deactivated or lost does not keep a certificate alive."""
    after = refused(kind, job())
    assert after is not None
    assert revoke.next_step(after, view(), NOW) == Do(Revoke(FIRST, 4, by_key=True))


@pytest.mark.parametrize(("by", "key"), [("account", False), ("key", True)])
def test_where_no_other_signer_is_left_an_operator_is_needed(
    by: Signer, *, key: bool
) -> None:
    """It is tried again once a day, and alarms at once."""
    after = refused("acme:unauthorized", job(by=by), key=key)
    assert after is not None
    assert after.not_before is not None
    assert after.not_before > NOW + timedelta(hours=20)


def test_a_revoked_issuance_is_replaced_with_another_key() -> None:
    """Whatever `rotate` says: the key of a revoked certificate serves no other."""
    about = replace(context().config, key=replace(context().config.key, rotate="never"))
    record = fold(
        asked(enrolled()), SLOT, Revoke(FIRST, 4, by_key=False), Performed(),
        context(about), moment(),
    )  # fmt: skip
    assert record.revoke == {}
    after = reconcile(record, context(about), moment(NOW))
    assert after.issue is not None
    assert after.issue.reason == "it is revoked, for superseded"
    assert after.issue.phase.key not in {key_id(1), ""}
    assert "revoked" in after.alarms


def test_a_key_waits_for_the_revocation_that_it_may_have_to_sign() -> None:
    """Nothing else refers to it any more."""
    record = enrolled(2)
    assert key_id(1) not in needed_keys(record, context(), NOW)
    assert key_id(1) in needed_keys(asked(record), context(), NOW)


def test_an_account_of_another_directory_does_not_sign() -> None:
    """It is another account, whatever its name."""
    other = replace(ACCOUNT, directory="https://other.example/directory")
    record = asked(enrolled())
    about = context(accounts={"operator": other})
    assert next_step(record, SLOT, about, NOW) == Do(Revoke(FIRST, 4, by_key=True))
    about = context(accounts=ACCOUNTS)
    assert next_step(record, SLOT, about, NOW) == Do(Revoke(FIRST, 4, by_key=False))


def test_an_ended_certificate_is_forgotten_with_its_revocation() -> None:
    """There is nothing left that anybody would believe."""
    record = asked(enrolled(2))
    after = reconcile(record, context(), moment(NOW + 61 * DAY))
    assert after.issued == ()
    assert after.revoke == {}


def test_a_compromised_key_is_marked_by_its_revocation() -> None:
    """The certificate in service is then due, although it is not revoked yet."""
    record = asked(enrolled(), "keyCompromise")
    assert record.compromised == {key_id(1)}
    assert reason_to_issue(record, context(), NOW) == "its key is compromised"
