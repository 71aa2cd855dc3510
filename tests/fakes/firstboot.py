"""A host before its first bootstrap bundle: real files and a real store, no daemon."""

from datetime import datetime
from pathlib import Path
from typing import Final

from agent import loading
from agent.bootstrapping import Bundles, instance_of
from agent.config.bootstrap import Bootstrap
from agent.events import Event
from agent.files import FileError, read_secret
from agent.loading import Loaded, bundles
from agent.records.codec import Record
from agent.reloading import Answer, Reloader
from agent.store import Store, StoreError
from agent.vitals import Loading
from tests.fakes.clock import FakeClock
from tests.vectors.bootstrap import INSTANCE, NOW, SIGNER, host, private_pem, public_pem

FILES: Final = """
[agent]
state = "{home}/state"
runtime = "{home}/run"
health = ""
[bootstrap]
signer = ["{home}/oam.pem"]
instance = "{instance}"
decrypt = "file:{home}/host.key"
account_key = {{ file = true }}
[certificate.amf1]
nf = "amf1"
ca = "operator"
challenge = "tkauth-01"
key = {{ file = true }}
"""


class FullStore(Store):
    """A store whose disk may be full.

    Attributes:
        full: Nothing can be made durable.
    """

    full = False

    def put(self, record: Record) -> None:
        """Make a record durable, or fail as a full disk does."""
        if self.full:
            raise StoreError("no space left on device")
        super().put(record)


class FirstBoot:
    """Everything that takes a bundle.

    Attributes:
        path: The configuration file.
        state: The state directory.
        store: Where the bundle is durable.
        clock: The time; at first that at which the usual bundle was issued.
        held: Until when nothing may be begun.
        loading: What is in force.
        applied: Every configuration that was given to the parts.
        events: What was told.
    """

    def __init__(self, home: Path, more: str = "", instance: str = INSTANCE) -> None:
        """Install the host's files."""
        self.home, self.state = home, home / "state"
        home.mkdir(exist_ok=True)
        (home / "oam.pem").write_text(public_pem(SIGNER))
        (home / "host.key").write_bytes(private_pem(host()))
        self.path = home / "nfcertd.toml"
        self.path.write_text(FILES.format(home=home, instance=instance) + more)
        self.clock = FakeClock(NOW)
        self.held: datetime | None = None
        self.applied: list[Loaded] = []
        self.events: list[Event] = []
        self.starts()

    def starts(self) -> None:
        """Begin as a new process, from what is durable."""
        loaded = loading.load(self.path, instance=self._called)
        self.store = FullStore(self.state)
        # Not `prepare`: the lock would be our own from the time before.
        for kind in ("bootstrap",):
            directory = self.state / "records" / kind
            directory.mkdir(parents=True, exist_ok=True)
        self.loading = Loading(loaded=loaded, loaded_at=self.clock.now())
        kept = Bundles(self.store, bundles(loaded.config.agent), self.secret)
        self.bundles = kept
        self.reloader = Reloader(
            self.path,
            self.loading,
            kept,
            self,
            clock=self.clock,
            emit=self.events.append,
        )
        self.reloader.start()

    @property
    def loaded(self) -> Loaded:
        """Return what is in force."""
        return self.loading.loaded

    @property
    def laid_down(self) -> set[str]:
        """Return the texts of the files of the bundle in force."""
        there = self.state / "bootstrap"
        return {p.read_text() for p in there.iterdir()} if there.exists() else set()

    def take(self, text: str, *, check: bool = False) -> Answer:
        """Hand a bundle over."""
        return self.reloader.bootstrap(text, check=check)

    def secret(self, reference: str) -> bytes:
        """Resolve a reference of the files."""
        if reference == "credential:absent":
            raise FileError("there is no credential")
        return read_secret(reference, self.home)

    def opened(self, where: str) -> bytes:
        """Return a secret of the bundle in force."""
        loaded = self.loaded
        return self.bundles.secret(
            f"bootstrap:{where}", loaded.config.bootstrap, loaded.made
        )

    def _called(self, table: Bootstrap) -> str:
        return instance_of(table, self.secret)

    # -- what a reloader asks of the daemon

    def apply(self, loaded: Loaded) -> None:
        """Take a configuration."""
        self.applied.append(loaded)
        self.loading.loaded = loaded

    def reloading(self) -> None:
        """Nobody is told."""

    def reloaded(self) -> None:
        """Nobody is told."""

    def hold_until(self, now: datetime) -> datetime | None:
        """Return until when nothing may be begun."""
        del now
        return self.held


def everything(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory with its octets."""
    return {
        str(path): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
