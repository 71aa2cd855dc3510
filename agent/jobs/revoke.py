"""The job that has a certificate revoked (RFC 8555 section 7.6).

Idempotent: a CA that has revoked it already says so, and that is what was wanted. So a
lost answer needs no search; the same request is sent again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.envelope import backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Performed, Wait
from agent.pki.reasons import code_of
from agent.records.job import Failure
from agent.records.revocation import RevocationAsked, RevokeJob

_REFUSES_ACCOUNT: Final = frozenset({"acme:unauthorized", "acme:accountDoesNotExist"})


@dataclass(frozen=True, slots=True)
class Revoke:
    """Post revokeCert.

    Attributes:
        fingerprint: Which certificate.
        reason: The reason code; None says nothing.
        by_key: The certificate's own key signs, not the account's.
    """

    fingerprint: str
    reason: int | None
    by_key: bool
    name = "revoke"


Effect = Revoke
Outcome = Performed | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a revocation must know of the world.

    Attributes:
        fingerprint: Which certificate.
        account_ready: The account that ordered it has a URL.
        account_reason: Why it has none, for `plan`.
        key_exists: The certificate's key can still sign.
    """

    fingerprint: str
    account_ready: bool
    account_reason: str
    key_exists: bool


def next_step(job: RevokeJob, view: View, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now; by the other signer where one cannot sign."""
    phase = job.phase
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the ca asked for patience"
        return Wait(until=job.not_before, reason=reason)
    if not view.account_ready and not view.key_exists:
        return Wait(until=None, reason=f"{view.account_reason}, and its key is gone")
    wanted = view.key_exists if phase.by == "key" else not view.account_ready
    code = None if phase.bare else code_of(phase.reason)
    return Do(Revoke(view.fingerprint, code, by_key=wanted))


def fold(
    job: RevokeJob, outcome: Outcome, view: View, moment: Moment
) -> RevokeJob | None:
    """Return the job after an effect; None where the certificate is revoked."""
    match outcome:
        case Performed():
            return None
        case Failed(failure):
            return _failed(job, failure, view, moment)


def _failed(
    job: RevokeJob, failure: Failure, view: View, moment: Moment
) -> RevokeJob | None:
    phase = job.phase
    if failure.kind == "acme:alreadyRevoked":
        return None
    if failure.kind == "acme:badRevocationReason" and not phase.bare:
        # That it is revoked matters more than why.
        return _at_once(job, replace(phase, bare=True))
    by_account = phase.by == "account"
    if by_account and view.key_exists and failure.kind in _REFUSES_ACCOUNT:
        return _at_once(job, replace(phase, by="key"))
    return backed_off(job, failure, moment.draw)


def _at_once(job: RevokeJob, phase: RevocationAsked) -> RevokeJob:
    return replace(entered(job, phase), failure=None)
