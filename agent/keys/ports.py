"""What the keys need from the rest of the daemon."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from agent.records.keys import PinRecord


class PinLedger(Protocol):
    """The durable memory of what became of each token's PIN."""

    def load(self, token: str) -> PinRecord:
        """Return what is known of the PIN of `[token.NAME]`; empty if nothing.

        MUST return what the last completed `save` was given, also after a restart.
        """
        ...

    async def save(self, token: str, record: PinRecord) -> None:
        """Keep the record; it MUST be durable when this returns.

        An `AgentError` raised here keeps the PIN from being tried.
        """
        ...


class PinSource(Protocol):
    """Where a PIN is read at each login."""

    def __call__(self) -> bytes:
        """Return the PIN, UTF-8; raise an `AgentError` where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A key pair, or half of one, that a token holds.

    Attributes:
        id: CKA_ID, hexadecimal.
        label: CKA_LABEL; ours start with `nfcertd/<install>/`.
        type: Our name of the key type, or PKCS#11's where we have none.
        private: Whether the private half is there.
        public: Whether the public half is there.
    """

    id: str
    label: str
    type: str
    private: bool
    public: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """What the last contact with a token showed.

    Attributes:
        up: Whether it answered, logged in where that is needed.
        reason: Why not, one clause; empty when up.
        hung_since: Since when a call into its module hangs, monotonic seconds.
        serial: Its serial; empty until it was seen.
    """

    up: bool
    reason: str
    hung_since: float | None
    serial: str


class AdoptedKey(NamedTuple):
    """An existing key: CKA_ID in hexadecimal, SPKI in DER, serial of its token."""

    id: str
    public: bytes
    token_serial: str
