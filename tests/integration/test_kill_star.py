"""A series that follows another survives a kill at each of its durable writes.

A change of series is another order, a certificate with another key, its proof, the
cancellation of the old one, the end of its key, and one certificate more.
"""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from agent.control.verbs import ControlError
from agent.records.certificate import CertificateRecord
from agent.records.slots import jobs
from agent.store import Store
from tests.integration.scene import PATIENCE, Daemon, Scene
from tests.integration.served import TlsServer, Watcher, watching
from tests.integration.striking import strike_everywhere
from tests.integration.test_star import host, series_of, served

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


class Changing:
    """A host whose series is followed by another, again and again."""

    def __init__(self, place: Scene, server: TlsServer, watcher: Watcher) -> None:
        """Begin before the first series."""
        self._place = place
        self._server = server
        self._watcher = watcher
        self._armed = place.home / "armed"
        self._goal = 0

    def begin(self) -> None:
        """Want one series more than there are."""
        self._goal = len(self._place.ca.series) + 1

    def go_on(self, daemon: Daemon) -> bool:
        """Go on until the next series has brought two; False where the daemon died."""
        try:
            self._armed.touch()
            if len(self._place.ca.series) < self._goal and self._goal > 1:
                daemon.ask("renew", "web")
            daemon.settle(lambda _: self._is_there(daemon), PATIENCE)
        except ControlError:
            daemon.ended()
            return False
        finally:
            self._armed.unlink(missing_ok=True)
        return True

    def _is_there(self, daemon: Daemon) -> bool:
        status, known = daemon.status(), self._place.ca.series
        if len(known) < self._goal or not served(status, 1):
            return False
        others = [one.order.status for one in known[:-1]]
        keys = [k for k in daemon.ask("keys")["keys"] if k["subject"] == "web"]
        return (
            set(others) <= {"canceled"}
            and len(series_of(status)) == len(keys) == 1
            and len(known[-1].issued) > 1
        )

    def wrong(self) -> list[str]:
        """Return what does not hold after a change, one clause each."""
        place, found = self._place, []
        record = Store(place.state).get(CertificateRecord, "web")
        assert record is not None
        assert record.current is not None
        if len(place.ca.orders) != self._goal:
            found.append(f"{len(place.ca.orders)} orders for {self._goal} series")
        if "issue" in {slot.kind for slot in jobs(record)}:
            found.append(f"jobs are left: {list(jobs(record))}")
        # The next one may be on its way already when the daemon is stopped.
        ours = {
            issued.leaf.fingerprint(SHA256()).hex()
            for issued in place.ca.series[-1].issued.values()
        }
        if self._server.serves() not in ours:
            found.append("what is served is not of the newest series")
        files = {path.stem for path in place.state.glob("keys/web*")}
        if len(record.keys) != 1 or len(files) > 1:
            found.append(f"keys {files}, {len(record.keys)} recorded")
        if self._watcher.failures:
            found.append(f"handshakes failed: {self._watcher.failures}")
        return found


def test_a_kill_at_every_durable_write_loses_no_series(tmp_path: Path) -> None:
    """Killed anywhere: one series is open, the others cancelled, one key is left."""
    with host(tmp_path) as (place, server), watching(server.address) as watcher:
        changing = Changing(place, server, watcher)
        strike_everywhere(place, changing, before=1)
