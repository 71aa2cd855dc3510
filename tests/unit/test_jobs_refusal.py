"""A certificate that breaks its profile is kept, and used only on somebody's word."""

from dataclasses import replace as changed
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.config.authorities import Ca
from agent.config.nf import Nf
from agent.events import narrate
from agent.jobs.certificate import fold, next_step
from agent.jobs.context import Context
from agent.jobs.issue import effects
from agent.jobs.reconcile import reconcile
from agent.jobs.references import needed_keys
from agent.jobs.refusal import KIND, AcceptanceError, accepted
from agent.jobs.step import Do, Wait
from agent.records.certificate import CertificateRecord
from agent.records.job import Disposition, Severity
from agent.records.phases import KeyMade
from agent.records.revocation import Revocation
from agent.records.slots import Slot
from agent.sba.findings import Finding, Level
from agent.views import certificate_view
from tests.vectors.records import (
    DAY,
    DIRECTORY,
    NOW,
    PHASES,
    certificate_table,
    checked,
    context,
    enrolled,
    fingerprint,
    issue_job,
    key,
    moment,
)
from tests.vectors.sba import HOME, UUID

ISSUE = Slot("issue")
DOWNLOAD = effects.Download("k", "https://ca.example/certificate/7")
NF = Nf(instance_id=UUID, types=("AMF",), fqdn=f"amf1.{HOME}")
BAD = Finding(rule="san-uri", level=Level.ERROR, text="nothing instead of a uri")
ODD = Finding(rule="san-critical", level=Level.WARN, text="it is not critical")


def about(**settings: object) -> Context:
    """Return the context of a certificate of an NF at a CA with these settings."""
    table = Ca(directory=DIRECTORY, roots="/root.pem", **settings)  # type: ignore[arg-type]  # a table of tests
    base = context(certificate_table(nf="amf1", names=(f"amf1.{HOME}",)))
    return changed(base, nf=NF, table=table)


PLAIN = about()


def begun() -> CertificateRecord:
    """Return a certificate in service whose renewal is about to be downloaded."""
    record = enrolled()
    current = replace(
        record.publications[0].issuance, content=PLAIN.wish.profile.digest
    )
    served = replace(record.publications[0], issuance=current, look=PLAIN.look)
    return replace(
        record,
        publications=(served,),
        keys=(*record.keys, key(2)),
        key_count=2,
        issue=issue_job(PHASES["downloading"]),
        wanted=PLAIN.wanted,
    )


def downloaded(*findings: Finding, told: Context = PLAIN) -> CertificateRecord:
    """Return the record after the download of a certificate with these findings."""
    record = begun()
    assert record.issue is not None
    job = replace(
        record.issue, phase=replace(record.issue.phase, key=key(2).id), running=True
    )
    outcome = effects.Downloaded(checked(7), findings=findings)
    before = replace(record, issue=job)
    return fold(before, ISSUE, DOWNLOAD, outcome, told, moment())


def test_a_certificate_that_breaks_its_profile_is_kept_and_not_published() -> None:
    """The one in service stays, an operator is asked, the key is kept."""
    record = downloaded(BAD, ODD)
    assert record.publication_count == 1
    assert record.refused is not None
    assert record.refused.issuance.fingerprint == fingerprint(7)
    assert record.refused.issuance.findings == (BAD, ODD)
    assert record.issued[-1].fingerprint == fingerprint(7)
    job = record.issue
    assert job is not None
    assert job.failure is not None
    assert job.failure.kind == KIND
    assert job.failure.disposition is Disposition.NEEDS_OPERATOR
    assert job.failure.message == (
        "it breaks its profile: san-uri: nothing instead of a uri"
    )
    assert "nfcertd accept amf1" in job.failure.hint
    assert key(2).id in needed_keys(replace(record, issue=None), PLAIN, NOW)
    alarm = reconcile(record, PLAIN, moment()).alarms["issue-failing"]
    assert (alarm.severity, alarm.cause) == (Severity.MAJOR, job.failure.message)


def test_one_new_order_a_day_at_most() -> None:
    """Neither an emergency nor a short life brings the next one forward."""
    record = reconcile(downloaded(BAD), PLAIN, moment())
    current = record.publications[0]
    ending = replace(current.issuance, not_after=NOW + timedelta(hours=2))
    record = replace(record, publications=(replace(current, issuance=ending),))
    almost = NOW + DAY - timedelta(seconds=1)
    assert isinstance(next_step(record, ISSUE, PLAIN, almost), Wait)
    later = NOW + DAY + timedelta(minutes=2)
    assert next_step(record, ISSUE, PLAIN, later) == Do(effects.CreateOrder(key(2).id))


def test_a_warning_is_used_and_shown() -> None:
    """It is published like any other; status, events and metrics have the finding."""
    before, record = begun(), downloaded(ODD)
    assert record.publication_count == 2
    assert record.refused is None
    view = certificate_view(record, PLAIN, NOW)
    assert view.findings == (ODD,)
    events = {e.kind: e for e in narrate(before, record)}
    assert events["certificate.profile"].fields["rules"] == "san-critical"


def test_an_operator_accepts_what_was_refused() -> None:
    """It is published next like any other, and an event says by whom."""
    refused = downloaded(BAD)
    record = accepted(refused, PLAIN, NOW + DAY)
    assert record.publication_count == 2
    assert record.current is not None
    assert record.current.fingerprint == fingerprint(7)
    assert (record.refused, record.issue) == (None, None)
    assert [i.fingerprint for i in record.issued] == [fingerprint(7)]
    settled = reconcile(record, PLAIN, moment(NOW + DAY))
    assert settled.issue is None
    assert settled.deploy[""].phase.publication == 2
    told = {e.kind: e.text for e in narrate(refused, record)}
    assert told["certificate.accepted"] == (
        "certificate 7 is accepted after all by an operator"
    )
    refusal = {e.kind: e.fields for e in narrate(begun(), refused)}
    assert refusal["certificate.refused"]["rules"] == "san-uri"


def test_a_rule_that_is_no_error_any_more_accepts_by_itself() -> None:
    """The configuration is the operator's word as well; what is left is a warning."""
    lenient = about(lint={"san-uri": "warn"})
    refused = reconcile(downloaded(BAD), PLAIN, moment())
    assert refused.refused is not None
    record = reconcile(refused, lenient, moment())
    assert record.publication_count == 2
    assert record.current is not None
    assert record.current.findings == (replace(BAD, level=Level.WARN),)
    told = {e.kind: e.text for e in narrate(refused, record)}
    assert told["certificate.accepted"].endswith("by the configuration")
    held = replace(refused, held=True)
    assert reconcile(held, lenient, moment()).publication_count == 1
    under_way = reconcile(_running(refused), lenient, moment())
    assert under_way.publication_count == 1


def _running(record: CertificateRecord) -> CertificateRecord:
    assert record.issue is not None
    return replace(record, issue=replace(record.issue, running=True))


def test_what_is_no_longer_wanted_is_forgotten() -> None:
    """Another profile, another CA, or an end: accepting it would be a mistake."""
    refused = downloaded(BAD)
    other = changed(PLAIN, nf=replace(NF, types=("SMF",)))
    assert reconcile(refused, other, moment()).refused is None
    away = changed(PLAIN, directory="https://other.example/directory")
    assert reconcile(refused, away, moment()).refused is None
    assert reconcile(refused, PLAIN, moment(NOW + 90 * DAY)).refused is None
    assert reconcile(refused, PLAIN, moment()).refused is not None


def test_what_cannot_be_accepted_is_said() -> None:
    """Nothing refused, ended, revoked, compromised, or another order on its way."""
    refused = downloaded(BAD)
    gone = Revocation(at=NOW, reason="superseded", ours=True)
    stolen = refused.with_key(replace(key(2), compromised_at=NOW))
    cases = [
        (begun(), NOW, "has no refused certificate"),
        (refused, NOW + 90 * DAY, "has ended or is revoked"),
        (refused.with_revocation(fingerprint(7), gone), NOW, "ended or is revoked"),
        (stolen, NOW, "has ended or is revoked"),
        (_running(refused), NOW, "another certificate is being ordered"),
    ]
    for record, now, words in cases:
        with pytest.raises(AcceptanceError, match=words):
            accepted(record, PLAIN, now)


def test_it_is_revoked_only_where_the_configuration_says_so() -> None:
    """A CA whose mistakes must not live has them withdrawn at once."""
    record = downloaded(BAD, told=about(on_lint_error="revoke"))
    assert record.refused is not None
    job = record.revoke[fingerprint(7)]
    assert (job.phase.reason, job.reason) == (
        "superseded",
        "it breaks its profile, for superseded",
    )
    assert record.issue is not None
    assert record.issue.failure is not None
    assert "accept" not in record.issue.failure.hint
    assert reconcile(record, about(lint={"default": "off"}), moment()).refused
    assert downloaded(BAD).revoke == {}


def test_a_better_certificate_takes_the_place_of_a_refused_one() -> None:
    """The next order uses the same key; what was refused is forgotten."""
    refused = downloaded(BAD)
    assert refused.issue is not None
    assert refused.issue.phase == KeyMade(key=key(2).id)
    job = replace(issue_job(PHASES["downloading"]), id=refused.issue.id)
    job = replace(job, phase=replace(job.phase, key=key(2).id))
    again = replace(refused, issue=job)
    outcome = effects.Downloaded(checked(8))
    record = fold(again, ISSUE, DOWNLOAD, outcome, PLAIN, moment(NOW + DAY))
    assert record.refused is None
    assert record.publication_count == 2
    assert certificate_view(refused, PLAIN, NOW).refused is not None


def test_another_profile_orders_anew() -> None:
    """A changed NF is another certificate, also while one is being ordered."""
    other = changed(PLAIN, nf=replace(NF, types=("SMF",)))
    record = begun()
    assert reconcile(record, PLAIN, moment()).issue == record.issue
    restarted = reconcile(record, other, moment())
    assert restarted.issue is not None
    assert (
        restarted.issue.reason == "the configuration changed its names or its profile"
    )
    assert restarted.wanted == other.wanted
