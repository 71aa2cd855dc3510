"""The job that deactivates authorizations of orders that were given up.

RFC 8555 section 7.5.2. A CA keeps pending authorizations, and many count them against
the account. Best effort, and durable: what cannot be deactivated in a few tries expires
by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.account import why_unusable
from agent.jobs.authority import gated
from agent.jobs.context import Context
from agent.jobs.envelope import backed_off, entered
from agent.jobs.issue import effects as issue
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.records.abandonment import Abandoned, AbandonJob
from agent.records.certificate import CertificateRecord, IssueJob, Wanted
from agent.records.job import Failure
from agent.records.others import AccountRecord
from agent.records.phases import Answering, KeyChosen, KeyMade

MAX_KEPT: Final = 100
"""Authorizations that are remembered; an order of ours has no more."""
TRIES: Final = 3
"""Failures in a row after which one is left to expire."""
_PASSING: Final = frozenset(
    {
        "acme:badNonce",
        "acme:rateLimited",
        "acme:serverInternal",
        "acme:about:blank",
        "acme.protocol",
    }
)


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Look at an authorization, and deactivate it if it is pending."""

    authorization: str
    name = "deactivate-authorization"


Effect = Deactivate
Outcome = Performed | Failed


def next_step(
    record: CertificateRecord, job: AbandonJob, context: Context, now: datetime
) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    owner = owner_of(job.phase, context)
    unusable = "" if owner is None else why_unusable(owner)
    if unusable:
        return Wait(until=None, reason=unusable)
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the ca asked for patience"
        return Wait(until=job.not_before, reason=reason)
    free = _free(record, job)
    if not free:
        return Wait(until=None, reason="an order under way needs what is left")
    if job.phase.directory == context.directory:
        wait = gated(context.standing, now, urgent=False)
        if wait is not None:
            return wait
    return Do(Deactivate(free[0]))


def comes_first(record: CertificateRecord, context: Context) -> bool:
    """Tell whether a new order waits until what the last one left is cleared away.

    A CA may list a pending authorization again in the next order; deactivated then, it
    would spoil that one. Where deactivating fails, nobody waits for it; in an emergency
    nobody asks here.
    """
    job = record.abandon
    if job is None or job.phase.directory != context.directory:
        return False
    owner = owner_of(job.phase, context)
    usable = owner is not None and not why_unusable(owner)
    return usable and job.failure is None and not job.crashes


def _free(record: CertificateRecord, job: AbandonJob) -> tuple[str, ...]:
    """Return what the order under way does not list as well."""
    phase = None if record.issue is None else record.issue.phase
    needed: tuple[str, ...] = ()
    if phase is not None and not isinstance(phase, KeyChosen | KeyMade):
        needed = phase.order.authorizations
    return tuple(url for url in job.phase.authorizations if url not in needed)


def given_up(
    before: IssueJob, after: IssueJob, effect: issue.Effect, outcome: issue.Outcome
) -> tuple[str, ...]:
    """Return the authorizations that an effect has left behind, without valid ones."""
    if not isinstance(after.phase, KeyMade):
        return ()
    if isinstance(before.phase, KeyMade) and isinstance(outcome, issue.OrderSeen):
        return outcome.order.authorizations
    over: tuple[str, ...] = ()
    if isinstance(outcome, issue.AuthorizationSeen) and isinstance(
        effect, issue.FetchAuthorization
    ):
        ended = outcome.authorization.status != "pending"
        over = (effect.authorization.url,) if ended else ()
    return tuple(url for url in pending(before) if url not in over)


def pending(job: IssueJob) -> tuple[str, ...]:
    """Return the authorizations of an order under way that are not known as valid."""
    if not isinstance(job.phase, Answering):
        return ()
    return tuple(a.url for a in job.phase.authorizations if not a.valid)


def with_abandoned(
    record: CertificateRecord,
    urls: Iterable[str],
    wanted: Wanted | None,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the record with authorizations that are to be deactivated."""
    left = tuple(urls)
    account = None if wanted is None else _named(wanted.account, context)
    if not left or wanted is None or account is None or not account.url:
        return record
    owner = (wanted.ca, wanted.directory, account.url)
    job = record.abandon
    if job is not None:
        phase = job.phase
        if (phase.ca, phase.directory, phase.account) != owner:
            # Those of another CA go on first; these expire by themselves.
            return record
        more = tuple(url for url in left if url not in phase.authorizations)
        kept = (*phase.authorizations, *more)[:MAX_KEPT]
        grown = replace(job, phase=replace(phase, authorizations=kept))
        return replace(record, abandon=grown)
    begun = AbandonJob(
        id=f"{moment.token[:12]}-abandon",
        phase=Abandoned(
            ca=wanted.ca,
            directory=wanted.directory,
            account=account.url,
            authorizations=left[:MAX_KEPT],
        ),
        reason="an order was given up",
        created=moment.now,
    )
    return replace(record, abandon=begun)


def reconcile_abandoned(
    record: CertificateRecord, context: Context
) -> CertificateRecord:
    """Return the record without a job that nobody can sign for any more."""
    job = record.abandon
    if job is None or job.running or owner_of(job.phase, context) is not None:
        return record
    return replace(record, abandon=None)


def owner_of(phase: Abandoned, context: Context) -> AccountRecord | None:
    """Return the account that the authorizations belong to; None where it is gone.

    One that is closed signs nothing any more.
    """
    known = [*context.accounts.values()]
    if context.account is not None:
        known.append(context.account)
    owner = (phase.account, phase.directory)
    ours = (a for a in known if (a.url, a.directory) == owner and not a.closed)
    return next(ours, None)


def _named(name: str, context: Context) -> AccountRecord | None:
    own = context.account
    if own is not None and own.name == name:
        return own
    return context.accounts.get(name)


def fold(
    record: CertificateRecord,
    job: AbandonJob,
    effect: Effect,
    outcome: Outcome,
    moment: Moment,
) -> CertificateRecord:
    """Return the record after an effect: the next one, the same again, or the end."""
    if isinstance(outcome, Failed) and _again(job, outcome.failure):
        tried = backed_off(job, outcome.failure, moment.draw)
        return replace(record, abandon=tried)
    urls = job.phase.authorizations
    rest = tuple(url for url in urls if url != effect.authorization)
    if not rest:
        return replace(record, abandon=None)
    after = entered(job, replace(job.phase, authorizations=rest))
    return replace(record, abandon=replace(after, failures=0, failure=None))


def _again(job: AbandonJob, failure: Failure) -> bool:
    """Tell whether an authorization is tried again: the CA has not refused it."""
    ours = not failure.kind.startswith(("acme:", "acme."))
    return (ours or failure.kind in _PASSING) and job.failures + 1 < TRIES
