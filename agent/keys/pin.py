"""The rules that make a wrong PIN cost one attempt, ever; pure.

It knows fingerprints and flags. It does not know how a record becomes durable, nor how
a login is made.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from agent.records.keys import PinRecord, PinStatus

SALT_OCTETS: Final = 16

# 16 MiB and about 50 ms: a stolen record must not give a PIN of digits away at once,
# and a small device must be able to pay for it at each login.
_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1
_FINGERPRINT_OCTETS: Final = 32

_EXTRA_TRIES: Final = 1
"""How often a PIN whose attempt was interrupted may be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinFlags:
    """What CK_TOKEN_INFO says of the user PIN (PKCS#11 CKF_USER_PIN_*).

    Attributes:
        count_low: A wrong PIN was given since the last login.
        final_try: One more wrong PIN locks it.
        locked: It is locked.
    """

    count_low: bool = False
    final_try: bool = False
    locked: bool = False

    @property
    def worn(self) -> bool:
        """Return whether any flag says that somebody gave a wrong PIN."""
        return self.count_low or self.final_try or self.locked


class Verdict(StrEnum):
    """What the rules say before a login."""

    TRY = "try"
    REFUSED = "refused"
    LOCKED = "locked"


class Outcome(StrEnum):
    """What a C_Login came to."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LOCKED = "locked"
    UNCOMPARED = "uncompared"
    """The token did not get as far as comparing the PIN."""
    UNKNOWN = "unknown"
    """A return value that does not say whether the PIN was compared."""


def fingerprint(pin: bytes, salt: bytes) -> bytes:
    """Return the scrypt of a PIN; blocks for tens of milliseconds."""
    return hashlib.scrypt(
        pin,
        salt=salt,
        n=_SCRYPT_N,
        r=_SCRYPT_R,
        p=_SCRYPT_P,
        dklen=_FINGERPRINT_OCTETS,
    )


def is_known(record: PinRecord, pin: bytes) -> bool:
    """Say whether the record is about this PIN; blocks as `fingerprint` does."""
    if not record.salt:
        return False
    return hmac.compare_digest(fingerprint(pin, record.salt), record.fingerprint)


def judge(record: PinRecord, flags: PinFlags, *, same: bool) -> Verdict:
    """Say whether the PIN may be tried; `same` = the record is about this PIN."""
    if flags.locked:
        return Verdict.LOCKED
    if not same or record.status in {PinStatus.UNTRIED, PinStatus.ACCEPTED}:
        return Verdict.TRY
    if record.status is PinStatus.REFUSED:
        return Verdict.REFUSED
    # An attempt of unknown outcome, or a PIN that was locked and perhaps is no more.
    if flags.worn or record.crashed_attempts >= _EXTRA_TRIES:
        return Verdict.LOCKED if record.status is PinStatus.LOCKED else Verdict.REFUSED
    return Verdict.TRY


def attempt(record: PinRecord, now: datetime) -> PinRecord:
    """Return the record to make durable before C_Login with the record's PIN."""
    extra = record.status in {PinStatus.ATTEMPTING, PinStatus.LOCKED}
    return msgspec.structs.replace(
        record,
        status=PinStatus.ATTEMPTING,
        since=now,
        crashed_attempts=record.crashed_attempts + extra,
    )


def settle(
    before: PinRecord, attempted: PinRecord, outcome: Outcome, now: datetime
) -> PinRecord:
    """Return the record to make durable after C_Login.

    Args:
        before: What was known of this PIN before the attempt.
        attempted: The record that was made durable before it.
        outcome: What C_Login came to.
        now: Wall time, aware.
    """
    replace = msgspec.structs.replace
    match outcome:
        case Outcome.ACCEPTED:
            status = PinStatus.ACCEPTED
            return replace(attempted, status=status, since=now, crashed_attempts=0)
        case Outcome.REFUSED:
            return replace(attempted, status=PinStatus.REFUSED, since=now)
        case Outcome.LOCKED:
            return replace(attempted, status=PinStatus.LOCKED, since=now)
        case Outcome.UNCOMPARED:
            return before
        case Outcome.UNKNOWN:
            # A token that had taken this PIN says CKR_PIN_INCORRECT when it no longer
            # does; any other value is about something else.
            return before if before.status is PinStatus.ACCEPTED else attempted
