"""The login session of one token: opened, kept, found void, opened again.

It knows the PIN protocol's place around C_Login and what a session is good for. It
does not know keys.

A token is logged in or out for all sessions at once, and closing the one that logged
in logs the others out. So one session logs in and is then left alone; another one,
opened without PIN, does the work and is replaced whenever a call fails in it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import pkcs11
from pkcs11.constants import TokenFlag

from agent.clock import Clock
from agent.errors import AgentError
from agent.keys.errors import (
    KeyMissingError,
    KeyPolicyError,
    MechanismError,
    PinLockedError,
    TokenAbsentError,
)
from agent.keys.faults import GONE, may_be_stale, translate
from agent.keys.login import Attempt, PinGuard
from agent.keys.module import Module, serial
from agent.keys.pin import SALT_OCTETS, Outcome, PinFlags
from agent.keys.ports import TokenStatus
from agent.pki.uri import Pkcs11Uri
from agent.records.keys import PinRecord

_Result = TypeVar("_Result")

_FUTILE_INTERVAL: Final = 60.0
"""Seconds after renewed sessions did not help, before they are renewed again."""

_REFUSED: Final = (
    pkcs11.exceptions.PinExpired,
    pkcs11.exceptions.PinIncorrect,
    pkcs11.exceptions.PinInvalid,
    pkcs11.exceptions.PinLenRange,
)
_ABOUT_KEYS: Final = (KeyMissingError, KeyPolicyError, MechanismError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which token, and what one may expect of it.

    Attributes:
        name: `[token.NAME]`.
        uri: What identifies it.
        deadline: Longest time of one call.
        clock: Where time comes from.
        draw: Source of random octets.
    """

    name: str
    uri: Pkcs11Uri
    deadline: timedelta
    clock: Clock
    draw: Callable[[int], bytes]


@dataclass(slots=True, kw_only=True)
class _Open:
    """Sessions that are open; void once the module's epoch has moved on."""

    epoch: tuple[int, int]
    token: pkcs11.Token
    login: pkcs11.Session | None
    work: pkcs11.Session | None


class _StaleError(Exception):
    """A call failed in a way that fresh sessions may cure; never leaves this file."""

    def __init__(self, cause: AgentError, epoch: tuple[int, int]) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.epoch = epoch


class Access:
    """Runs functions in a session of one token, logged in where it has a PIN.

    Methods whose names start with `_on_` run on the worker thread.
    """

    def __init__(self, place: Place, module: Module, guard: PinGuard | None) -> None:
        """Open nothing: the first use does."""
        self._place = place
        self._module = module
        self._guard = guard
        self._lock = asyncio.Lock()
        self._opened: _Open | None = None
        self._late: tuple[Attempt, Outcome] | None = None
        self._futile: dict[type[AgentError], float] = {}
        self._reason = "not contacted yet"
        self._serial = ""

    @property
    def serial(self) -> str:
        """Return the serial of the token that was last seen."""
        return self._serial

    def status(self) -> TokenStatus:
        """Return what the last contact showed; makes none."""
        hung = self._module.worker.hung_since
        return TokenStatus(
            up=not self._reason and hung is None,
            reason="a call into the module hangs" if hung is not None else self._reason,
            hung_since=hung,
            serial=self._serial,
        )

    async def perform(
        self,
        function: Callable[[pkcs11.Session], _Result],
        doing: str,
        *,
        patience: int = 1,
    ) -> _Result:
        """Run a function in a session, once more with fresh sessions if they were lost.

        Args:
            function: Blocks; runs on the module's thread.
            doing: What is being done, for messages.
            patience: Deadlines that the function may take.

        Raises:
            AgentError: One of `agent.keys.errors`.
        """
        try:
            result = await self._perform(function, doing, patience)
        except AgentError as error:
            self._reason = "" if isinstance(error, _ABOUT_KEYS) else str(error)
            raise
        self._reason = ""
        return result

    async def forget_pin(self) -> None:
        """Let a refused PIN be tried again."""
        if self._guard is not None:
            await self._guard.forget()

    async def _perform(
        self, function: Callable[[pkcs11.Session], _Result], doing: str, patience: int
    ) -> _Result:
        try:
            return await self._once(function, doing, patience)
        except _StaleError as stale:
            if self._was_futile(stale.cause):
                raise stale.cause from stale.__cause__
            self._module.condemn(stale.epoch)
        try:
            return await self._once(function, doing, patience)
        except _StaleError as stale:
            self._futile[type(stale.cause)] = self._place.clock.monotonic()
            raise stale.cause from stale.__cause__

    def _was_futile(self, cause: AgentError) -> bool:
        last = self._futile.get(type(cause), float("-inf"))
        return self._place.clock.monotonic() - last < _FUTILE_INTERVAL

    async def _once(
        self, function: Callable[[pkcs11.Session], _Result], doing: str, patience: int
    ) -> _Result:
        await self._connect()
        doing = f"cannot {doing} on token {self._place.name}"
        return await self._module.call(
            self._place.deadline * patience, self._on_session, function, doing
        )

    def _on_session(
        self, function: Callable[[pkcs11.Session], _Result], doing: str
    ) -> _Result:
        opened = self._opened
        if opened is None or opened.epoch != self._module.epoch:
            lost = TokenAbsentError(f"{doing}: session was lost")
            raise _StaleError(lost, (-1, -1))
        try:
            if opened.work is None:
                opened.work = opened.token.open(rw=True)
            return function(opened.work)
        except pkcs11.PKCS11Error as error:
            self._on_failure(opened)
            mapped = translate(error, doing)
            if not may_be_stale(error):
                raise mapped from error
            raise _StaleError(mapped, opened.epoch) from error
        except KeyMissingError as error:
            # SoftHSM2 shows an empty token where its directory is gone; tpm2-pkcs11
            # does not see what another process has made.
            raise _StaleError(error, opened.epoch) from error

    def _on_failure(self, opened: _Open) -> None:
        """Replace the working session: a failed call may have left it mid-operation."""
        work, opened.work = opened.work, None
        if work is not None:
            with suppress(pkcs11.PKCS11Error):
                work.close()

    def _usable(self) -> bool:
        opened = self._opened
        fresh = opened is not None and opened.epoch == self._module.epoch
        return fresh and self._late is None

    async def _connect(self) -> None:
        if self._usable():
            return
        async with self._lock:
            if self._usable():
                return
            deadline = self._place.deadline
            flags = await self._module.call(deadline, self._on_look)
            # A login that nobody waited for has ended by now.
            await self._settle()
            if self._usable():
                return
            if self._guard is None:
                await self._module.call(deadline, self._on_open, None)
            else:
                await self._login(self._guard, flags)

    async def _login(self, guard: PinGuard, flags: PinFlags) -> None:
        salt = self._place.draw(SALT_OCTETS)
        pin, attempt = await guard.admit(flags, salt, self._aside)
        error = await self._module.call(
            self._place.deadline, self._on_login, pin, attempt, guard
        )
        await self._settle()
        if error is not None:
            raise error

    async def _aside(self, function: Callable[[], PinRecord]) -> PinRecord:
        return await self._module.call(self._place.deadline, function)

    async def _settle(self) -> None:
        if self._late is not None and self._guard is not None:
            await self._guard.settle(*self._late)
            self._late = None

    def _on_look(self) -> PinFlags:
        token = self._module.find(self._place.uri, self._place.name)
        self._serial = serial(token)
        flags = token.flags
        return PinFlags(
            count_low=bool(flags & TokenFlag.USER_PIN_COUNT_LOW),
            final_try=bool(flags & TokenFlag.USER_PIN_FINAL_TRY),
            locked=bool(flags & TokenFlag.USER_PIN_LOCKED),
        )

    def _on_open(self, pin: str | None) -> None:
        token = self._module.find(self._place.uri, self._place.name)
        self._serial = serial(token)
        login = None
        if pin is not None:
            with suppress(pkcs11.exceptions.UserAlreadyLoggedIn):
                login = token.open(rw=True, user_pin=pin)
        self._module.enlist(self._place.name)
        self._opened = _Open(
            epoch=self._module.epoch, token=token, login=login, work=None
        )

    def _on_login(
        self, pin: str, attempt: Attempt, guard: PinGuard
    ) -> AgentError | None:
        """Log in; the outcome stays even if nobody waits for it any more."""
        outcome, error = Outcome.UNCOMPARED, None
        try:
            self._on_open(pin)
            opened = self._opened
            if opened is not None and opened.login is not None:
                outcome = Outcome.ACCEPTED
        except pkcs11.PKCS11Error as refusal:
            outcome = _outcome(refusal)
            error = self._login_error(refusal, outcome, guard)
        except AgentError as absent:
            error = absent
        self._late = attempt, outcome
        if error is not None:
            # A failed login leaks the session it was made in, and only C_Finalize
            # closes that.
            with suppress(AgentError):
                self._module.reset()
        return error

    def _login_error(
        self, error: pkcs11.PKCS11Error, outcome: Outcome, guard: PinGuard
    ) -> AgentError:
        if outcome in {Outcome.REFUSED, Outcome.LOCKED}:
            mapped = guard.error(outcome)
        elif isinstance(error, pkcs11.exceptions.UserPinNotInitialized):
            mapped = PinLockedError(f"token {self._place.name} has no user PIN yet")
        else:
            mapped = translate(error, f"cannot log in to token {self._place.name}")
        mapped.__cause__ = error
        return mapped


def _outcome(error: pkcs11.PKCS11Error) -> Outcome:
    if isinstance(error, _REFUSED):
        return Outcome.REFUSED
    if isinstance(error, pkcs11.exceptions.PinLocked):
        return Outcome.LOCKED
    if isinstance(error, (*GONE, pkcs11.exceptions.UserPinNotInitialized)):
        return Outcome.UNCOMPARED
    return Outcome.UNKNOWN
