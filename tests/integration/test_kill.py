"""The daemon is killed around every durable write, and nothing is lost or doubled.

The writes are enumerated from the store of a run that nobody kills. Then there is one
run for each write and each of two instants: right after the write, and right before its
rename. Half of the runs serve a key of a file, half a key in a SoftHSM2 token through a
real nginx; the account key is in the token in all of them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pytest

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
from tests.parts.process import free_port
from tests.parts.token import TokenTool, tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
]
AT_A_TIME: Final = 2
IN_TOKEN: Final = 'token = "hsm"'
ENROLLED, RENEWED = 1, 2
nginx_reason = nginx_missing(engine_too=True) or ("" if is_root() else "needs root")


class Journey:
    """An enrolment and a renewal with deployment, whoever the daemon is by now."""

    def __init__(self, place: Scene, watcher: Watcher, open_door: "OpenDoor") -> None:
        """Travel on a scene."""
        self._scene = place
        self._watcher = watcher
        self._open_door = open_door

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
        shown = status.certificate("web")
        if status.deployed("web", RENEWED):
            # One of the certificate and one of the account: the old one is gone.
            return len(daemon.ask("keys")["keys"]) == 2
        deployment = status.job("web", "deploy")
        if deployment.get("running") and deployment["phase"] == Stage.SWAPPED:
            # Other publications might want the same signal: nobody has to wait here.
            daemon.clock.push(WINDOW)
        if status.deployed("web", ENROLLED) and shown["publication"] == ENROLLED:
            daemon.ask("renew", "web")
        return False


OpenDoor = Callable[[], None]


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
            if not running and site.snippet.exists():
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


def perform(home: Path, run: Run) -> Report:
    """Do one run in an empty directory."""
    home.mkdir()
    token = softhsm(home)
    with ExitStack() as stack:
        place = stack.enter_context(scene(home, token=token, speed=run.arm.speed))
        endpoint, address, door = stack.enter_context(run.arm.open(place, token))
        watcher = stack.enter_context(watching(address))
        more = f'grace = "0s"\n[[certificate.web.endpoint]]\n{endpoint}'
        web = certificate_table("web", run.arm.key, more=more)
        place.configure(token_table(token), web, account=IN_TOKEN, health=False)
        journey = Journey(place, watcher, door)
        report = _live_and_die(place, journey, run)
        token_keys = TokenTool(module=token.module, environment=token.env, pin=PIN)
        report.wrong += [
            *_wrong(place, token_keys, watcher),
            *_unserved(place, address),
        ]
    return report


def attempt(home: Path, run: Run) -> Report:
    """Do one run; one that does not come to its end is wrong, and the others go on."""
    try:
        return perform(home, run)
    except AssertionError as error:
        return Report(killed=True, writes=[], wrong=[str(error)])


def _live_and_die(place: Scene, journey: Journey, run: Run) -> Report:
    writes = place.home / "writes"
    writes.touch()
    with place.daemon("--writes", str(writes), *run.options) as first:
        arrived = journey.travel(first)
    report = Report(not arrived, writes.read_text().splitlines())
    if not arrived and not first.died():
        report.wrong.append(f"it ended by itself: {first.part.tail()}")
    with place.daemon() as second:
        if not journey.travel(second):
            report.wrong.append(f"it ended after the restart: {second.part.tail()}")
    if second.part.process.returncode != 0:
        report.wrong.append(f"it did not stop well: {second.part.process.returncode}")
    return report


def _wrong(place: Scene, token: TokenTool, watcher: Watcher) -> Iterator[str]:
    """Yield what must hold and does not."""
    store = Store(place.state)
    record = store.get(CertificateRecord, "web")
    account = store.get(AccountRecord, "test")
    assert record is not None
    assert account is not None
    assert account.key is not None
    # An answer whose validation met no daemon ends its order: that is an attempt more.
    spoilt = sum(order.status == "invalid" for order in place.ca.orders)
    if place.ca.answered_orders != RENEWED + spoilt or spoilt > 1:
        yield f"{place.ca.answered_orders} orders were answered, {spoilt} were spoilt"
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
    if watcher.failures:
        yield f"handshakes failed: {watcher.failures}"


def _unserved(place: Scene, address: Address) -> Iterator[str]:
    """Yield where what is served is not what was issued last."""
    record = Store(place.state).get(CertificateRecord, "web")
    current = None if record is None else record.current
    served = look(address)
    if current is None or served != current.fingerprint:
        yield f"{served} is served, not {msgspec.to_builtins(current)}"


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[Arm, int]:
    """Count the writes of a journey that nobody disturbs, in each arm."""
    arms = (FILE,) if nginx_reason else (FILE, TOKEN)
    return {arm: _count(tmp_path_factory.mktemp("whole"), arm) for arm in arms}


def _count(home: Path, arm: Arm) -> int:
    report = perform(home / "run", Run(arm=arm))
    assert not report.wrong, report.wrong
    assert not report.killed
    print(f"{len(report.writes)} writes of an enrolment and a renewal")
    return len(report.writes)


def _runs(counts: dict[Arm, int], option: str, half: int) -> Iterator[Run]:
    """Yield a run for every other write; both arms come to each write in some test."""
    arms = [*counts, FILE][:2]
    arm = arms[(half + (option == "--kill-before")) % 2]
    for number in range(1 + half, counts[arm] + 1, 2):
        yield Run(arm=arm, options=(option, str(number)))


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("option", ["--kill-after", "--kill-before"])
def test_a_kill_at_every_durable_write_loses_and_doubles_nothing(
    tmp_path: Path, counts: dict[Arm, int], option: str, half: int
) -> None:
    """Killed anywhere, it ends with one certificate, its key, and no order too many."""
    runs = list(_runs(counts, option, half))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        homes = [tmp_path / f"run-{number}" for number in range(len(runs))]
        reports = list(pool.map(attempt, homes, runs))
    wrong = {str(r): p.wrong for r, p in zip(runs, reports, strict=True) if p.wrong}
    assert not wrong, "\n".join(f"{run}: {clauses}" for run, clauses in wrong.items())
    killed = sum(report.killed for report in reports)
    print(f"{killed} of {len(runs)} runs were killed")
    # A write that only some journeys make, such as a poll's, may have stayed away.
    assert killed >= len(runs) - 4
