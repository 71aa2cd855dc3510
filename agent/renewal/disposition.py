"""The one table that decides what follows from a failure.

Keys are `AgentError.kind`; for problem documents `acme:<type>`. A type that nobody
has told us about is decided by its HTTP status.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from agent.acme.errors import ProblemError
from agent.acme.problem import Problem, printable
from agent.errors import AgentError
from agent.records.job import Disposition, Failure

_NOW: Final = Disposition.RETRY_NOW
_BACK: Final = Disposition.BACK_OFF
_WAIT: Final = Disposition.WAIT_UNTIL
_OPERATOR: Final = Disposition.NEEDS_OPERATOR

TABLE: Final[Mapping[str, Disposition]] = {
    # ours: what this host and its parts do
    "agent": _OPERATOR,
    "config": _OPERATOR,
    "file": _BACK,
    "state.record": _OPERATOR,
    "state.store": _BACK,
    "transport": _BACK,
    "transport.client-identity": _OPERATOR,
    "transport.refused": _OPERATOR,
    "preflight.storage": _BACK,
    "program": _BACK,
    "publication": _BACK,
    "token": _BACK,
    "token.absent": _WAIT,
    "token.hung": _WAIT,
    "token.pin-missing": _WAIT,
    "token.pin-unproven": _BACK,
    "token.pin-refused": _OPERATOR,
    "token.pin-locked": _OPERATOR,
    "token.mechanism": _OPERATOR,
    "token.key-policy": _OPERATOR,
    "token.key-missing": _OPERATOR,
    "token.module": _BACK,
    "token.ambiguous": _OPERATOR,
    "endpoint": _BACK,
    "endpoint.address": _OPERATOR,
    "endpoint.down": _WAIT,
    "endpoint.deaf": _OPERATOR,
    "endpoint.denied": _OPERATOR,
    "endpoint.failed": _BACK,
    "solver": _BACK,
    "solver.attestation": _BACK,
    "solver.attestation-denied": _OPERATOR,
    "solver.attestation-mismatch": _OPERATOR,
    "solver.authority": _BACK,
    "solver.authority-denied": _OPERATOR,
    "solver.bind": _BACK,
    "solver.busy": _WAIT,
    "solver.dns-lookup": _BACK,
    "solver.dns-propagation": _BACK,
    "solver.dns-update": _BACK,
    "solver.issuer-names": _OPERATOR,
    "solver.persistent-record": _OPERATOR,
    "solver.publish": _BACK,
    "solver.self-check": _BACK,
    "solver.token-syntax": _OPERATOR,
    # asked by people and by systemd; no job raises them, the table stays total
    "audit": _BACK,
    "audit.busy": _BACK,
    "audit.entry": _OPERATOR,
    "bootstrap": _OPERATOR,
    "bootstrap.clock": _WAIT,
    "bootstrap.early": _WAIT,
    "bootstrap.expired": _OPERATOR,
    "bootstrap.format": _OPERATOR,
    "bootstrap.instance": _OPERATOR,
    "bootstrap.rollback": _OPERATOR,
    "bootstrap.secret": _OPERATOR,
    "bootstrap.signature": _OPERATOR,
    "bootstrap.unwanted": _OPERATOR,
    "control": _OPERATOR,
    "control.bind": _OPERATOR,
    "control.denied": _OPERATOR,
    "control.later": _WAIT,
    "control.malformed": _OPERATOR,
    "control.refused": _OPERATOR,
    "control.timeout": _BACK,
    "control.unknown-verb": _OPERATOR,
    "control.unreachable": _BACK,
    "health.bind": _OPERATOR,
    "listener.bind": _OPERATOR,
    "systemd": _BACK,
    # a list that is not taken is asked for again: who signs or serves it may mend it
    "trust": _BACK,
    "trust.bounds": _BACK,
    "trust.empty": _BACK,
    "trust.entry": _BACK,
    "trust.expired": _BACK,
    "trust.format": _BACK,
    "trust.overrulable": _BACK,
    "trust.rollback": _BACK,
    "trust.signature": _BACK,
    "trust.source": _BACK,
    "trust.step": _BACK,
    "trust.unknown": _WAIT,
    "pki.chain": _OPERATOR,
    "pki.status": _BACK,
    "pki.uri": _OPERATOR,
    "retrieval": _BACK,
    "retrieval.forbidden": _OPERATOR,
    "sba.acceptance": _OPERATOR,
    "sba.lint": _OPERATOR,
    "acme.not-found": _BACK,
    "acme.protocol": _BACK,
    "acme.problem": _BACK,
    "acme.account-closed": _OPERATOR,
    "acme.eab-key": _OPERATOR,
    "acme.eab-used": _OPERATOR,
    "acme.key-change-missing": _OPERATOR,
    "acme.key-change-refused": _OPERATOR,
    "acme.authority-token": _OPERATOR,
    "acme.challenge-unavailable": _OPERATOR,
    "acme.not-offered": _OPERATOR,
    "acme.order-mismatch": _OPERATOR,
    "acme.key-reuse": _OPERATOR,
    "acme.renewal-info": _BACK,
    "acme.replaces-refused": _NOW,
    "acme.profile-refused": _NOW,
    "acme.star-refused": _NOW,
    "acme.profile-unavailable": _OPERATOR,
    "deploy.broken": _BACK,
    "deploy.down": _WAIT,
    "deploy.foreign": _BACK,
    "deploy.old": _BACK,
    "deploy.reverted": _BACK,
    "acme.order-lost": _BACK,
    "acme.order-invalid": _BACK,
    "acme.order-expired": _BACK,
    # theirs: RFC 8555 section 6.7, RFC 8739, RFC 9115, RFC 9773, RFC 9799, drafts
    "acme:accountDoesNotExist": _NOW,
    "acme:alreadyReplaced": _NOW,
    "acme:alreadyRevoked": _NOW,
    "acme:autoRenewalCanceled": _BACK,
    "acme:autoRenewalCancellationInvalid": _OPERATOR,
    "acme:autoRenewalExpired": _BACK,
    "acme:autoRenewalRevocationNotSupported": _OPERATOR,
    "acme:badAttestationStatement": _OPERATOR,
    "acme:badCSR": _OPERATOR,
    "acme:badNonce": _BACK,
    "acme:badPublicKey": _OPERATOR,
    "acme:badRevocationReason": _OPERATOR,
    "acme:badSignatureAlgorithm": _OPERATOR,
    "acme:caa": _OPERATOR,
    "acme:compound": _OPERATOR,
    "acme:connection": _BACK,
    "acme:dns": _BACK,
    "acme:externalAccountRequired": _OPERATOR,
    "acme:incorrectResponse": _BACK,
    "acme:invalidContact": _OPERATOR,
    "acme:invalidProfile": _OPERATOR,
    "acme:malformed": _OPERATOR,
    "acme:onionCAARequired": _OPERATOR,
    "acme:orderNotReady": _NOW,
    "acme:rateLimited": _WAIT,
    "acme:rejectedIdentifier": _OPERATOR,
    "acme:serverInternal": _BACK,
    "acme:tls": _BACK,
    "acme:unauthorized": _OPERATOR,
    "acme:unknownDelegation": _OPERATOR,
    "acme:unsupportedContact": _OPERATOR,
    "acme:unsupportedIdentifier": _OPERATOR,
    "acme:userActionRequired": _OPERATOR,
}

MAX_TOKEN: Final = 100
"""Characters of a problem's type that a slug keeps; no registered one is longer."""
LASTING: Final = (_NOW, _BACK, _WAIT, _OPERATOR)
"""Dispositions, the most lasting one at the end."""
_NOT_FOUND: Final = 404
_PASSING: Final = frozenset({408, 425})
"""Request Timeout and Too Early: the same request may pass later."""
_COMPOUND: Final = "acme:compound"
_SERVER_ERROR: Final = 500
_RATE_LIMITED: Final = 429


def failure_of(error: AgentError, now: datetime) -> Failure:
    """Return an error as the durable value that a job keeps."""
    kind = kind_of(error)
    disposition = TABLE.get(kind, Disposition.NEEDS_OPERATOR)
    if isinstance(error, ProblemError):
        disposition = _of_problem(error.problem, kind, error.status)
        if disposition is Disposition.WAIT_UNTIL and error.retry_at is None:
            # Retry-After is only a SHOULD (section 6.6): without it a limit is met by
            # our own back-off, not by what awaits a part that comes back by itself.
            disposition = Disposition.BACK_OFF
    if error.retry_at is not None and disposition is Disposition.BACK_OFF:
        disposition = Disposition.WAIT_UNTIL
    return Failure(
        kind=kind,
        message=str(error),
        hint=error.hint,
        at=now,
        retry_at=error.retry_at,
        disposition=disposition,
    )


def _of_problem(problem: Problem, kind: str, status: int) -> Disposition:
    """Return what follows from a problem; from its parts where it is `compound`.

    The most lasting part decides (section 6.7.1): what waits for a person is not mended
    by trying the others again.
    """
    if kind != _COMPOUND or not problem.subproblems:
        return TABLE.get(kind) or by_status(status)
    # A compound in a compound is against the standard, and a person's.
    parts = [
        TABLE.get(f"acme:{part.token}") or by_status(status)
        for part in problem.subproblems
    ]
    return max(parts, key=LASTING.index)


def kind_of(error: AgentError) -> str:
    """Return the slug of an error; for a problem document that of its type.

    A resource that is gone (404) is told apart: CAs call that `malformed`, and an order
    or an authorization that a CA has forgotten needs no operator. Too many requests
    (429) are a limit, also where something in between says so without a document.
    """
    if isinstance(error, ProblemError):
        if error.status == _RATE_LIMITED and error.problem.type == "about:blank":
            return "acme:rateLimited"
        vague = error.problem.token in {"malformed", "about:blank"}
        if vague and error.status == _NOT_FOUND:
            return "acme.not-found"
        return f"acme:{printable(error.problem.token, MAX_TOKEN)}"
    return error.kind


def by_status(status: int) -> Disposition:
    """Return the disposition of a problem type that the table does not know."""
    if status == _RATE_LIMITED:
        return Disposition.WAIT_UNTIL
    if status >= _SERVER_ERROR or status in _PASSING:
        return Disposition.BACK_OFF
    return Disposition.NEEDS_OPERATOR
