"""A loaded PKCS#11 module: its thread, its initialisation, the search for a token.

It knows C_Initialize, C_Finalize and the slot list. It does not know sessions' owners:
it only counts generations, so that an owner sees that its sessions are void.

Methods whose docstring says so run on the worker thread, all others on the loop's.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import pkcs11

from agent.clock import Clock
from agent.keys.errors import (
    AmbiguousError,
    ModuleError,
    TokenAbsentError,
    TokenHungError,
)
from agent.keys.faults import GONE, describe
from agent.keys.worker import Worker
from agent.pki.uri import Pkcs11Uri

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")

_RESET_INTERVAL: Final = 60.0
"""Seconds; how seldom a search for an absent token may void other tokens' sessions."""

_CLOSE_PATIENCE: Final = timedelta(seconds=5)
"""How long C_Finalize may take when the process ends."""


class Module:
    """One PKCS#11 module of the process, shared by the tokens that it serves."""

    def __init__(self, path: str, clock: Clock) -> None:
        """Name the shared object; it is loaded with the first call."""
        self.path = path
        self.worker = Worker(Path(path).name, clock)
        self._clock = clock
        self._lib: pkcs11._pkcs11.lib | None = None
        self._generation = 0
        self._reset_due = False
        self._last_reset = float("-inf")
        self._seen_returns = 0
        self._users: set[str] = set()

    @property
    def epoch(self) -> tuple[int, int]:
        """Return what changes whenever all sessions of the module become void."""
        return self._generation, self.worker.returns

    async def call(
        self,
        deadline: timedelta,
        function: Callable[[*_Arguments], _Result],
        *arguments: *_Arguments,
    ) -> _Result:
        """Run a function on the worker thread (see `Worker.call`)."""
        return await self.worker.call(deadline, function, *arguments)

    async def close(self) -> None:
        """Finalise the module, unless it hangs, and end its thread."""
        if self._lib is not None:
            with suppress(TokenHungError):
                await self.worker.call(_CLOSE_PATIENCE, self._finalize)
        await self.worker.close()

    def condemn(self, epoch: tuple[int, int]) -> None:
        """Have the module initialised anew before its next use, if nobody did yet."""
        if epoch == self.epoch:
            self._generation += 1
            self._reset_due = True

    def enlist(self, user: str) -> None:
        """Note that a token has live sessions; on the worker thread."""
        self._users.add(user)

    def find(self, uri: Pkcs11Uri, user: str) -> pkcs11.Token:
        """Return the one token that the URI names; on the worker thread.

        A token is seen only after a new C_Initialize where the module keeps its slot
        list from the first one (SoftHSM2), or lost a race with another process.

        Raises:
            TokenAbsentError: None matches, or the module cannot be initialised.
            AmbiguousError: Several match.
            ModuleError: The module cannot be loaded.
        """
        lib = self._ready()
        found = _matching(lib, uri)
        if not found and self._may_reset(user):
            self.reset()
            found = _matching(lib, uri)
        if not found:
            raise TokenAbsentError(f"no token of {self.path} matches {uri}")
        if len(found) > 1:
            raise AmbiguousError(
                f"{len(found)} tokens of {self.path} match {uri}",
                hint="name the token by serial= as well",
            )
        return found[0]

    def reset(self) -> None:
        """Void all sessions: C_Finalize, C_Initialize; on the worker thread.

        Raises:
            TokenAbsentError: The module cannot be initialised now.
        """
        self._last_reset = self._clock.monotonic()
        self._finalize()
        self._ready()

    def _finalize(self) -> None:
        self._generation += 1
        self._users.clear()
        if self._lib is None or not self._lib.initialized:
            return
        try:
            self._lib.finalize()
        except pkcs11.PKCS11Error:
            # Whatever it complains of, C_Initialize will say whether it matters.
            return

    def _ready(self) -> "pkcs11._pkcs11.lib":
        if self._lib is None:
            self._lib = self._load()
        if self._reset_due or self._seen_returns != self.worker.returns:
            self._reset_due = False
            self._seen_returns = self.worker.returns
            self.reset()
        if not self._lib.initialized:
            self._initialize(self._lib)
        return self._lib

    def _load(self) -> "pkcs11._pkcs11.lib":
        if not Path(self.path).is_file():
            raise ModuleError(f"cannot load {self.path}: no such file")
        try:
            return pkcs11.lib(self.path)
        except pkcs11.PKCS11Error as error:
            raise self._unusable(error) from error

    def _initialize(self, lib: "pkcs11._pkcs11.lib") -> None:
        try:
            lib.initialize()
        except pkcs11.PKCS11Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: pkcs11.PKCS11Error) -> TokenAbsentError | ModuleError:
        message = f"cannot initialise {self.path}: {describe(error)}"
        if "loading" in str(error):
            return ModuleError(message)
        # What is behind it is away: a directory, a resource manager, a network.
        return TokenAbsentError(message)

    def _may_reset(self, user: str) -> bool:
        alone = not self._users - {user}
        age = self._clock.monotonic() - self._last_reset
        return alone or age >= _RESET_INTERVAL


def _matching(lib: "pkcs11._pkcs11.lib", uri: Pkcs11Uri) -> list[pkcs11.Token]:
    try:
        slots = lib.get_slots(token_present=True)
    except pkcs11.PKCS11Error as error:
        raise TokenAbsentError(f"cannot list slots: {describe(error)}") from error
    found = []
    for slot in slots:
        try:
            token = slot.get_token()
        except (*GONE, pkcs11.exceptions.GeneralError):
            # One sick slot must not hide the others.
            continue
        if uri.matches_token(_facts(lib, token)):
            found.append(token)
    return found


def _facts(lib: "pkcs11._pkcs11.lib", token: pkcs11.Token) -> dict[str, str]:
    major, minor = lib.library_version
    return {
        "token": token.label,
        "serial": serial(token),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
        "library-manufacturer": lib.manufacturer_id,
        "library-description": lib.library_description,
        "library-version": f"{major}.{minor}",
    }


def serial(token: pkcs11.Token) -> str:
    """Return a token's serial as text, without its blank padding."""
    return token.serial.decode(errors="replace").rstrip("\0 ")
