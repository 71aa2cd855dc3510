"""What becomes of an issue job after an effect."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.acme.messages import Authorization, Order
from agent.acme.problem import printable
from agent.jobs.envelope import backed_off, entered
from agent.jobs.issue.effects import (
    Answer,
    Answered,
    AuthorizationSeen,
    CreateOrder,
    Effect,
    FetchAuthorization,
    FetchOrder,
    Finalize,
    FindOrder,
    KeyExists,
    OrderNotFound,
    OrderSeen,
    Outcome,
    View,
)
from agent.jobs.issue.orders import certificate_of, remembered
from agent.jobs.step import Failed, Moment
from agent.records.certificate import IssueJob
from agent.records.job import Disposition, Failure
from agent.records.phases import (
    Answering,
    AuthorizationRecord,
    Downloading,
    Finalizing,
    KeyChosen,
    KeyMade,
    Processing,
)
from agent.renewal import backoff
from agent.renewal.disposition import TABLE

MAX_LOOKS: Final = 3
"""Failures after which a CA that does not manage to list orders is no longer asked."""
POLLS_BEFORE_AGAIN: Final = 10
"""Polls, some three minutes of them, after which a challenge that the CA shows as never
answered is answered again (RFC 8555 section 8.2)."""
MAX_POLLS: Final = 3000
"""A little more than a day of them: also an order without an expiry ends."""

_UNTYPED: Final = "acme:about:blank"
"""An error without a problem document: a server in between, most likely."""
_PASSING: Final = frozenset(
    {
        "acme.protocol",
        "acme:badNonce",
        "acme:serverInternal",
        "acme:rateLimited",
        _UNTYPED,
    }
)
"""What says nothing of the order itself; untyped, where its status is passing."""
_FINAL: Final = frozenset({"invalid", "expired", "deactivated", "revoked"})
"""States of an authorization that no order recovers from (section 7.1.6)."""
_REFUSED_MEMBERS: Final = frozenset(
    {"acme.replaces-refused", "acme.profile-refused", "acme.star-refused"}
)
"""A member of newOrder that the CA does not take: it is asked without, at once."""
_ENDING: Final = frozenset({"acme:accountDoesNotExist", "acme:invalidProfile"})
"""What ends an order at once: it went with its account, or with its profile."""


def fold(  # noqa: PLR0911 -- one arm an outcome
    job: IssueJob, effect: Effect, outcome: Outcome, view: View, moment: Moment
) -> IssueJob:
    """Return the job after an effect; `Downloaded` is settled by the caller."""
    match outcome:
        case Failed(failure):
            return _failed(job, effect, failure, view, moment)
        case KeyExists():
            return entered(job, KeyMade(key=job.phase.key))
        case OrderSeen():
            return _order_seen(job, effect, outcome, view, moment)
        case OrderNotFound() if not job.crashes:
            # The lost answer was counted as a failure already, and waited for.
            return entered(job, job.phase)
        case OrderNotFound():
            lost = "the answer to newOrder was lost and the ca does not list the order"
            return _over(job, "acme.order-lost", lost, view, moment)
        case AuthorizationSeen() if isinstance(effect, FetchAuthorization):
            return _authorization_seen(job, effect, outcome, view, moment)
        case Answered() if isinstance(effect, Answer):
            return _answered(job, effect, outcome, moment)
        case _:
            return entered(job, job.phase)


def _order_seen(  # noqa: PLR0911 -- one arm a state
    job: IssueJob, effect: Effect, seen: OrderSeen, view: View, moment: Moment
) -> IssueJob:
    key, order, record = job.phase.key, seen.order, remembered(job, seen)
    if _has_other_profile(job, order, view):
        reason = f"the ca's order has the profile {_shown(order.profile)}"
        reason = f"{reason} instead of {_shown(view.extras.profile)}"
        return _over(job, "acme.profile-unavailable", reason, view, moment)
    if isinstance(job.phase, KeyMade) and seen.ignored_star:
        # Believed, one certificate would be taken for a series. The caller remembers
        # it: the next order asks for none, at once.
        return entered(job, job.phase)
    match order.status:
        case "pending" if isinstance(job.phase, KeyMade):
            todo = tuple(AuthorizationRecord(url=u) for u in order.authorizations)
            return entered(job, Answering(key=key, order=record, authorizations=todo))
        case "ready" if isinstance(effect, Finalize):
            # The request was taken and nothing moved: again, but not at once.
            stay = Finalizing(key=key, order=record)
            return _poll(job, stay, seen.retry_at, view, moment)
        case "ready":
            return entered(job, Finalizing(key=key, order=record))
        case "valid" if url := certificate_of(order, record):
            phase = Downloading(key=key, order=record, certificate=url)
            return entered(job, phase)
        case "invalid":
            detail = order.error.describe() if order.error else "no reason given"
            reason = f"the ca gave the order up: {detail}"
            return _over(job, "acme.order-invalid", reason, view, moment)
        case _:
            # `processing`, or a state that we do not know: "poll again until expires".
            phase_after = (
                job.phase
                if isinstance(job.phase, Answering)
                else Processing(key=key, order=record)
            )
            return _poll(job, phase_after, seen.retry_at, view, moment)


def _has_other_profile(job: IssueJob, order: Order, view: View) -> bool:
    """Tell whether a new order lacks what is required: silence is no consent."""
    new = isinstance(job.phase, KeyMade) and view.extras.required
    return new and order.profile != view.extras.profile


def _shown(profile: str | None) -> str:
    return printable(profile, 100) if profile else "none"


def _is_preferred(view: View) -> bool:
    return bool(view.extras.profile) and not view.extras.required


def _authorization_seen(
    job: IssueJob,
    effect: FetchAuthorization,
    seen: AuthorizationSeen,
    view: View,
    moment: Moment,
) -> IssueJob:
    phase, asked = job.phase, effect.authorization
    if not isinstance(phase, Answering):
        return entered(job, phase)
    asked = _identified(asked, seen.authorization)
    match seen.authorization.status:
        case "valid":
            return _valid(job, phase, replace(asked, valid=True))
        case status if status in _FINAL or seen.challenge_status == "invalid":
            # Other challenges may still be open; this is the one that we can answer.
            refusal = _refusal(seen.authorization)
            return _over(job, "acme.order-invalid", refusal, view, moment)
        case "pending" if not asked.answered:
            fetched = replace(
                asked,
                challenge=seen.challenge,
                token=seen.token,
                issuers=seen.issuers,
                token_type=seen.token_type,
                authority=seen.authority,
                answered=seen.challenge_status != "pending",
            )
            return entered(job, _with(phase, fetched))
        case "pending" if _was_unheard(job, seen):
            again = entered(job, _with(phase, replace(asked, answered=False)))
            return replace(again, polls=job.polls + 1)
        case _:
            return _poll(job, phase, seen.retry_at, view, moment)


def _was_unheard(job: IssueJob, seen: AuthorizationSeen) -> bool:
    """Tell whether the CA seems not to know that the challenge was answered.

    Something in between may have said yes in its place. Some CAs show a challenge as
    pending while they validate it, so this takes its time.
    """
    in_vain = job.polls > 0 and job.polls % POLLS_BEFORE_AGAIN == 0
    return in_vain and seen.challenge_status == "pending"


def _valid(job: IssueJob, phase: Answering, now_valid: AuthorizationRecord) -> IssueJob:
    after = _with(phase, now_valid)
    if all(a.valid for a in after.authorizations):
        return entered(job, Finalizing(key=phase.key, order=phase.order))
    return entered(job, after)


def _answered(
    job: IssueJob, effect: Answer, outcome: Answered, moment: Moment
) -> IssueJob:
    if not isinstance(job.phase, Answering):
        return entered(job, job.phase)
    phase = _with(job.phase, replace(effect.authorization, answered=True))
    after = entered(job, phase)
    if not all(a.answered or a.valid for a in phase.authorizations):
        return after
    asked = None if outcome.retry_at is None else outcome.retry_at - moment.now
    wait = backoff.poll_delay(0, asked)
    # Answered again, the polls go on counting: they have an end.
    return replace(after, not_before=moment.now + wait, polls=job.polls + 1)


def _poll(
    job: IssueJob,
    phase: Answering | Finalizing | Processing,
    retry_at: datetime | None,
    view: View,
    moment: Moment,
) -> IssueJob:
    """Stay and ask again later, unless the order has expired meanwhile."""
    expires = phase.order.expires
    if expires is not None and moment.now >= expires:
        reason = "the order has expired"
        return _over(job, "acme.order-expired", reason, view, moment)
    asked = None if retry_at is None else retry_at - moment.now
    polls = job.polls if type(phase) is type(job.phase) else 0
    if polls >= MAX_POLLS:
        reason = f"the ca came to no end in {MAX_POLLS} polls"
        return _over(job, "acme.order-expired", reason, view, moment)
    wait = backoff.poll_delay(polls, asked)
    after = entered(job, phase)
    return replace(after, not_before=moment.now + wait, polls=polls + 1)


def _failed(  # noqa: PLR0911 -- one arm a kind of failure
    job: IssueJob, effect: Effect, failure: Failure, view: View, moment: Moment
) -> IssueJob:
    """Keep what can be continued, and begin again what cannot."""
    match effect, failure.kind:
        case CreateOrder(), kind if kind in _REFUSED_MEMBERS:
            # The caller remembers it: the next one goes without, at once.
            return entered(job, job.phase)
        case FindOrder(), _ if _is_unlistable(job, failure):
            reason = f"the ca does not list the lost order: {failure.message}"
            return _over(job, "acme.order-lost", reason, view, moment)
        case _ if _is_lost(effect, failure):
            # It may have arrived: the intent stays, so that it is looked for first.
            return replace(_back_off(job, failure, view, moment), intent=effect.name)
        case Finalize(), "acme:orderNotReady":
            return entered(job, Processing(key=effect.key, order=effect.order))
        case Finalize(), "acme:invalidProfile" if _is_preferred(view):
            # Withdrawn meanwhile; the caller remembers it: the next order goes without.
            passing = replace(failure, disposition=Disposition.BACK_OFF)
            return _order_over(job, passing, view, moment)
        case _ if _continues(failure) or _is_bad_request(effect, failure):
            return _back_off(job, failure, view, moment)
        case _ if _has_order(job) and _is_first_refusal(job, failure):
            # Its state is asked first: it may have been taken all the same.
            return replace(_back_off(job, failure, view, moment), intent=effect.name)
        case _:
            return _order_over(job, failure, view, moment)


def _is_bad_request(effect: Effect, failure: Failure) -> bool:
    """Tell whether the order stays ready (7.4): a new one would change nothing."""
    return isinstance(effect, Finalize) and failure.kind == "acme:badCSR"


def _has_order(job: IssueJob) -> bool:
    return not isinstance(job.phase, KeyChosen | KeyMade)


def _is_first_refusal(job: IssueJob, failure: Failure) -> bool:
    """Tell whether the order is looked at once more before it is given up.

    A CA, or a server before it, that refuses a request says nothing of the order's
    state: given up unseen, it would stay open there, or its certificate would be lost.
    """
    refused = failure.kind.startswith("acme:") and failure.kind not in _ENDING
    again = job.failure is not None and job.failure.kind == failure.kind
    return refused and not again


def _is_lost(effect: Effect, failure: Failure) -> bool:
    """Tell whether nobody knows what became of a request.

    No answer came, or that of something in between; an order was made and its answer
    cannot be used; or the look for what became of it did not get that far.
    """
    unclear = failure.kind in {"transport", _UNTYPED} and _is_passing(failure)
    match effect:
        case CreateOrder() | Answer():
            return unclear or failure.kind == "acme.protocol"
        case FindOrder() | FetchAuthorization() | FetchOrder():
            return _continues(failure)
        case _:
            return unclear


def _is_unlistable(job: IssueJob, failure: Failure) -> bool:
    """Tell whether looking for a lost order is given up: the CA will not list it."""
    if failure.retry_at is not None or not failure.kind.startswith(("acme:", "acme.")):
        return False
    again = job.failure is not None and job.failure.kind == failure.kind
    broken = failure.kind in {"acme.protocol", "acme:serverInternal", _UNTYPED}
    looked = broken and again and job.failures >= MAX_LOOKS
    return looked or not _continues(failure)


def _continues(failure: Failure) -> bool:
    """Tell whether the order survives this failure: it is ours, or passing."""
    ours = not failure.kind.startswith(("acme:", "acme.", "pki."))
    return ours or (failure.kind in _PASSING and _is_passing(failure))


def _is_passing(failure: Failure) -> bool:
    return failure.disposition is not Disposition.NEEDS_OPERATOR


def _over(
    job: IssueJob, kind: str, message: str, view: View, moment: Moment
) -> IssueJob:
    """Give the order up for a reason that no exception carried."""
    failure = Failure(
        kind=kind, message=message, at=moment.now, disposition=TABLE[kind]
    )
    return _order_over(job, failure, view, moment)


def _order_over(
    job: IssueJob, failure: Failure, view: View, moment: Moment
) -> IssueJob:
    """Give the order up; the next attempt reuses the key of this renewal."""
    phase = job.phase
    if not isinstance(phase, KeyChosen):
        phase = KeyMade(key=phase.key)
    return replace(_back_off(job, failure, view, moment), phase=phase)


def _back_off(job: IssueJob, failure: Failure, view: View, moment: Moment) -> IssueJob:
    return backed_off(job, failure, moment.draw, view.in_service_until)


def _with(phase: Answering, changed: AuthorizationRecord) -> Answering:
    after = tuple(changed if a.url == changed.url else a for a in phase.authorizations)
    return replace(phase, authorizations=after)


def _identified(
    asked: AuthorizationRecord, shown: Authorization
) -> AuthorizationRecord:
    return replace(
        asked,
        identifier=shown.identifier.value,
        identifier_type=shown.identifier.type,
        wildcard=shown.wildcard,
    )


def _refusal(authorization: Authorization) -> str:
    problems = [
        challenge.error.describe()
        for challenge in authorization.challenges
        if challenge.error is not None
    ]
    reason = "; ".join(problems) or "no reason given"
    name, status = authorization.identifier.value, authorization.status
    return f"the ca did not validate {name} ({status}): {reason}"
