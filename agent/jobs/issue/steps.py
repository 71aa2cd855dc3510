"""What comes next in an order: total over every phase and every lost answer."""

from datetime import datetime

from agent.jobs.issue.effects import (
    Answer,
    CreateOrder,
    Download,
    Effect,
    FetchAuthorization,
    FetchOrder,
    Finalize,
    FindOrder,
    MakeKey,
    View,
)
from agent.jobs.step import Do, Wait
from agent.records.certificate import IssueJob
from agent.records.job import Disposition
from agent.records.phases import (
    Answering,
    Downloading,
    Finalizing,
    KeyChosen,
    KeyMade,
    Processing,
)


def next_step(job: IssueJob, view: View, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now.

    An intent that is still there was followed by no outcome: the answer was lost, and
    what cannot be repeated is looked for first.
    """
    if job.not_before is not None and now < job.not_before:
        return Wait(until=job.not_before, reason=_why_waiting(job))
    if not view.account_ready and not isinstance(job.phase, KeyChosen):
        at = view.account_at
        until = at if at is not None and at > now else None
        return Wait(until=until, reason=view.account_reason)
    return Do(_effect(job, view))


def _effect(job: IssueJob, view: View) -> Effect:  # noqa: C901, PLR0911 -- one arm a phase
    phase, lost = job.phase, job.intent
    match phase:
        case KeyChosen():
            return MakeKey(phase.key)
        case KeyMade() if lost in {CreateOrder.name, FindOrder.name}:
            return FindOrder(phase.key)
        case KeyMade():
            return CreateOrder(phase.key, view.extras)
        case Answering():
            return _answering(phase, lost)
        case Finalizing() if lost in {Finalize.name, FetchOrder.name}:
            return FetchOrder(phase.order)
        case Finalizing():
            return Finalize(phase.key, phase.order)
        case Processing():
            return FetchOrder(phase.order)
        case Downloading():
            return Download(phase.key, phase.certificate, phase.order.star)


def _answering(phase: Answering, lost: str) -> Effect:
    """Answer everything first, so that the CA validates in parallel; then poll."""
    open_ones = [a for a in phase.authorizations if not a.valid]
    for authorization in open_ones:
        if not authorization.challenge:
            return FetchAuthorization(authorization)
    for authorization in open_ones:
        if not authorization.answered:
            # A challenge is answered once: after a lost answer its state is asked.
            if lost in {Answer.name, FetchAuthorization.name}:
                return FetchAuthorization(authorization)
            others = tuple(a for a in open_ones if a is not authorization)
            return Answer(authorization, others)
    if not open_ones:
        return FetchOrder(phase.order)
    return FetchAuthorization(open_ones[0], tuple(open_ones[1:]))


def is_presenting(job: IssueJob | None) -> bool:
    """Tell whether what is presented for a job stays so.

    A response that the CA refused is undone (RFC 8555 section 7.5.1) until it is given
    again; until any other answer the CA may look at any moment.
    """
    if job is None or not isinstance(job.phase, Answering):
        return False
    refused = job.failure is not None and (
        job.failure.disposition is Disposition.NEEDS_OPERATOR
    )
    return job.running or not (refused and job.intent == Answer.name)


def _why_waiting(job: IssueJob) -> str:
    if job.failure is not None and job.failures:
        return f"after {job.failures} failed attempts: {job.failure.message}"
    match job.phase:
        case _ if job.failure is not None:
            return job.failure.message
        case Answering():
            return "the ca validates"
        case Processing():
            return "the ca issues"
        case _:
            return "the ca asked for patience"
