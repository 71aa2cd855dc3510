"""A request that is taken to a CA by hand: its key, its signature, its certificate."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.config.model import Certificate
from agent.config.orders import Profile
from agent.config.tokens import Key
from agent.jobs import issuing, request, revoking
from agent.jobs.certificate import fold, next_step
from agent.jobs.issue import effects
from agent.jobs.reconcile import reconcile
from agent.jobs.references import needed_keys
from agent.jobs.request import MakeRequestKey, RequestKeyExists, Signed, SignRequest
from agent.jobs.step import Do, Failed, Wait
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState
from agent.records.request import RequestKeyChosen, RequestKeyMade, RequestSigned
from agent.records.slots import Slot
from tests.vectors.records import (
    NOW,
    PHASES,
    certificate_table,
    checked,
    context,
    enrolled,
    failure,
    issue_job,
    key_id,
    moment,
)

SLOT = Slot("csr")
PEM = "-----BEGIN CERTIFICATE REQUEST-----\n"
NEVER = context(certificate_table(key=Key(token="hsm", rotate="never")))


def begun(record: CertificateRecord | None = None) -> CertificateRecord:
    """Return a certificate for which a request is asked for."""
    return request.begin(record or enrolled(), context(), moment())


def travelled(record: CertificateRecord) -> CertificateRecord:
    """Return the certificate with its request signed."""
    job = record.requesting
    assert job is not None
    if isinstance(job.phase, RequestKeyChosen):
        step = next_step(record, SLOT, context(), NOW)
        assert step == Do(MakeRequestKey(job.phase.key))
        made = RequestKeyExists(b"spki", "serial")
        record = fold(record, SLOT, step.effect, made, context(), moment())
    step = next_step(record, SLOT, context(), NOW)
    assert step == Do(SignRequest(job.phase.key))
    signed = Signed(request.asked(context()), PEM)
    return fold(record, SLOT, step.effect, signed, context(), moment())


def test_its_key_is_remembered_before_it_exists() -> None:
    """A new one, by the rule of the renewals; nothing destroys it meanwhile."""
    record = begun()
    job = record.requesting
    assert job is not None
    assert isinstance(job.phase, RequestKeyChosen)
    key = record.key(job.phase.key)
    assert (key.state, key.number) == (KeyState.CHOSEN, 2)
    assert key.id in needed_keys(record, context(), NOW)
    signed = travelled(record)
    assert signed.requesting is not None
    assert signed.requesting.phase == RequestSigned(
        key=key.id, asked=request.asked(context()), pem=PEM
    )
    assert signed.key(key.id).public == b"spki"
    step = next_step(signed, SLOT, context(), NOW)
    assert step == Wait(until=None, reason=request.WAITING)
    assert reconcile(signed, context(), moment()) == signed


def test_a_key_that_serves_on_is_asked_for_again() -> None:
    """Where `rotate` says so."""
    record = request.begin(enrolled(), NEVER, moment())
    assert record.requesting is not None
    assert record.requesting.phase == RequestKeyMade(key=key_id(1))


def test_it_shares_the_key_of_the_order_under_way() -> None:
    """Whichever CA answers first is served, and the other way round."""
    job = issue_job(PHASES["key-made"])
    record = replace(enrolled(), issue=job, wanted=context().wanted)
    asked = request.begin(record, context(), moment())
    assert asked.requesting is not None
    assert asked.requesting.phase.key == job.phase.key
    signed = replace(travelled(begun()), renew_asked=NOW)
    after = reconcile(signed, context(), moment(token="cd" * 16))
    assert after.issue is not None
    assert after.requesting is not None
    assert after.issue.phase.key == after.requesting.phase.key
    assert after.key_count == 2


def test_asked_again_it_is_the_same_request() -> None:
    """Unless the names have changed; what failed is tried at once."""
    signed = travelled(begun())
    assert request.begin(signed, context(), moment()) == signed
    other = context(certificate_table(names=("other.example",)))
    anew = request.begin(signed, other, moment(token="cd" * 16))
    assert anew.requesting is not None
    assert anew.requesting.id != "ab" * 6
    failed = fold(
        begun(),
        SLOT,
        MakeRequestKey("k"),
        Failed(failure("token.absent")),
        context(),
        moment(),
    )
    assert isinstance(next_step(failed, SLOT, context(), NOW), Wait)
    again = request.begin(failed, context(), moment())
    assert isinstance(next_step(again, SLOT, context(), NOW), Do)


@pytest.mark.parametrize("why", ["another type", "compromised"])
def test_a_request_for_a_key_that_may_not_be_certified_is_dropped(why: str) -> None:
    """Its key is destroyed like every other that nothing refers to."""
    record, about = travelled(begun()), context()
    assert record.requesting is not None
    key = record.requesting.phase.key
    if why == "compromised":
        record = revoking.compromised(record, frozenset({key}), moment())
    else:
        about = context(certificate_table(key=Key(token="hsm", type="rsa-3072")))
    after = reconcile(record, about, moment(token="cd" * 16))
    assert after.requesting is None
    assert record.requesting is not None
    busy = replace(record, requesting=replace(record.requesting, running=True))
    assert reconcile(busy, about, moment()).requesting is not None


def test_what_is_imported_is_published_and_deployed() -> None:
    """An order under way ends with it; renewals go back to the CA by the plan."""
    job = issue_job(PHASES["key-made"])
    signed = travelled(begun())
    assert signed.requesting is not None
    key = signed.requesting.phase.key
    record = replace(signed, issue=job, wanted=context().wanted, renew_asked=NOW)
    taken = issuing.imported(
        record, effects.Downloaded(checked(7)), context(), moment()
    )
    assert (taken.issue, taken.requesting, taken.renew_asked) == (None, None, None)
    current = taken.current
    assert current is not None
    assert (current.key, current.order, current.serial) == (key, "", "7")
    after = reconcile(taken, context(), moment())
    assert list(after.deploy) == [""]
    assert after.deploy[""].phase.publication == 2
    assert after.issue is None
    assert after.retire == {}


@pytest.mark.parametrize(
    "table",
    [
        certificate_table(must_staple=True),
        certificate_table(profile=Profile(name="short", required=False)),
    ],
)
def test_what_is_imported_is_what_was_configured(table: Certificate) -> None:
    """So it is not ordered at once again, nor is its renewal information asked for."""
    about = context(table)
    taken = issuing.imported(
        travelled(begun()), effects.Downloaded(checked(7)), about, moment()
    )
    after = reconcile(taken, about, moment())
    assert (after.issue, after.renewal_info) == (None, None)
    again = request.begin(travelled(begun()), about, moment(token="cd" * 16))
    assert again.requesting is not None
    assert isinstance(again.requesting.phase, RequestSigned) != table.must_staple


def test_a_ca_that_did_not_issue_it_is_not_asked_to_revoke_it() -> None:
    """It came by hand; the record says so."""
    taken = issuing.imported(
        travelled(begun()), effects.Downloaded(checked(7)), context(), moment()
    )
    assert taken.current is not None
    issued = taken.issued_as(taken.current.fingerprint)
    assert issued is not None
    assert (issued.directory, issued.account) == ("", "")


def test_a_certificate_by_acme_ends_the_request() -> None:
    """The CA is back; nobody has to take anything anywhere."""
    record = travelled(begun())
    assert record.requesting is not None
    job = issue_job(PHASES["downloading"])
    job = replace(job, phase=replace(job.phase, key=record.requesting.phase.key))
    record = replace(record, issue=job, wanted=context().wanted)
    step = next_step(record, Slot("issue"), context(), NOW + timedelta(seconds=1))
    assert isinstance(step, Do)
    outcome = effects.Downloaded(checked(7))
    after = fold(record, Slot("issue"), step.effect, outcome, context(), moment())
    assert after.requesting is None
