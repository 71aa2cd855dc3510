"""What is remembered of an order that a CA has shown."""

from agent.acme.messages import Order
from agent.jobs.issue.effects import OrderSeen
from agent.records.certificate import IssueJob
from agent.records.phases import KeyChosen, KeyMade, OrderRecord
from agent.records.star import StarTerms


def certificate_of(order: Order, record: OrderRecord) -> str:
    """Return where the certificate is; a STAR order has another member for it."""
    url = order.certificate if record.star is None else order.star_certificate
    return url or ""


def remembered(job: IssueJob, seen: OrderSeen) -> OrderRecord:
    """Return what is remembered of an order; its profile also when it is left out."""
    order, phase = seen.order, job.phase
    before = None if isinstance(phase, KeyChosen | KeyMade) else phase.order
    known = "" if before is None else before.profile
    return OrderRecord(
        url=seen.url,
        finalize=order.finalize,
        authorizations=order.authorizations,
        expires=order.expires,
        profile=order.profile or known,
        star=_terms(order) or (None if before is None else before.star),
    )


def _terms(order: Order) -> StarTerms | None:
    """Return what was agreed: what the CA reflects, whatever was asked for."""
    agreed = order.auto_renewal
    if agreed is None:
        return None
    return StarTerms(
        end=agreed.end_date,
        lifetime=agreed.lifetime,
        adjust=agreed.lifetime_adjust,
        get=agreed.allow_certificate_get,
    )
