"""What is remembered of certificates beyond their use: revocation, and its jobs."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from agent.records.job import Job
from agent.records.phases import Phase

Signer = Literal["account", "key"]
"""Who signs a revocation: the account, or the certificate's own key (RFC 8555 7.6)."""


class Revocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a certificate was revoked, and why.

    Attributes:
        at: When we heard of it; for one of ours, when the CA confirmed it.
        reason: Name of the reason code (RFC 5280 section 5.3.1).
        ours: We asked for it; otherwise its CRL or OCSP said so.
    """

    at: datetime
    reason: str
    ours: bool


class IssuedRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate that was issued to us and has not ended, in use or not.

    Publications are forgotten when nobody needs them; what could still be used against
    us has to stay known until it ends, so that it can be revoked.

    Attributes:
        fingerprint: SHA-256 of the leaf's DER, lower-case hexadecimal.
        serial: Serial number, lower-case hexadecimal.
        key: Id of its key.
        ca: Name of the CA in the configuration, then.
        directory: URL of the directory it came from; empty where it came by import.
        account: Name of the account that ordered it.
        not_after: When it ends.
        leaf: The leaf, PEM.
        ocsp: URLs of its OCSP responders.
        crl: URLs of its CRLs.
        revocation: Set once it is revoked.
        series: Slot of the series that brought it; it cannot be revoked.
    """

    fingerprint: str
    serial: str
    key: str
    ca: str
    directory: str
    account: str
    not_after: datetime
    leaf: str
    ocsp: tuple[str, ...] = ()
    crl: tuple[str, ...] = ()
    revocation: Revocation | None = None
    series: str = ""


class StatusRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was heard of the status of the newest certificate, and when it is asked for.

    Attributes:
        fingerprint: Which certificate.
        next_at: When it is asked for again.
        checked_at: When an answer last could be relied on; None for never.
        source: `ocsp` or `crl`.
        failing_since: Since when none could; None where the last one could.
        failure: Why, in words.
    """

    fingerprint: str
    next_at: datetime
    checked_at: datetime | None = None
    source: str = ""
    failing_since: datetime | None = None
    failure: str = ""


class Replaced(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a certificate which its CA had revoked was ordered anew.

    Attributes:
        fingerprint: The revoked one.
        at: When the order began.
    """

    fingerprint: str
    at: datetime


class StatusDue(Phase, frozen=True, kw_only=True, tag="due"):
    """The status is asked for next.

    Attributes:
        nonce: For OCSP, drawn with the job; 32 characters.
    """

    nonce: str


class RevocationAsked(Phase, frozen=True, kw_only=True, tag="asked"):
    """The CA is asked to revoke a certificate until it confirms that it has.

    Attributes:
        reason: Name of the reason code.
        by: Who signs.
        bare: The CA refuses the reason: it is asked without.
    """

    reason: str
    by: Signer = "account"
    bare: bool = False


class ReplaceStage(StrEnum):
    """How far a replacement has come; every stage knows the same things."""

    ISSUING = "issuing"
    """A certificate with a new key is ordered."""
    DEPLOYING = "deploying"
    """The new one is proven at every endpoint."""
    REVOKING = "revoking"
    """Every certificate of the compromised keys is revoked."""
    DESTROYING = "destroying"
    """The compromised keys are destroyed, without grace."""


class Replacement(Phase, frozen=True, kw_only=True):
    """A certificate whose keys are known to somebody else, on its way to new ones.

    Attributes:
        stage: How far it has come.
        keys: Ids of the compromised keys.
    """

    stage: ReplaceStage
    keys: tuple[str, ...]


RevokeJob = Job[RevocationAsked]
ReplaceJob = Job[Replacement]
CheckJob = Job[StatusDue]
