"""A journey of a certificate with a daemon that is killed on the way.

It knows how one is begun, killed, begun again and held against what must be true at its
end. It does not know what a journey is for.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from agent.control.verbs import ControlError
from agent.endpoints.signaller import WINDOW
from agent.records.certificate import CertificateRecord
from agent.records.others import AccountRecord
from agent.records.phases import Stage
from agent.store import Store
from tests.integration.scene import (
    PATIENCE,
    Daemon,
    Scene,
    Status,
    certificate_table,
    is_root,
    scene,
    token_table,
)
from tests.integration.served import Address, Watcher, look, table, tls_server, watching
from tests.integration.tokens import PIN, TokenSetup, softhsm
from tests.parts.nginx import Nginx, Site, nginx, nginx_missing
from tests.parts.process import PartError, free_port
from tests.parts.token import TokenTool

AT_A_TIME: Final = 2
IN_TOKEN: Final = 'token = "hsm"'
NGINX_REASON: Final = nginx_missing(engine_too=True) or (
    "" if is_root() else "needs root"
)


OpenDoor = Callable[[], None]


class Journey(ABC):
    """What happens to the certificate `web`, whoever the daemon is by now."""

    orders: ClassVar[int]
    """Orders that it takes where nothing is spoilt."""

    def __init__(self, place: Scene, watcher: Watcher, open_door: OpenDoor) -> None:
        """Travel on a scene."""
        self.scene = place
        self.watcher = watcher
        self._open_door = open_door
        self.answered_before = place.ca.answered_orders
        self.spoilt_before = spoilt_orders(place)

    def travel(self, daemon: Daemon) -> bool:
        """Go on to the end, and return True; False where the daemon died."""
        try:
            daemon.settle(lambda status: self._step(daemon, status), PATIENCE)
        except ControlError:
            daemon.ended()
            return False
        return True

    def _step(self, daemon: Daemon, status: Status) -> bool:
        self._open_door()
        deployment = status.job("web", "deploy")
        if deployment.get("running") and deployment["phase"] == Stage.SWAPPED:
            # Other publications might want the same signal: nobody has to wait here.
            daemon.clock.push(WINDOW)
        return self.step(daemon, status)

    @abstractmethod
    def step(self, daemon: Daemon, status: Status) -> bool:
        """Ask for what is next, and tell whether the journey is at its end."""

    def wrong(self, record: CertificateRecord) -> Iterator[str]:
        """Yield what must hold at the end and does not, beside what always must."""
        del record
        yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A way of serving.

    Attributes:
        key: The certificate's key in the configuration.
        speed: Of the clock; a server that replaces its workers needs real time.
        open: Starts the endpoint when it can start, and watches it.
    """

    key: str
    speed: float
    open: Callable[
        [Scene, TokenSetup], AbstractContextManager[tuple[str, Address, OpenDoor]]
    ]


@contextmanager
def from_file(
    place: Scene, token: TokenSetup
) -> Iterator[tuple[str, Address, OpenDoor]]:
    """Serve a software key by the small server."""
    del token
    home = place.home / "endpoint"
    with tls_server(home, place.state / "live/web", place.address) as server:
        yield table(home, place.address), server.address, lambda: None


@contextmanager
def from_token(
    place: Scene, token: TokenSetup
) -> Iterator[tuple[str, Address, OpenDoor]]:
    """Serve a key in the token by nginx, which starts with the first publication."""
    port, pin = free_port(), place.home / "nginx.pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN)
    site = Site(
        snippet=place.state / "live/web/nginx.conf",
        ports=(port,),
        module=token.module,
        environment=token.env,
        worker="root",
    )
    running: list[Nginx] = []
    with ExitStack() as stack:

        def open_door() -> None:
            if running or not site.snippet.exists():
                return
            # Its login can meet the daemon's: SoftHSM2 writes the token's file at each.
            with contextlib.suppress(PartError):
                running.append(stack.enter_context(nginx(place.home, site)))

        text = (
            f'reload = {{ pidfile = "{place.home}/nginx/nginx.pid" }}\n'
            f'template = "nginx-engine"\npin_source = "file:{pin}"\n'
            f'verify = {{ connect = "127.0.0.1:{port}", within = "20s" }}\n'
        )
        yield text, ("127.0.0.1", port), open_door


FILE: Final = Arm(key="file = true", speed=20, open=from_file)
TOKEN: Final = Arm(key=IN_TOKEN, speed=3, open=from_token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: how the endpoint serves, and where the daemon is killed."""

    journey: type[Journey]
    arm: Arm
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the run in a message."""
        served = "file" if self.arm is FILE else "token"
        return f"{served} {' '.join(self.options) or 'unharmed'}"


@dataclass(slots=True)
class Report:
    """What came of a run.

    Attributes:
        killed: The daemon was killed.
        writes: The writes of its first process.
        wrong: What does not hold, one clause each.
    """

    killed: bool
    writes: list[str]
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Where journeys are made, one after the other; no daemon runs in between.

    Attributes:
        place: The scene.
        token: Shows the keys in its token.
        watcher: Looks at the endpoint all the time.
        address: Where the endpoint serves.
        open_door: Starts the endpoint when it can start.
    """

    place: Scene
    token: TokenTool
    watcher: Watcher
    address: Address
    open_door: OpenDoor

    def go(self, kind: type[Journey], *options: str) -> Report:
        """Make a journey; the options of its first daemon say where that is killed."""
        journey = self.begin(kind)
        report = _live_and_die(self.place, journey, options)
        report.wrong += self.wrong(journey)
        return report

    def begin(self, kind: type[Journey]) -> Journey:
        """Return a journey from what there is now."""
        return kind(self.place, self.watcher, self.open_door)

    def wrong(self, journey: Journey) -> list[str]:
        """Return what does not hold at the end of a journey, one clause each."""
        return [
            *_wrong(self.place, self.token, journey),
            *_unserved(self.place, self.address),
        ]


@contextmanager
def tracked(home: Path, arm: Arm) -> Iterator[Track]:
    """Make a scene in a new directory, with an endpoint and who looks at it."""
    home.mkdir()
    token = softhsm(home)
    with ExitStack() as stack:
        place = stack.enter_context(scene(home, token=token, speed=arm.speed))
        endpoint, address, door = stack.enter_context(arm.open(place, token))
        watcher = stack.enter_context(watching(address))
        more = f'grace = "0s"\n[[certificate.web.endpoint]]\n{endpoint}'
        web = certificate_table("web", arm.key, more=more)
        place.configure(token_table(token), web, account=IN_TOKEN, health=False)
        yield Track(
            place=place,
            token=TokenTool(module=token.module, environment=token.env, pin=PIN),
            watcher=watcher,
            address=address,
            open_door=door,
        )


def perform(home: Path, run: Run) -> Report:
    """Do one run in an empty directory."""
    with tracked(home, run.arm) as track:
        return track.go(run.journey, *run.options)


def spoilt_orders(place: Scene) -> int:
    """Return how many orders ended because a validation met no daemon."""
    return sum(order.status == "invalid" for order in place.ca.orders)


def attempt(home: Path, run: Run) -> Report:
    """Do one run; one that does not come to its end is wrong, and the others go on."""
    try:
        return perform(home, run)
    except (AssertionError, PartError) as error:
        return Report(killed=True, writes=[], wrong=[str(error)])


def _live_and_die(place: Scene, journey: Journey, options: Sequence[str]) -> Report:
    writes = place.home / "writes"
    writes.write_text("")
    with place.daemon("--writes", str(writes), *options) as first:
        arrived = journey.travel(first)
    report = Report(first.died(), writes.read_text().splitlines())
    if not arrived and not report.killed:
        report.wrong.append(f"it ended by itself: {first.part.tail()}")
    with place.daemon() as second:
        if not journey.travel(second):
            report.wrong.append(f"it ended after the restart: {second.part.tail()}")
    if second.part.process.returncode != 0:
        report.wrong.append(f"it did not stop well: {second.part.process.returncode}")
    return report


def _wrong(place: Scene, token: TokenTool, journey: Journey) -> Iterator[str]:
    """Yield what must hold and does not."""
    store = Store(place.state)
    record = store.get(CertificateRecord, "web")
    account = store.get(AccountRecord, "test")
    assert record is not None
    assert account is not None
    assert account.key is not None
    # An answer whose validation met no daemon ends its order: that is an attempt more.
    spoilt = spoilt_orders(place) - journey.spoilt_before
    answered = place.ca.answered_orders - journey.answered_before
    if answered != journey.orders + spoilt or spoilt > 1:
        yield f"{answered} orders were answered, {spoilt} were spoilt"
    if len(place.ca.accounts) != 1:
        yield f"{len(place.ca.accounts)} accounts"
    if len(record.keys) != 1:
        yield f"{len(record.keys)} keys are recorded"
    recorded = {key.id for key in record.keys} | {account.key.id}
    files = {path.stem for path in place.state.glob("keys/*.pem")}
    objects = {
        line.partition("ID:")[2].strip()
        for line in token.private_keys().splitlines()
        if "ID:" in line
    }
    if files | objects != recorded:
        yield f"keys {files | objects} exist, {recorded} are recorded"
    kept = sorted(path.name for path in place.state.glob("certificates/web/*"))
    if kept != [str(record.publication_count)]:
        yield f"publications {kept} are left"
    if journey.watcher.failures:
        yield f"handshakes failed: {journey.watcher.failures}"
    yield from journey.wrong(record)


def _unserved(place: Scene, address: Address) -> Iterator[str]:
    """Yield where what is served is not what was issued last."""
    record = Store(place.state).get(CertificateRecord, "web")
    current = None if record is None else record.current
    served = look(address)
    if current is None or served != current.fingerprint:
        yield f"{served} is served, not {msgspec.to_builtins(current)}"


def count(home: Path, run: Run) -> int:
    """Return how many writes a journey takes that nobody disturbs."""
    report = perform(home / "run", run)
    assert not report.wrong, report.wrong
    assert not report.killed
    print(f"{len(report.writes)} writes of {run}")
    return len(report.writes)


def all_wrong(home: Path, runs: Sequence[Run]) -> str:
    """Do runs side by side and return what was wrong; empty where all was well."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        homes = [home / f"run-{number}" for number in range(len(runs))]
        reports = list(pool.map(attempt, homes, runs))
    killed = sum(report.killed for report in reports)
    print(f"{killed} of {len(runs)} runs were killed")
    wrong = [f"{r}: {p.wrong}" for r, p in zip(runs, reports, strict=True) if p.wrong]
    # How many writes a journey makes depends on how often it had to look.
    spared = [r for r, p in zip(runs, reports, strict=True) if _is_spared(r, p)]
    wrong += [f"{run}: the write of its death killed nobody" for run in spared]
    if killed <= len(runs) / 2:
        wrong.append(f"only {killed} of {len(runs)} runs were killed")
    return "\n".join(wrong)


def _is_spared(run: Run, report: Report) -> bool:
    """Tell whether a run survived although it came to the write of its death."""
    return not report.killed and len(report.writes) >= int(run.options[-1])
