"""How a deployment stands in its certificate: what it is told, what it leaves behind.

It knows the record around the job. What an endpoint needs next is `agent.jobs.deploy`.
"""

from datetime import datetime

from msgspec.structs import replace

from agent.jobs import deploy
from agent.jobs.context import Context
from agent.jobs.references import kept
from agent.jobs.step import Moment, Performed
from agent.jobs.trusting import untrusting
from agent.records.certificate import CertificateRecord, DeployJob, EndpointRecord
from agent.records.keys import KeyState
from agent.records.phases import Stage


def view_of(
    record: CertificateRecord, name: str, context: Context, now: datetime
) -> deploy.View:
    """Return what the deployment to an endpoint is told."""
    endpoint, job = context.endpoint(name), record.deploy[name]
    previous = record.publication(job.phase.previous)
    keys = {key.id for key in record.keys if key.state is not KeyState.DESTROYED}
    gate = ""
    if record.replacing is not None:
        # Whoever asked for the replacement has released it.
        pass
    elif record.held:
        gate = "held by an operator"
    elif context.config.deploy == "manual" and record.released < job.phase.publication:
        gate = "waits for an operator's release"
    gate = gate or untrusting(record, context, endpoint, job.phase.publication)
    return deploy.View(
        told=endpoint is not None and endpoint.reload is not None,
        watched=endpoint is not None and endpoint.verify is not None,
        fingerprints={p.number: p.issuance.fingerprint for p in record.publications},
        revertible=previous is not None
        and job.phase.previous != job.phase.publication
        and previous.issuance.key in keys - record.compromised
        and record.revocation(previous.issuance.fingerprint) is None
        and previous.issuance.not_after > now,
        gate=gate,
    )


def fold(
    record: CertificateRecord,
    name: str,
    effect: deploy.Effect,
    outcome: deploy.Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of a deployment."""
    job = record.deploy[name]
    if isinstance(effect, deploy.Prune) and isinstance(outcome, Performed):
        rest = {other: job for other, job in record.deploy.items() if other != name}
        keep = kept(record, context, moment.now)
        publications = tuple(p for p in record.publications if p.number in keep)
        return replace(record, deploy=rest, publications=publications)
    view = view_of(record, name, context, moment.now)
    before = record.endpoints.get(name, EndpointRecord())
    after, endpoint = deploy.fold(job, before, outcome, view, moment)
    if after.phase.stage is Stage.PROVEN and job.phase.stage is not Stage.PROVEN:
        endpoint = _timed(endpoint, record, job, moment)
    return replace(
        record,
        deploy={**record.deploy, name: after},
        endpoints={**record.endpoints, name: endpoint},
    )


def _timed(
    endpoint: EndpointRecord, record: CertificateRecord, job: DeployJob, moment: Moment
) -> EndpointRecord:
    publication = record.publication(job.phase.publication)
    if publication is None:
        return endpoint
    span = (moment.now - publication.issuance.issued_at).total_seconds()
    return replace(endpoint, issued_to_served=span)
