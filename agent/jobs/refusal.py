"""What becomes of an issuance that breaks its profile, and of one that does not.

It is not deployed. It is kept, because a CA's quota has paid for it and an operator may
know better; a new one is ordered once a day at most.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.errors import AgentError
from agent.jobs import revoking
from agent.jobs.context import Context
from agent.jobs.envelope import backed_off
from agent.jobs.step import Moment
from agent.jobs.trusting import trust_of
from agent.records.certificate import (
    CertificateRecord,
    Issuance,
    IssueJob,
    Publication,
    Refused,
)
from agent.records.job import Disposition, Failure
from agent.records.phases import KeyMade
from agent.renewal.backoff import DAILY
from agent.sba.findings import errors, told, weighed

KIND: Final = "sba.lint"
"""The failure of an issue job whose certificate was refused."""
REASON: Final = "superseded"
"""Why one is revoked where the configuration wants that: another takes its place."""


class AcceptanceError(AgentError):
    """There is nothing that could be accepted."""

    kind = "sba.acceptance"


def published(
    record: CertificateRecord, issuance: Issuance, context: Context
) -> CertificateRecord:
    """Return the record with an issuance that was ordered as its newest publication."""
    return replace(
        with_publication(record, issuance, context),
        issue=None,
        requesting=None,
        wanted=None,
        refused=None,
        renew_asked=None,
        parked={},
    )


def with_publication(
    record: CertificateRecord, issuance: Issuance, context: Context
) -> CertificateRecord:
    """Return the record with a further publication; what is under way goes on."""
    number = record.publication_count + 1
    publication = Publication(
        number=number,
        issuance=issuance,
        key=record.key(issuance.key),
        look=context.look,
        trust=trust_of(record, context),
    )
    return replace(
        record,
        renewal=None,
        publications=(*record.publications, publication),
        publication_count=number,
    )


def refused(
    record: CertificateRecord,
    job: IssueJob,
    issuance: Issuance,
    context: Context,
    moment: Moment,
) -> CertificateRecord:
    """Return the record with a refused issuance, and the next attempt in a day.

    The day stands as an instant before which nobody may ask again, so that neither an
    emergency nor the little that is left of a certificate brings it forward.
    """
    revoked = context.table is not None and context.table.on_lint_error == "revoke"
    record, failure = kept(record, issuance, moment, acceptable=not revoked)
    again = replace(job, phase=KeyMade(key=issuance.key))
    record = replace(
        record, renew_asked=None, issue=backed_off(again, failure, moment.draw)
    )
    issued = record.issued_as(issuance.fingerprint)
    # One of a series cannot be revoked (RFC 8739 section 3.1.2).
    if not revoked or issued is None or issued.series:
        return record
    why = "it breaks its profile"
    return revoking.begin(record, issued, moment, reason=REASON, why=why)


def kept(
    record: CertificateRecord,
    issuance: Issuance,
    moment: Moment,
    *,
    acceptable: bool = True,
) -> tuple[CertificateRecord, Failure]:
    """Return the record with a refused issuance, and the failure that says why."""
    accept = f"nfcertd accept {record.name} deploys it after all; "
    failure = Failure(
        kind=KIND,
        message=f"it breaks its profile: {told(errors(issuance.findings))}",
        hint=f"{accept if acceptable else ''}the levels of the rules are those of "
        f"ca.{issuance.ca}.lint",
        at=moment.now,
        retry_at=moment.now + DAILY,
        disposition=Disposition.NEEDS_OPERATOR,
    )
    refused_one = Refused(issuance=issuance, at=moment.now)
    return replace(record, refused=refused_one), failure


def reconsidered(
    record: CertificateRecord, context: Context, now: datetime
) -> CertificateRecord:
    """Return the record after a look at its refused issuance by today's configuration.

    It is published where the rules that it breaks are no errors any more, and forgotten
    where it has ended or something else is wanted now.
    """
    known = record.refused
    if known is None or (record.issue is not None and record.issue.running):
        return record
    issuance = known.issuance
    if issuance.not_after <= now or not _is_wanted(issuance, context):
        return replace(record, refused=None)
    findings = weighed(issuance.findings, context.wish.levels)
    if errors(findings) or record.held or _is_withdrawn(record, issuance):
        return record
    return published(record, replace(issuance, findings=findings), context)


def accepted(
    record: CertificateRecord, context: Context, now: datetime
) -> CertificateRecord:
    """Return the record after an operator has accepted its refused issuance.

    Raises:
        AcceptanceError: There is none that is still of use, or another one is ordered.
    """
    known = record.refused
    if known is None or not _is_wanted(known.issuance, context):
        raise AcceptanceError(f"{record.name} has no refused certificate")
    if known.issuance.not_after <= now or _is_withdrawn(record, known.issuance):
        raise AcceptanceError(
            f"the refused certificate of {record.name} has ended or is revoked"
        )
    if record.issue is not None and record.issue.running:
        raise AcceptanceError(
            f"another certificate is being ordered for {record.name}",
            hint="wait until it has been issued, or refused as well",
        )
    return published(record, known.issuance, context)


def _is_wanted(issuance: Issuance, context: Context) -> bool:
    known = {context.directory, *(a.directory for a in context.authorities)}
    return issuance.directory in known and context.is_about(issuance)


def _is_withdrawn(record: CertificateRecord, issuance: Issuance) -> bool:
    fingerprint = issuance.fingerprint
    revoked = fingerprint in record.revoke or record.revocation(fingerprint) is not None
    return revoked or issuance.key in record.compromised
