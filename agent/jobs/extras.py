"""What a newOrder asks for beyond RFC 8555, less what its CA does not take.

What was refused is remembered with what the order is for (`Wanted.refused`): the next
renewal begins with all of it again.
"""

from typing import Final

from msgspec.structs import replace

from agent.jobs.context import Context
from agent.jobs.issue import effects as issue
from agent.records.certificate import CertificateRecord, IssueJob, Wanted
from agent.records.job import Failure

STAR: Final = "auto-renewal"
REFUSABLE: Final = {
    "acme.replaces-refused": "replaces",
    "acme.profile-refused": "profile",
    "acme:invalidProfile": "profile",
    "acme.star-refused": STAR,
}
"""Members of newOrder without which it is asked once more, by the refusal's kind."""
BROKEN: Final = frozenset({"acme:serverInternal", "acme:about:blank"})
"""Answers of a CA that has met an error of its own."""
PATIENCE: Final = 3
"""Such answers in a row to a new order after which it is asked for less."""


def extras_of(record: CertificateRecord, context: Context) -> issue.Extras:
    """Return what the next newOrder asks for, less what was refused already."""
    wanted = record.wanted
    if wanted is None:
        return issue.Extras()
    return issue.Extras(
        replaces="" if "replaces" in wanted.refused else _replaced(record, context),
        profile="" if "profile" in wanted.refused else wanted.profile,
        required=wanted.profile_required,
        star=None if STAR in wanted.refused else wanted.star,
    )


def _replaced(record: CertificateRecord, context: Context) -> str:
    """Return the name of the certificate that a renewal replaces, or empty.

    Only where the same account ordered it from the same CA: another one would be
    refused (RFC 9773 section 5).
    """
    current, account = record.current, context.account
    if current is None or account is None or not account.url:
        return ""
    ours = current.directory == account.directory and current.account_url == account.url
    return current.certid if ours else ""


def shed(
    record: CertificateRecord, job: IssueJob, effect: issue.CreateOrder, last: Failure
) -> CertificateRecord:
    """Return the record whose next order leaves out what may break the CA.

    A CA that errs whenever it is told what an order replaces, or asked for a series,
    would never issue again; after a few errors it is asked without, one by one.
    """
    asked = effect.extras
    optional = (("replaces", asked.replaces), (STAR, asked.star))
    sent = [member for member, value in optional if value]
    often = last.kind in BROKEN and job.failures + 1 >= PATIENCE
    if not (often and sent and record.wanted):
        return record
    return replace(record, wanted=without(record.wanted, sent[0]))


def without(wanted: Wanted, member: str) -> Wanted:
    """Return what is wanted after the CA has refused a member of newOrder."""
    required = member == "profile" and wanted.profile_required
    if required or member in wanted.refused:
        return wanted
    return replace(wanted, refused=(*wanted.refused, member))
