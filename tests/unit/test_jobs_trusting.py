"""What lists of trusted roots mean for a certificate: files, gate, issuer."""

import dataclasses
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.config.endpoints import Endpoint
from agent.jobs import deploying
from agent.jobs.context import Context
from agent.jobs.reconcile import reason_to_issue, reconcile
from agent.jobs.step import Moment
from agent.jobs.trusting import trust_of
from agent.records.certificate import CertificateRecord, DeployJob
from agent.records.phases import Deployment, Stage
from agent.records.trust import ListedRoots
from tests.fakes.clock import START
from tests.fakes.subjects import context, deployed, table
from tests.vectors.trust import root

HOUR = timedelta(hours=1)
MOMENT = Moment(now=START + HOUR, draw=0.5, token="5" * 32)
VERIFYING = Endpoint(verify_peers=True)


def part(name: str, version: int, *numbers: int) -> ListedRoots:
    """Return a version of a list."""
    roots = "".join(root(number).pem for number in numbers)
    return ListedRoots(name=name, version=version, roots=roots)


def told(*parts: ListedRoots, lists: tuple[str, ...] = ("ours", "theirs")) -> Context:
    """Return a context whose lists trust this."""
    known = context(table("web", VERIFYING, trust=lists))
    return dataclasses.replace(known, trust=parts)


def published(*parts: ListedRoots) -> CertificateRecord:
    """Return a certificate whose publication trusts this, deployed and looked at."""
    record = deployed()
    look = told().look
    newest = replace(record.publications[0], trust=parts, look=look)
    return replace(record, publications=(newest,))


def test_a_changed_list_is_a_new_publication_of_the_same_issuance() -> None:
    """It is deployed and proven like a certificate, and nothing is ordered."""
    before = published(part("ours", 1, 1), part("theirs", 1, 3))
    now = told(part("ours", 2, 1, 2), part("theirs", 1, 3))
    after = reconcile(before, now, MOMENT)
    old, new = after.publications
    assert new.number == old.number + 1
    assert new.issuance == old.issuance
    assert [(p.name, p.version) for p in new.trust] == [("ours", 2), ("theirs", 1)]
    assert after.deploy[""].phase.publication == new.number
    assert after.issue is None
    assert reconcile(after, now, MOMENT) == after


def test_a_list_without_a_version_takes_nothing_away() -> None:
    """New, in quarantine, or emptied by an operator: what was trusted stays."""
    before = published(part("ours", 1, 1), part("theirs", 4, 3))
    now = told(part("ours", 2, 2))
    assert trust_of(before, now) == (part("ours", 2, 2), part("theirs", 4, 3))
    assert trust_of(before, told()) == before.publications[0].trust


def test_a_list_that_is_no_longer_configured_goes() -> None:
    """The operator took it away."""
    before = published(part("ours", 1, 1), part("theirs", 1, 3))
    now = told(part("ours", 1, 1), lists=("ours",))
    assert trust_of(before, now) == (part("ours", 1, 1),)
    assert trust_of(before, context()) == ()


@pytest.mark.parametrize(
    ("endpoint", "parts", "waits"),
    [
        (VERIFYING, (), True),
        (VERIFYING, (part("ours", 1, 1),), False),
        (Endpoint(), (), False),
    ],
)
def test_an_endpoint_that_verifies_peers_waits_for_their_roots(
    endpoint: Endpoint, parts: tuple[ListedRoots, ...], waits: bool
) -> None:
    """One root of one list is enough; who verifies nobody does not wait."""
    phase = Deployment(stage=Stage.BASELINED, publication=1)
    job = DeployJob(id="d", phase=phase, reason="r", created=START)
    record = replace(published(*parts), deploy={"": job})
    about = context(table("web", endpoint, trust=("ours",)))
    gate = deploying.view_of(record, "", about, START).gate
    assert gate == ("waits for the trusted roots of ours" if waits else "")


def test_a_certificate_is_replaced_when_its_issuers_anchor_leaves() -> None:
    """Before the overlap ends, and once: what the CA then issues is what it issues."""
    record = published()
    newest = record.publications[0]
    ours = replace(newest.issuance, anchor="a" * 64)
    record = replace(record, publications=(replace(newest, issuance=ours),))
    now = START + HOUR
    quiet = told()
    other = dataclasses.replace(quiet, leaving={"b" * 64: now})
    leaving = dataclasses.replace(quiet, leaving={"a" * 64: now})
    assert reason_to_issue(record, quiet, now) is None
    assert reason_to_issue(record, other, now) is None
    assert "anchor of its issuer" in str(reason_to_issue(record, leaving, now))
    again = replace(ours, issued_at=now + HOUR)
    record = replace(record, publications=(replace(newest, issuance=again),))
    assert reason_to_issue(record, leaving, now + HOUR) is None
