"""Units told through systemd: KillUnit and ReloadUnit on the system bus.

It knows systemd's D-Bus names, its job results, and which of its errors means what to
us. It needs no capability: systemd delivers, and polkit decides (`nfcertd polkit`).
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.config.endpoints import Reload
from agent.endpoints.bus import HINT, SYSTEM_BUS, Bus, BusError, connect
from agent.endpoints.errors import (
    EndpointDeafError,
    EndpointDeniedError,
    EndpointDownError,
    EndpointError,
    EndpointFailedError,
)
from agent.endpoints.proc import ProcessTable

if TYPE_CHECKING:
    from jeepney import Message

ANSWER_WITHIN: Final = timedelta(seconds=25)
"""How long the bus may take to answer; libdbus's own default."""

RELOAD_WITHIN: Final = timedelta(seconds=120)
"""How long a reload job may take; above systemd's own limit of 90 s by default."""

_NAME: Final = "org.freedesktop.systemd1"
_PATH: Final = "/org/freedesktop/systemd1"
_MANAGER: Final = "org.freedesktop.systemd1.Manager"
_UNIT: Final = "org.freedesktop.systemd1.Unit"
_SERVICE: Final = "org.freedesktop.systemd1.Service"

_DENIED: Final = frozenset(
    {
        "org.freedesktop.DBus.Error.AccessDenied",
        "org.freedesktop.DBus.Error.AuthFailed",
        "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.SpawnFailed",
    }
)
_DOWN: Final = frozenset(
    {
        "org.freedesktop.systemd1.NoSuchUnit",
        "org.freedesktop.systemd1.NoSuchProcess",
        # A stop or restart is already queued; it reads the new files when it returns.
        "org.freedesktop.systemd1.TransactionIsDestructive",
    }
)
_DEAF: Final = frozenset({"org.freedesktop.systemd1.JobTypeNotApplicable"})


class Running(NamedTuple):
    """What systemd says of a unit that runs."""

    name: str
    main_pid: int


class UnitTarget:
    """Signals the main process of a unit, or has the unit reloaded."""

    def __init__(
        self,
        processes: ProcessTable | None = None,
        address: str = SYSTEM_BUS,
        *,
        answer_within: timedelta = ANSWER_WITHIN,
        reload_within: timedelta = RELOAD_WITHIN,
    ) -> None:
        """Use the host's processes and its system bus by default."""
        self._processes = processes or ProcessTable()
        self._address = address
        self._answer_within = answer_within.total_seconds()
        self._reload_within = reload_within.total_seconds()

    async def tell(self, reload: Reload) -> None:
        """Tell the unit; a reload is waited for, a signal is only delivered.

        Raises:
            EndpointDownError: The unit does not run.
            EndpointDeafError: Its main process would die of the signal, or it has no
                `ExecReload=`.
            EndpointDeniedError: No bus, or polkit says no.
            EndpointFailedError: The reload job failed, or systemd did not answer.
        """
        unit = str(reload.unit)
        with _worded(unit):
            async with (
                asyncio.timeout(self._answer_within) as limit,
                connect(self._address) as bus,
            ):
                running = await _running(bus, unit)
                if reload.verb == "reload":
                    now = asyncio.get_running_loop().time()
                    limit.reschedule(now + self._reload_within)
                    await _reload(bus, running)
                else:
                    await self._signal(bus, running, signal.Signals[reload.signal])

    async def find(self, reload: Reload) -> None:
        """Return where the unit runs; nothing is told.

        Raises:
            EndpointDownError: The unit does not run.
            EndpointDeniedError: No bus, or it does not answer us.
            EndpointFailedError: systemd did not answer in time.
        """
        unit = str(reload.unit)
        with _worded(unit):
            async with (
                asyncio.timeout(self._answer_within),
                connect(self._address) as bus,
            ):
                await _running(bus, unit)

    async def _signal(self, bus: Bus, running: Running, signum: int) -> None:
        """Have the signal delivered to the main process, once it is known to listen."""
        if running.main_pid == 0:
            raise EndpointDownError(f"{running.name} has no main process")
        self._processes.require_hearing(running.main_pid, signum, running.name)
        await bus.call(_manager("KillUnit", "ssi", running.name, "main", signum))


async def _running(bus: Bus, unit: str) -> Running:
    """Return the unit's own name and main process, or say that it does not run."""
    path = str((await bus.call(_manager("GetUnit", "s", unit)))[0])
    state = await _property(bus, path, _UNIT, "ActiveState")
    # "reloading" is running too; "activating" has perhaps not set its handlers yet.
    if state not in ("active", "reloading"):
        raise EndpointDownError(f"{unit} is {state}")
    # polkit and JobRemoved speak of the unit's own name where `unit` is an alias.
    name = str(await _property(bus, path, _UNIT, "Id"))
    pid = await _property(bus, path, _SERVICE, "MainPID")
    return Running(name=name, main_pid=pid if isinstance(pid, int) else 0)


async def _reload(bus: Bus, running: Running) -> None:
    """Queue a reload job and wait for its end."""
    from jeepney import MatchRule, message_bus  # noqa: PLC0415 -- see agent.endpoints.bus

    rule = MatchRule(
        type="signal", sender=_NAME, interface=_MANAGER, member="JobRemoved", path=_PATH
    )
    await bus.call(message_bus.AddMatch(rule))
    # systemd sends JobRemoved only to those who subscribed.
    await bus.call(_manager("Subscribe", ""))
    # Mode "fail" leaves a queued stop alone, where "replace" would cancel it.
    job = (await bus.call(_manager("ReloadUnit", "ss", running.name, "fail")))[0]
    while True:
        removed = await bus.signal(_MANAGER, "JobRemoved")
        if removed[1] == job:
            _require_done(running.name, str(removed[3]))
            return


def _require_done(unit: str, result: str) -> None:
    """Return only for the job result that means success (org.freedesktop.systemd1)."""
    if result == "skipped":
        raise EndpointDownError(f"{unit} stopped before it was reloaded")
    if result != "done":
        raise EndpointFailedError(
            f"the reload of {unit} ended as {result}", hint=f"journalctl -u {unit}"
        )


async def _property(bus: Bus, path: str, interface: str, name: str) -> object:
    """Return one property of a unit."""
    from jeepney import DBusAddress, new_method_call  # noqa: PLC0415 -- see agent.endpoints.bus

    where = DBusAddress(path, _NAME, "org.freedesktop.DBus.Properties")
    answer = await bus.call(new_method_call(where, "Get", "ss", (interface, name)))
    variant = answer[0]
    return variant[1] if isinstance(variant, tuple) else variant


def _manager(method: str, signature: str, *body: object) -> "Message":
    """Return a call of systemd's manager object."""
    from jeepney import DBusAddress, new_method_call  # noqa: PLC0415 -- see agent.endpoints.bus

    where = DBusAddress(_PATH, _NAME, _MANAGER)
    message: Message = new_method_call(where, method, signature or None, body)
    return message


@contextmanager
def _worded(unit: str) -> Iterator[None]:
    """Say what an error of the bus or its silence means for the unit."""
    try:
        yield
    except BusError as error:
        raise _meaning(unit, error) from error
    except TimeoutError as error:
        raise EndpointFailedError(
            f"systemd did not finish with {unit} in time",
            hint=f"systemctl status {unit}",
        ) from error


def _meaning(unit: str, error: BusError) -> EndpointError:
    """Return our error for a D-Bus error."""
    if error.name in _DENIED:
        return EndpointDeniedError(f"not allowed to tell {unit}: {error}", hint=HINT)
    if error.name in _DOWN:
        return EndpointDownError(f"{unit} is not running: {error}")
    if error.name in _DEAF:
        return EndpointDeafError(
            f"{unit} cannot be reloaded: {error}", hint="use a signal"
        )
    return EndpointFailedError(f"systemd cannot tell {unit}: {error}")
