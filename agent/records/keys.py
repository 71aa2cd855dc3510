"""What is remembered of a key and of the token that holds it."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

KeyType = Literal["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"]
"""The key types that can be asked for, in the operator's words."""

FILE_STORE = "file"
"""`KeyRecord.store` of a software key; a token cannot have this name."""


class KeyState(StrEnum):
    """How far the life of a key has come."""

    CHOSEN = "chosen"
    """Its CKA_ID is durable; the key may or may not exist."""
    MADE = "made"
    """It exists and its public key is known."""
    CONDEMNED = "condemned"
    """Nothing refers to it; it is destroyed after its grace."""
    DESTROYED = "destroyed"


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key pair in a token or in a file.

    Attributes:
        id: 32 hexadecimal digits, the CKA_ID; drawn and stored before generation.
        store: Name of the token in the configuration, or `FILE_STORE`.
        type: What kind of key.
        label: CKA_LABEL, `nfcertd/<install>/<subject>/<number>`.
        number: Counts the keys of the subject, from 1.
        state: How far its life has come.
        created: When the CKA_ID was drawn.
        token_serial: Serial of the token that holds it; empty until made.
        public: SubjectPublicKeyInfo, DER; empty until made.
        adopted: True when the key was made by somebody else: never destroyed.
        condemned_at: When the last reference went away.
        compromised_at: Since when it is said to be known to somebody else.
    """

    id: str
    store: str
    type: KeyType
    label: str
    number: int
    state: KeyState
    created: datetime
    token_serial: str = ""
    public: bytes = b""
    adopted: bool = False
    condemned_at: datetime | None = None
    compromised_at: datetime | None = None


class PinStatus(StrEnum):
    """What is known of the PIN that the configuration refers to."""

    UNTRIED = "untried"
    ATTEMPTING = "attempting"
    """C_Login was about to be called; set durably before the call."""
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The token said CKR_PIN_INCORRECT: never tried again while unchanged."""
    LOCKED = "locked"


class PinRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The memory that makes a wrong PIN cost one attempt, ever.

    Attributes:
        status: The outcome of the last attempt.
        salt: 16 random octets.
        fingerprint: scrypt of the PIN with that salt; tells whether it has changed.
        since: When the status was set.
        crashed_attempts: Logins that a crash interrupted since the PIN changed.
    """

    status: PinStatus = PinStatus.UNTRIED
    salt: bytes = b""
    fingerprint: bytes = b""
    since: datetime | None = None
    crashed_attempts: int = 0
