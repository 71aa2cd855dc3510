"""Another configuration in place of the running one: all of it, or nothing of it.

It comes with a reload, or with a bootstrap bundle that completes the files. What is
durable changes first, and only after everything was found to be right.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from agent import loading
from agent.bootstrapping import NAME, Bundles
from agent.clock import Clock
from agent.config.errors import ConfigError
from agent.config.section import Section
from agent.errors import AgentError
from agent.events import Event
from agent.files import FileError
from agent.loading import Loaded
from agent.records.bootstrap import BootstrapRecord
from agent.vitals import Loading

_log: Final = logging.getLogger("nfcertd")
_NOTICE: Final = 25
Answer = dict[str, object]


class Parts(Protocol):
    """Those that a new configuration is given to."""

    def apply(self, loaded: Loaded) -> None:
        """Take a checked configuration; what is under way goes on."""
        ...

    def reloading(self) -> None:
        """Tell systemd that the configuration is about to be replaced."""
        ...

    def reloaded(self) -> None:
        """Tell systemd that this is over."""
        ...

    def hold_until(self, now: datetime) -> datetime | None:
        """Return until when nothing may be begun, None where nothing holds us."""
        ...


class Reloader:
    """Replaces the configuration in force."""

    def __init__(
        self,
        path: Path,
        state: Loading,
        bundles: Bundles,
        parts: Parts,
        *,
        clock: Clock,
        emit: Callable[[Event], None],
    ) -> None:
        """Take the parts.

        Args:
            path: The main file.
            state: What is in force, and how the last attempt went.
            bundles: Judges and keeps bundles.
            parts: Those that take it.
            clock: Where time comes from.
            emit: Hears of bundles.
        """
        self._path = path
        self._state = state
        self._bundles = bundles
        self._parts = parts
        self._clock = clock
        self._emit = emit

    def reload(self) -> tuple[str, ...]:
        """Read the files again; return what is wrong, and change nothing then."""
        self._parts.reloading()
        self._state.reload_at = self._clock.now()
        try:
            loaded = self._loaded(None)
            self._lay_down(loaded)
        except ConfigError as error:
            self._state.problems = error.problems
            for problem in error.problems:
                _log.error("not reloaded: %s", problem)
        else:
            self._state.problems = ()
            self._parts.apply(loaded)
            _log.info("configuration reloaded")
        self._parts.reloaded()
        return self._state.problems

    def start(self) -> None:
        """Lay down what the bundle in force brings; a crash may have been faster.

        Raises:
            FileError: The state directory cannot be used.
        """
        self._bundles.clear_away(self._state.loaded.made)
        if self._state.loaded.made is not None:
            self._bundles.lay_down(self._state.loaded.made)

    def bootstrap(self, text: str, *, check: bool) -> Answer:
        """Take a bundle, or only say what taking it would do.

        Raises:
            AgentError: It is not taken, and nothing has changed.
        """
        try:
            return self._bootstrap(text, check=check)
        except AgentError as error:
            self._emit(_refused(error))
            raise

    def _bootstrap(self, text: str, *, check: bool) -> Answer:
        before, now = self._state.loaded, self._clock.now()
        table, held = before.config.bootstrap, self._parts.hold_until(now)
        record, known = self._bundles.judge(text, table, now, held)
        if known and before.bundle == record:
            return _answer(before, before, done="nothing")
        loaded = self._loaded(record)
        if check:
            return _answer(before, loaded, done="checked")
        self._lay_down(loaded)
        self._bundles.keep(record)
        # In force from here on, also for whoever finds us dead.
        self._parts.apply(loaded)
        self._bundles.clear_away(loaded.made)
        self._emit(_taken(record, loaded))
        return _answer(before, loaded, done="taken")

    def _loaded(self, offered: BootstrapRecord | None) -> Loaded:
        before, instance = self._state.loaded, self._bundles.instance
        return loading.reload(self._path, before, offered, instance)

    def _lay_down(self, loaded: Loaded) -> None:
        if loaded.made is None:
            return
        try:
            self._bundles.lay_down(loaded.made)
        except FileError as error:
            raise ConfigError([str(error)]) from error


def _taken(record: BootstrapRecord, loaded: Loaded) -> Event:
    brings = ", ".join(_tables(loaded)) or "nothing"
    return Event(
        subject=NAME,
        kind="bootstrap.taken",
        text=f"bootstrap bundle {record.sequence} is in force; it brings {brings}",
        fields={
            "SEQUENCE": str(record.sequence),
            "SIGNER": record.signer,
            "DIGEST": record.digest,
        },
        severity=_NOTICE,
    )


def _refused(error: AgentError) -> Event:
    return Event(
        subject=NAME,
        kind="bootstrap.refused",
        text=f"a bootstrap bundle is not taken: {error}",
        fields={"KIND": error.kind},
        severity=logging.WARNING,
    )


def _tables(loaded: Loaded) -> Mapping[str, Section]:
    return {} if loaded.made is None else loaded.made.overlay.tables()


def _answer(before: Loaded, after: Loaded, *, done: str) -> Answer:
    """Return what a bundle is and changes; no table is shown, only its path."""
    old, new, record = _tables(before), _tables(after), after.bundle
    if record is None:
        raise LookupError(NAME)
    return {
        "done": done,
        "sequence": record.sequence,
        "issued": record.issued,
        "expires": record.expires,
        "signer": record.signer,
        "added": sorted(new.keys() - old.keys()),
        "changed": sorted(p for p in new.keys() & old.keys() if new[p] != old[p]),
        "secrets": sorted(after.made.secrets) if after.made else [],
        "removed": sorted(old.keys() - new.keys()),
        "started": sorted(before.waiting.keys() - after.waiting.keys()),
    }
