"""The composition root: with `equipment` the only place that knows concrete classes.

It builds the parts, starts their tasks, and turns signals into calls. SIGTERM cancels
the main task; SIGHUP reloads the configuration, all or nothing.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from agent import __version__, journal, loading, systemd, timesync
from agent.auditing import Checkpoints
from agent.benches import Tools
from agent.bootstrap.made import SCHEME
from agent.bootstrapping import Bundles
from agent.byhand import by_hand
from agent.cells import Cells, PinLedger
from agent.commands import Commands
from agent.config.advice import advice
from agent.config.errors import ConfigError
from agent.config.units import duration
from agent.control.server import Server
from agent.counters import Counters
from agent.equipment import Stock, make_auditor, make_tools
from agent.errors import AgentError
from agent.events import Event
from agent.files import release_code_pages
from agent.health import Health
from agent.host import Host, installation
from agent.keys.software import FileKeys
from agent.keys.store import Keys, Surroundings
from agent.loading import Loaded, bundles
from agent.manager import HungModuleError, Manager
from agent.reloading import Reloader
from agent.subjects.hooks import KIND, Hooks
from agent.trail.exchange import Exchange
from agent.vitals import Instruments, Loading, Vitals
from agent.workshop import Workshop

_log: Final = logging.getLogger("nfcertd")

EXIT_CONFIG: Final = 5
EXIT_STATE: Final = 6
EXIT_HUNG: Final = 7
TOKEN_PAUSE: Final = timedelta(seconds=10)
LONGEST_TOKEN_PAUSE: Final = timedelta(minutes=5)


def main(path: Path) -> int:
    """Run the daemon until SIGTERM; return its exit status.

    0 after SIGTERM; 5 the configuration is refused; 6 the state directory cannot be
    used; 7 a PKCS#11 module hangs and only a new process gets rid of it.
    """
    return run(Host(path=path))


def run(host: Host) -> int:
    """Run the daemon on a host; see `main` for the exit status."""
    try:
        loaded = loading.load(host.path, instance=host.called)
    except ConfigError as error:
        for problem in error.problems:
            print(f"nfcertd: {problem}", file=sys.stderr)  # noqa: T201 -- no log yet
        return EXIT_CONFIG
    handler = journal.set_up(loaded.config.agent.log_level, host.environ, sys.stderr)
    status = 0
    try:
        systemd.clear_ambient_capabilities()
        asyncio.run(Daemon(host, loaded).run())
    except* HungModuleError as group:
        _log.critical("%s; ending on purpose", _first(group))
        handler.flush()
        # An ordinary exit would call C_Finalize and wait for the hung module.
        os._exit(EXIT_HUNG)
    except* AgentError as group:
        _log.critical("cannot run: %s", _first(group))
        status = EXIT_STATE
    return status


def _first(group: BaseExceptionGroup[AgentError]) -> AgentError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, AgentError):
        raise error
    return error


class Daemon:
    """All parts of one running daemon."""

    def __init__(self, host: Host, loaded: Loaded) -> None:
        """Build every part; nothing is contacted, and no task runs yet.

        Raises:
            AgentError: The state directory cannot be used.
        """
        self._host = host
        self._counters = Counters()
        self._loading = Loading(loaded=loaded, loaded_at=host.clock.now())
        config, state = loaded.config, Path(loaded.config.agent.state)
        store = host.store(state)
        store.prepare()
        instance = installation(store, host)
        self._auditor = make_auditor(state, host.clock, config.audit, self._counters)
        self._cells = Cells(store, self._emit)
        self._cells.load()
        self._notifier = systemd.Notifier(host.environ.get("NOTIFY_SOCKET"), host.clock)
        self._keys = self._make_keys(state)
        self._started = host.clock.now()
        self._high_water = instance.high_water
        self._workshop = Workshop(self._make_tools(state))
        self._manager = Manager(
            self._cells, self._workshop, self, clock=host.clock, draws=host.draws
        )
        self._install = instance.install
        self._vitals = self._make_vitals()
        hooks = Hooks(self._cells, self._workshop, self._vitals.alarms)
        self._manager.add(KIND, hooks)
        self._checkpoints = Checkpoints(
            self._auditor,
            self._keys,
            store,
            clock=host.clock,
            moment=self._manager.moment,
            install=instance.install,
        )
        self._bundles = Bundles(store, bundles(config.agent), host.secret)
        self._reloader = self._make_reloader()
        self._reloader.start()
        self.apply(loaded)

    async def run(self) -> None:
        """Run every task until SIGTERM.

        Raises:
            ExceptionGroup: Of what ended a task; a bug ends the process.
        """
        agent = self._loading.config.agent
        with self._signals():
            try:
                health = Health(agent.health, self._vitals)
                async with health.serving() as where, asyncio.TaskGroup() as tasks:
                    control = self._control(Path(agent.runtime))
                    opened = asyncio.Event()
                    tasks.create_task(control.run(opened.set), name="control")
                    await opened.wait()
                    tasks.create_task(self._manager.run(), name="manager")
                    tasks.create_task(self._watch_tokens(), name="tokens")
                    tasks.create_task(self._checkpoints.run(), name="audit")
                    self._start_watchdog(tasks)
                    for line in advice(self._loading.config):
                        _log.warning("advice: %s", line)
                    for line in self._loading.loaded.lacks():
                        _log.warning("%s", line)
                    _log.info("nfcertd %s runs, health on %s", __version__, where)
                    self._notifier.ready(self._vitals.summary())
            except asyncio.CancelledError:
                _log.info("stopping")
            finally:
                self._notifier.stopping()
                await self._workshop.aclose()
                if not self._hangs():
                    await self._keys.close()

    # -- what the manager asks between jobs

    def paused(self) -> None:
        """Tell systemd how we fare; at every step it would cost more than the step."""
        self._notifier.status(self._vitals.summary())

    async def rest(self) -> None:
        """Close idle connections, and let go of what only the next order needs."""
        await self._workshop.rest()
        release_code_pages()

    def hold_until(self, now: datetime) -> datetime | None:
        """Return until when the clock may not be believed."""
        unaudited = self._auditor.hold_until(now)
        if unaudited is not None:
            return unaudited
        assumed = self._loading.config.agent.clock == "assume"
        return timesync.hold_until(
            now,
            self._started,
            self._high_water,
            synced=True if assumed else timesync.synchronised(),
        )

    def hung_too_long(self) -> str:
        """Return the token whose module hangs beyond its limit, empty for none."""
        now = self._host.clock.monotonic()
        for name, status in self._keys.status().items():
            limit = duration(self._loading.config.token[name].hung_limit)
            since = status.hung_since
            if since is not None and now - since > limit.total_seconds():
                return name
        return ""

    # -- parts

    def _make_keys(self, state: Path) -> Keys:
        surroundings = Surroundings(
            clock=self._host.clock,
            ledger=PinLedger(self._cells),
            read_secret=self._read_secret,
            files=FileKeys(state / "keys"),
        )
        return Keys(self._loading.config.token, surroundings)

    def _read_secret(self, reference: str) -> bytes:
        if reference.startswith(SCHEME):
            loaded = self._loading.loaded
            table, made = loaded.config.bootstrap, loaded.made
            return self._bundles.secret(reference, table, made)
        return self._host.secret(reference)

    def _make_tools(self, state: Path) -> Tools:
        return make_tools(
            Stock(
                state=state,
                environ=self._host.environ,
                clock=self._host.clock,
                config=lambda: self._loading.config,
                keys=self._keys,
                read_secret=self._read_secret,
                trusted=self._cells.roots,
                observer=self,
            )
        )

    def _make_vitals(self) -> Vitals:
        return Vitals(
            self._cells,
            self._manager,
            self._loading,
            clock=self._host.clock,
            install=self._install,
            instruments=self._instruments(),
        )

    def _make_reloader(self) -> Reloader:
        return Reloader(
            self._host.path,
            self._loading,
            self._bundles,
            self,
            clock=self._host.clock,
            emit=self._emit,
        )

    def _control(self, runtime: Path) -> Server:
        commands = Commands(
            self._cells,
            self._manager,
            self._vitals,
            keys=self._keys,
            by_hand=by_hand(self._manager, self._host.clock, self._cells.roots),
            reloader=self._reloader,
        )
        destroyers = self._loading.config.agent.destroy_uids
        return Server(runtime, commands, self._host.clock, self._emit, destroyers)

    def _instruments(self) -> Instruments:
        return Instruments(
            tokens=self._keys.status,
            auditor=self._auditor,
            counters=self._counters,
            audit_key=lambda: self._checkpoints.record.key,
        )

    def _emit(self, event: Event) -> None:
        self._auditor.event(event)
        journal.log_event(event)

    def exchanged(self, exchange: Exchange) -> None:
        """Audit a request to a CA; satisfies `agent.client.Observer`."""
        self._auditor.exchanged(exchange)

    def request(self, ca: str, resource: str, status: int, seconds: float) -> None:
        """Count a request to a CA; satisfies `agent.client.Observer`."""
        self._counters.request(ca, resource, status, seconds)

    def error(self, ca: str, kind: str) -> None:
        """Count a failure at a CA; satisfies `agent.client.Observer`."""
        self._counters.error(ca, kind)

    def skew(self, ca: str, seconds: float) -> None:
        """Keep how far a CA's clock is ahead; satisfies `agent.client.Observer`."""
        self._vitals.counters.skew(ca, seconds)

    # -- reload

    def apply(self, loaded: Loaded) -> None:
        """Take a checked configuration; satisfies `agent.reloading.Parts`."""
        config = loaded.config
        self._auditor.configure(config.audit)
        self._keys.configure(config.token)
        self._workshop.configure(config)
        self._manager.configure(config, self._install)
        self._loading.loaded = loaded
        self._loading.loaded_at = self._host.clock.now()

    def reloading(self) -> None:
        """Tell systemd; satisfies `agent.reloading.Parts`."""
        self._notifier.reloading()

    def reloaded(self) -> None:
        """Tell systemd; satisfies `agent.reloading.Parts`."""
        self._notifier.ready(self._vitals.summary())

    # -- tasks

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
            loop.add_signal_handler(signal.SIGINT, task.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.reload)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _start_watchdog(self, tasks: asyncio.TaskGroup) -> None:
        period = systemd.watchdog_period(self._host.environ, os.getpid())
        if period is not None:
            tasks.create_task(self._feed_watchdog(period / 2), name="watchdog")

    async def _feed_watchdog(self, pause: timedelta) -> None:
        """Feed the watchdog while the scheduler makes progress, and only then."""
        while True:
            if not self._manager.overdue():
                self._notifier.watchdog()
            await self._host.clock.sleep(pause)

    async def _watch_tokens(self) -> None:
        """Look for tokens until each one is up; a token in use is never polled."""
        pause = TOKEN_PAUSE
        while True:
            down = [n for n, status in self._keys.status().items() if not status.up]
            for name in down:
                await self._look_for(name)
            if any(self._keys.status()[name].up for name in down):
                self._manager.touch()
            if all(status.up for status in self._keys.status().values()):
                return
            await self._host.clock.sleep(pause)
            pause = min(pause * 2, LONGEST_TOKEN_PAUSE)

    async def _look_for(self, name: str) -> None:
        try:
            await self._keys.check(name)
        except AgentError as error:
            _log.warning("token %s: %s", name, error)

    def _hangs(self) -> bool:
        statuses = self._keys.status().values()
        return any(status.hung_since is not None for status in statuses)
