"""What operators demand of a certificate and cannot be taken back: revoke, replace.

Each is a pure edit of its record, refused with a reason where it cannot be done. Who
may demand it is decided before; the subject is repeated here as confirmation.
"""

from collections.abc import Callable, Mapping
from typing import Final

from agent.control.verbs import Argument
from agent.errors import AgentError
from agent.jobs import replacing, revoking
from agent.jobs.context import Context
from agent.jobs.star import close_one
from agent.jobs.status import ON_HOLD
from agent.jobs.step import Moment
from agent.pki.reasons import OURS
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState
from agent.records.revocation import IssuedRecord, Signer

Arguments = Mapping[str, Argument]
Edit = Callable[[CertificateRecord], CertificateRecord]


class CommandError(AgentError):
    """What was asked cannot be done."""

    kind = "control.refused"


def confirmed(name: str, arguments: Arguments) -> None:
    """Take the repeated subject as confirmation.

    Raises:
        CommandError: It was not repeated, or another one was.
    """
    if not name or arguments.get("confirm") != name:
        raise CommandError(
            "this cannot be taken back, and it is not confirmed",
            hint=f"repeat the name: --confirm {name[:64] or 'NAME'}",
        )


def revoke(
    record: CertificateRecord, asked: Arguments, moment: Moment
) -> CertificateRecord:
    """Return the record with the revocation that was asked for.

    Raises:
        CommandError: The reason, the signer or the certificate cannot be had.
    """
    reason, by = str(asked.get("reason", "")), str(asked.get("by") or "account")
    if reason not in OURS:
        raise CommandError(f"the reason is one of {', '.join(OURS)}")
    if by not in _SIGNERS:
        raise CommandError("who signs is either account or key")
    issued = _meant(record, str(asked.get("serial") or ""))
    known_as = issued.revocation
    if known_as is not None and known_as.reason != ON_HOLD:
        raise CommandError(f"certificate {issued.serial} is revoked already")
    if issued.series:
        return _cancelled(record, issued, moment)
    known = record.revoke.get(issued.fingerprint)
    if known is not None and known.running:
        raise CommandError("its revocation is being asked for at this moment")
    if by == "key" and not _can_sign(record, issued.key):
        raise CommandError(f"the key of certificate {issued.serial} is gone")
    return revoking.begin(record, issued, moment, reason=reason, by=_SIGNERS[by])


def _cancelled(
    record: CertificateRecord, issued: IssuedRecord, moment: Moment
) -> CertificateRecord:
    """Return the record with the series of a certificate being cancelled.

    A CA does not revoke one of a series (RFC 8739 section 3.1.2): it gets no successor,
    and its end is near. Another series, with another key, is ordered at once.
    """
    job = record.series.get(issued.series)
    if job is None:
        raise CommandError(
            f"certificate {issued.serial} is of a series that is over: it cannot be "
            f"revoked, and ends at {issued.not_after:%FT%TZ}"
        )
    if job.running:
        raise CommandError("its series is being fetched at this moment: ask again")
    return close_one(record, issued.series, moment, "an operator asked for it")


_SIGNERS: Final[Mapping[str, Signer]] = {"account": "account", "key": "key"}


def replace(
    record: CertificateRecord, context: Context, asked: Arguments, moment: Moment
) -> CertificateRecord:
    """Return the record with the replacement that was asked for.

    Raises:
        CommandError: It is not for a compromise, or the key is not ours to replace.
    """
    if asked.get("compromised") is not True:
        raise CommandError(
            "only a compromised key is replaced so",
            hint=f"nfcertd renew {record.name} gets a new certificate",
        )
    if context.config.key.adopt is not None:
        raise CommandError(
            f"the key of {record.name} is adopted: it is not ours to replace",
            hint="configure another key, then revoke the old certificate",
        )
    if record.current is None:
        raise CommandError(f"{record.name} has no certificate yet")
    if record.replacing is not None:
        raise CommandError(f"{record.name} is being replaced; see nfcertd status")
    return replacing.begin(record, moment)


def _meant(record: CertificateRecord, serial: str) -> IssuedRecord:
    """Return the certificate with a serial number, or the newest one."""
    wanted = serial.lower().replace(":", "").lstrip("0")
    current = record.current
    for issued in record.issued:
        newest = current is not None and issued.fingerprint == current.fingerprint
        if issued.serial == wanted if wanted else newest:
            return issued
    known = ", ".join(issued.serial for issued in record.issued) or "none"
    raise CommandError(
        f"{record.name} has no such certificate that has not ended; known: {known}"
    )


def _can_sign(record: CertificateRecord, key: str) -> bool:
    able = {KeyState.MADE, KeyState.CONDEMNED}
    return any(k.id == key and k.state in able for k in record.keys)
