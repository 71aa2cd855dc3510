"""What a CA can answer to an issue job, and the job after it."""

from datetime import datetime, timedelta
from typing import Any

from agent.acme.identifiers import Identifier
from agent.acme.messages import Authorization, Challenge
from agent.acme.problem import Problem
from agent.jobs.issue import effects
from agent.jobs.issue.fold import fold
from agent.jobs.step import Failed
from agent.records.certificate import IssueJob
from tests.vectors.records import (
    NAME,
    ORDER,
    authorization,
    failure,
    issue_job,
    key_id,
    moment,
    order,
)

KEY = key_id(1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
VIEW = effects.View(account_ready=True, account_reason="", in_service_until=None)
CERTIFICATE = "https://ca.example/certificate/7"
ASKED = authorization()
EFFECTS: dict[str, effects.Effect] = {
    "make-key": effects.MakeKey(KEY),
    "create-order": effects.CreateOrder(KEY),
    "find-order": effects.FindOrder(KEY),
    "fetch-authorization": effects.FetchAuthorization(ASKED),
    "answer": effects.Answer(ASKED),
    "finalize": effects.Finalize(KEY, ORDER),
    "fetch-order": effects.FetchOrder(ORDER),
    "download": effects.Download(KEY, CERTIFICATE),
}
STATUSES = [
    "pending",
    "ready",
    "processing",
    "valid",
    "invalid",
    "canceled",
    "of-a-later-standard",
]


def shown(
    status: str, challenge: str = "pending", retry_at: datetime | None = None
) -> effects.AuthorizationSeen:
    """Return an authorization as the CA shows it."""
    error = Problem(type="urn:ietf:params:acme:error:dns", detail="no such name")
    refused = challenge == "invalid" or status == "invalid"
    seen = Authorization(
        identifier=Identifier(type="dns", value=NAME),
        status=status,
        challenges=(
            Challenge(
                type="http-01", url=ASKED.challenge, error=error if refused else None
            ),
        ),
    )
    return effects.AuthorizationSeen(
        seen, ASKED.challenge, ASKED.token, challenge, retry_at
    )


def after(
    phase: Any, effect: str, outcome: effects.Outcome, **envelope: Any
) -> IssueJob:
    """Return the job after an effect of a phase, at the moment of the tests."""
    started: dict[str, Any] = {"intent": effect, "running": True}
    job = issue_job(phase, **(started | envelope))
    return fold(job, EFFECTS[effect], outcome, VIEW, moment())


def failed(kind: str, **facts: Any) -> Failed:
    """Return the outcome of an effect that failed."""
    return Failed(failure(kind, **facts))


def seen(status: str, **members: Any) -> effects.OrderSeen:
    """Return the outcome that shows the order."""
    return effects.OrderSeen(ORDER.url, order(status, **members))
