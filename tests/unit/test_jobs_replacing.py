"""A replacement: its order of steps, and what it takes precedence over."""

from datetime import timedelta

from msgspec.structs import replace

from agent.config.endpoints import Endpoint, Verify
from agent.config.tokens import Key
from agent.jobs import replacing, revoking
from agent.jobs.certificate import next_step
from agent.jobs.deploying import view_of as deploy_view
from agent.jobs.reconcile import reconcile
from agent.jobs.retiring import view_of as retire_view
from agent.jobs.step import Do, Wait
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.phases import Stage
from agent.records.revocation import Replacement, ReplaceStage, Revocation
from agent.records.slots import Slot
from tests.vectors.records import (
    NOW,
    PHASES,
    certificate_table,
    context,
    deploy_job,
    enrolled,
    fingerprint,
    issue_job,
    issued,
    key_id,
    moment,
    publication,
)

REPLACE = Slot("replace")
OLD, NEW = key_id(1), key_id(2)


def begun(record: CertificateRecord | None = None) -> CertificateRecord:
    """Return a certificate whose key is compromised."""
    known = replace(record or enrolled(), issued=(issued(1), issued(2)))
    return replacing.begin(known, moment())


def at(stage: ReplaceStage, count: int = 2) -> CertificateRecord:
    """Return a certificate whose first key is being replaced by its second."""
    record = revoking.compromised(enrolled(count), frozenset({OLD}), moment())
    job = begun().replacing
    assert job is not None
    phase = Replacement(stage=stage, keys=(OLD,))
    return replace(
        record,
        issued=(issued(1), issued(2)),
        replacing=replace(job, phase=phase),
    )


def stage(record: CertificateRecord) -> ReplaceStage:
    """Return how far a replacement has come."""
    assert record.replacing is not None
    return record.replacing.phase.stage


def test_it_takes_every_key_that_is_in_use() -> None:
    """What an endpoint still serves is as compromised as the newest."""
    record = replace(enrolled(2), endpoints={"": EndpointRecord(live=1, proven=1)})
    after = replacing.begin(record, moment())
    assert after.replacing is not None
    assert after.replacing.phase.keys == (OLD, NEW)
    assert after.compromised == {OLD, NEW}


def test_a_new_key_is_ordered_first_whatever_rotate_and_hold_say() -> None:
    """Whoever says that a key is compromised wants it gone."""
    about = context(certificate_table(key=Key(token="hsm", rotate="never")))
    after = reconcile(replace(begun(), held=True), about, moment())
    assert stage(after) is ReplaceStage.ISSUING
    assert after.issue is not None
    assert after.issue.reason == "its key is compromised"
    assert after.issue.phase.key != OLD
    assert isinstance(next_step(after, Slot("issue"), about, NOW), Do)


def test_an_order_with_the_compromised_key_is_begun_anew() -> None:
    """Its key is never certified again; one that is under way is let finish."""
    job = issue_job(PHASES["key-made"])
    after = reconcile(replace(begun(), issue=job), context(), moment())
    assert after.issue is not None
    assert after.issue.phase.key != OLD


def test_a_manual_deployment_and_a_hold_do_not_stop_it() -> None:
    """The command is the release."""
    about = context(certificate_table(deploy="manual"))
    record = replace(at(ReplaceStage.DEPLOYING), held=True)
    record = replace(record, deploy={"": deploy_job(Stage.BASELINED)})
    assert deploy_view(record, "", about, NOW).gate == ""
    assert deploy_view(replace(record, replacing=None), "", about, NOW).gate != ""


def test_nothing_is_revoked_before_every_endpoint_is_proven() -> None:
    """A revoked certificate must not be in service anywhere."""
    record = at(ReplaceStage.DEPLOYING)
    behind = replace(record, endpoints={"": EndpointRecord(live=1, proven=1)})
    after = replacing.advance(behind, context(), moment())
    assert stage(after) is ReplaceStage.DEPLOYING
    assert after.revoke == {}
    after = replacing.advance(record, context(), moment())
    assert stage(after) is ReplaceStage.REVOKING
    assert list(after.revoke) == [fingerprint(1)]
    assert after.revoke[fingerprint(1)].phase.reason == "keyCompromise"


def test_an_endpoint_that_nobody_can_ask_waits_for_an_operator() -> None:
    """Its word is what proves it."""
    about = context(certificate_table(endpoints=(Endpoint(),)))
    asked = EndpointRecord(live=2, proven=2, by="nobody-asked")
    record = replace(at(ReplaceStage.DEPLOYING), endpoints={"": asked})
    step = next_step(record, REPLACE, about, NOW)
    assert isinstance(step, Wait)
    assert "nfcertd ack amf1" in step.reason
    acknowledged = replace(record, endpoints={"": replace(asked, by="operator")})
    after = replacing.advance(acknowledged, about, moment())
    assert stage(after) is ReplaceStage.REVOKING


def test_the_endpoint_that_is_behind_is_named() -> None:
    """Several endpoints are proven each by itself."""
    endpoints = (
        Endpoint(name="a", verify=Verify(connect="192.0.2.1:443")),
        Endpoint(name="b", verify=Verify(connect="192.0.2.2:443")),
    )
    about = context(certificate_table(endpoints=endpoints))
    known = {"a": EndpointRecord(proven=2, by="wire"), "b": EndpointRecord(proven=1)}
    record = replace(at(ReplaceStage.DEPLOYING), endpoints=known)
    step = next_step(record, REPLACE, about, NOW)
    assert step == Wait(until=None, reason="the new certificate is proven first at b")


def test_the_key_outlives_its_revocation_and_nothing_more() -> None:
    """It is destroyed without grace, once what it signed is revoked."""
    revoking_ = at(ReplaceStage.REVOKING)
    kept = reconcile(revoking_, context(), moment())
    assert kept.retire == {}
    revocation = Revocation(at=NOW, reason="keyCompromise", ours=True)
    revoked = replace(kept, revoke={}).with_revocation(fingerprint(1), revocation)
    after = reconcile(revoked, context(), moment())
    assert stage(after) is ReplaceStage.DESTROYING
    assert list(after.retire) == [OLD]
    assert retire_view(after, OLD, context()).grace == timedelta(0)
    assert isinstance(next_step(after, Slot("retire", OLD), context(), NOW), Do)
    gone = replace(after, retire={}, keys=after.keys[1:])
    assert reconcile(gone, context(), moment()).replacing is None


def test_a_key_that_is_the_hsms_to_destroy_does_not_hold_it_up() -> None:
    """Revoked everywhere is as far as it can come."""
    record = at(ReplaceStage.DESTROYING)
    about = context(never_destroy=True)
    assert replacing.advance(record, about, moment()).replacing is None
    assert replacing.advance(record, context(), moment()).replacing is not None


def test_a_certificate_of_the_key_that_ended_needs_no_revocation() -> None:
    """Nobody believes it any more."""
    record = at(ReplaceStage.DEPLOYING)
    ended = replace(record, issued=(replace(issued(1), not_after=NOW),))
    after = replacing.advance(ended, context(), moment())
    assert stage(after) is ReplaceStage.DESTROYING


def test_nothing_goes_back_to_a_compromised_or_revoked_certificate() -> None:
    """A broken endpoint is told again instead."""
    record = replace(enrolled(2), deploy={"": deploy_job(Stage.PROVING, previous=1)})
    record = replace(record, issued=(issued(1), issued(2)))
    assert deploy_view(record, "", context(), NOW).revertible
    stolen = revoking.compromised(record, frozenset({OLD}), moment())
    assert not deploy_view(stolen, "", context(), NOW).revertible
    revocation = Revocation(at=NOW, reason="superseded", ours=True)
    revoked = record.with_revocation(fingerprint(1), revocation)
    assert not deploy_view(revoked, "", context(), NOW).revertible


def test_an_adopted_key_that_is_compromised_orders_nothing() -> None:
    """Only who gave it can give another one: an alarm says so."""
    table = certificate_table(
        key=Key(
            token="hsm",
            adopt=f"pkcs11:id=%{'%'.join(OLD[i : i + 2] for i in range(0, 32, 2))}",
        )
    )
    known = enrolled()
    adopted = replace(known.keys[0], adopted=True)
    shown = replace(publication(1), key=adopted)
    record = replace(known, keys=(adopted,), publications=(shown,))
    record = revoking.compromised(record, frozenset({OLD}), moment())
    after = reconcile(record, context(table), moment())
    assert after.issue is None
    assert "adopted" in after.alarms["key-compromised"].action
