"""The PIN protocol around one C_Login: durable before, durable after.

It knows the ledger and the rules of `agent.keys.pin`. It does not call C_Login itself.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from agent.clock import Clock
from agent.errors import AgentError
from agent.keys import pin as rules
from agent.keys.errors import PinLockedError, PinMissingError, PinRefusedError
from agent.keys.pin import Outcome, PinFlags, Verdict
from agent.keys.ports import PinLedger, PinSource
from agent.records.keys import PinRecord, PinStatus

_CHANGE_IT: Final = "correct the secret that `pin` refers to"
_MAX_PIN_OCTETS: Final = 256


class Aside(Protocol):
    """Runs a function that blocks for tens of milliseconds away from the loop."""

    def __call__(self, function: Callable[[], PinRecord]) -> Awaitable[PinRecord]:
        """Return what the function returns."""
        ...


class Attempt(NamedTuple):
    """One login that may be made.

    Attributes:
        before: What was known of the PIN.
        attempted: What is durable now.
    """

    before: PinRecord
    attempted: PinRecord


class PinGuard:
    """Decides whether a token's PIN may be tried, and remembers what came of it."""

    def __init__(
        self, token: str, read_pin: PinSource, ledger: PinLedger, clock: Clock
    ) -> None:
        """Guard the PIN of `[token.NAME]`."""
        self._token = token
        self._read_pin = read_pin
        self._ledger = ledger
        self._clock = clock

    async def admit(
        self, flags: PinFlags, salt: bytes, aside: Aside
    ) -> tuple[str, Attempt]:
        """Return the PIN and the attempt that is durable now and may be made once.

        Args:
            flags: What the token says of its PIN.
            salt: Fresh random octets, used where the PIN is new.
            aside: Where scrypt may block.

        Raises:
            PinRefusedError: The PIN is known to be wrong.
            PinLockedError: The token has locked it.
            PinMissingError: It cannot be read.
        """
        pin = self._read()
        stored = self._ledger.load(self._token)
        before = await aside(lambda: _about(stored, pin, salt))
        verdict = rules.judge(stored, flags, same=before is stored)
        if verdict is not Verdict.TRY:
            await self._refuse(stored, verdict)
        attempted = rules.attempt(before, self._clock.now())
        await self._ledger.save(self._token, attempted)
        return pin.decode(), Attempt(before=before, attempted=attempted)

    async def settle(self, attempt: Attempt, outcome: Outcome) -> None:
        """Make the outcome of an attempt durable."""
        record = rules.settle(
            attempt.before, attempt.attempted, outcome, self._clock.now()
        )
        await self._ledger.save(self._token, record)

    def error(self, outcome: Outcome) -> AgentError:
        """Return the error of an attempt that the token answered with a refusal."""
        if outcome is Outcome.LOCKED:
            return PinLockedError(f"token {self._token} has locked its user PIN")
        return PinRefusedError(
            f"token {self._token} refused the PIN; not tried again until it changes",
            hint=_CHANGE_IT,
        )

    async def forget(self) -> None:
        """Let the PIN be tried again: the operator says that the token has changed."""
        await self._ledger.save(self._token, PinRecord())

    async def _refuse(self, stored: PinRecord, verdict: Verdict) -> None:
        if verdict is Verdict.LOCKED:
            raise self.error(Outcome.LOCKED)
        if stored.status is not PinStatus.REFUSED:
            record = rules.settle(stored, stored, Outcome.REFUSED, self._clock.now())
            await self._ledger.save(self._token, record)
        raise self.error(Outcome.REFUSED)

    def _read(self) -> bytes:
        try:
            pin = self._read_pin()
        except AgentError as error:
            raise PinMissingError(
                f"cannot read the PIN of token {self._token}: {error}",
                hint=error.hint,
            ) from error
        if not 0 < len(pin) <= _MAX_PIN_OCTETS or not _is_text(pin):
            raise PinMissingError(
                f"PIN of token {self._token} is empty, too long or not UTF-8",
                hint=_CHANGE_IT,
            )
        return pin


def _about(stored: PinRecord, pin: bytes, salt: bytes) -> PinRecord:
    """Return the stored record if it is about this PIN, else a new one."""
    if rules.is_known(stored, pin):
        return stored
    return PinRecord(salt=salt, fingerprint=rules.fingerprint(pin, salt))


def _is_text(pin: bytes) -> bool:
    try:
        pin.decode()
    except UnicodeDecodeError:
        return False
    return True
