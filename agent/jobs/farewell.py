"""The job that takes an endpoint out of service, and looks whether it is.

Its key is destroyed after that: an endpoint that still used it would stay up and fail
every handshake. An endpoint that is not running, or that nobody serves any more, has
left by itself.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.context import Context
from agent.jobs.envelope import backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.deployment import Sight, Sighting
from agent.records.ending import Farewell, FarewellJob, FarewellStage
from agent.records.job import Disposition, Failure

NOT_RUNNING: Final = "endpoint.down"
"""Kind of the failure that says so: what does not run need not be told."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Point `live` at what serves nothing."""

    name = "withdraw"


@dataclass(frozen=True, slots=True)
class Tell:
    """Signal or reload the endpoint."""

    name = "tell"


@dataclass(frozen=True, slots=True)
class LookAfter:
    """Look until none of these certificates is served, or until time is up."""

    fingerprints: frozenset[str]
    name = "look-after"


Effect = Withdraw | Tell | LookAfter


@dataclass(frozen=True, slots=True)
class LookedAfter:
    """What the addresses served at the end, and whether one of ours was among it."""

    sightings: tuple[Sighting, ...]
    served: bool


Outcome = Performed | LookedAfter | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a farewell must know of the world.

    Attributes:
        told: The endpoint is to be told.
        watched: Somebody can be asked what is served.
        fingerprints: Of every certificate of ours that has not ended.
    """

    told: bool
    watched: bool
    fingerprints: frozenset[str]


def begin(name: str, moment: Moment) -> FarewellJob:
    """Return a new farewell of an endpoint."""
    return FarewellJob(
        id=f"{moment.token[:12]}-{name}",
        phase=Farewell(),
        reason="its network function is decommissioned",
        created=moment.now,
    )


def view_of(record: CertificateRecord, name: str, context: Context) -> View:
    """Return what a farewell is told; an endpoint that was removed is only withdrawn.

    One whose operator stops it by himself (`farewell = "none"`) is looked at as well.
    """
    endpoint = context.endpoint(name)
    told = endpoint is not None and endpoint.farewell == "reload"
    published = {p.issuance.fingerprint for p in record.publications}
    return View(
        told=told and endpoint is not None and endpoint.reload is not None,
        watched=endpoint is not None and endpoint.verify is not None,
        fingerprints=frozenset(published | {i.fingerprint for i in record.issued}),
    )


def next_step(job: FarewellJob, view: View, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now; total over every stage."""
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the endpoint is given time"
        return Wait(until=job.not_before, reason=reason)
    match job.phase.stage:
        case FarewellStage.IN_SERVICE:
            return Do(Withdraw())
        case FarewellStage.WITHDRAWN:
            return Do(Tell())
        case FarewellStage.TOLD:
            return Do(LookAfter(view.fingerprints))


def fold(
    record: CertificateRecord,
    name: str,
    outcome: Outcome,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of a farewell."""
    job, view = record.farewell[name], view_of(record, name, context)
    endpoint = record.endpoints.get(name, EndpointRecord())
    match outcome:
        case LookedAfter(sightings, served):
            endpoint = replace(endpoint, sightings=sightings)
            record = _with_endpoint(record, name, endpoint)
            if not served:
                return _left(record, name, moment)
            after = _again(job, view, sightings, record.name, moment)
        case Failed(failure) if _is_told(job) and failure.kind == NOT_RUNNING:
            return _told(record, name, job, view, moment)
        case Failed(failure):
            after = backed_off(job, failure, moment.draw)
        case Performed() if _is_told(job):
            return _told(record, name, job, view, moment)
        case _:
            endpoint = replace(endpoint, live=0)
            record = _with_endpoint(record, name, endpoint)
            after = entered(job, Farewell(stage=FarewellStage.WITHDRAWN))
            if not view.told:
                return _told(record, name, after, view, moment)
    return replace(record, farewell={**record.farewell, name: after})


def _is_told(job: FarewellJob) -> bool:
    return job.phase.stage is FarewellStage.WITHDRAWN


def _told(
    record: CertificateRecord, name: str, job: FarewellJob, view: View, moment: Moment
) -> CertificateRecord:
    """Return the record with an endpoint that knows; where nobody can look, it left."""
    if not view.watched:
        return _left(record, name, moment)
    after = entered(job, Farewell(stage=FarewellStage.TOLD))
    return replace(record, farewell={**record.farewell, name: after})


def acknowledged(record: CertificateRecord, moment: Moment) -> CertificateRecord:
    """Return the record after an operator's word that its endpoints have stopped.

    What has not been withdrawn yet stays: its link still points to a publication. What
    a look shows that is under way is no news any more.
    """
    for name, job in record.farewell.items():
        if job.phase.stage is not FarewellStage.IN_SERVICE:
            record = _left(record, name, moment)
    return record


def _left(record: CertificateRecord, name: str, moment: Moment) -> CertificateRecord:
    """Return the record with an endpoint that is out of service."""
    rest = {other: job for other, job in record.farewell.items() if other != name}
    known = record.endpoints.get(name, EndpointRecord())
    gone = replace(known, live=0, proven=0, left_at=moment.now)
    return _with_endpoint(replace(record, farewell=rest), name, gone)


def _with_endpoint(
    record: CertificateRecord, name: str, endpoint: EndpointRecord
) -> CertificateRecord:
    return replace(record, endpoints={**record.endpoints, name: endpoint})


def _again(
    job: FarewellJob,
    view: View,
    sightings: tuple[Sighting, ...],
    certificate: str,
    moment: Moment,
) -> FarewellJob:
    """Return the job of an endpoint that still serves a certificate of ours."""
    served = (s.address for s in sightings if s.sight is Sight.SERVED)
    failure = Failure(
        kind="farewell.served",
        message=f"still served: {', '.join(served)}",
        hint=f"stop the service, or nfcertd ack {certificate} if it has stopped",
        at=moment.now,
        # Whoever stops it himself takes his time: that is awaited.
        disposition=Disposition.BACK_OFF if view.told else Disposition.WAIT_UNTIL,
    )
    stage = FarewellStage.WITHDRAWN if view.told else FarewellStage.TOLD
    return replace(
        backed_off(job, failure, moment.draw),
        phase=Farewell(stage=stage),
    )
