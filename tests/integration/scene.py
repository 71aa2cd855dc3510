"""A host on which the daemon works: a test CA, a token, a clock, and the daemon itself.

It knows how these are started, asked and ended. Each scene has a loopback address of
its own, so that scenes side by side never meet on a port.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from agent.control.client import ask
from agent.control.verbs import Argument, ControlError, UnreachableError
from tests.ca import Config, TestCA
from tests.integration.clock import SharedClock
from tests.integration.tokens import TokenSetup
from tests.parts.looped import looped
from tests.parts.process import Part, Setting, running

ROOT: Final = Path(__file__).parents[2]
HTTP_PORT: Final = 8080
TLS_PORT: Final = 8443
HEALTH_PORT: Final = 9469
PATIENCE: Final = 60.0
"""Real seconds for anything that a test waits for."""
PAUSE: Final = 0.03
MARGIN: Final = timedelta(seconds=1)
BASE: Final = """\
[agent]
state = "{home}/state"
runtime = "{home}/run"
health = "{health}"
clock = "assume"

[http-01]
listen = ["{address}:8080"]

[tls-alpn-01]
listen = ["{address}:8443"]

[ca.test]
directory = "{directory}"
roots = "{home}/transport.pem"
chain_roots = "{home}/issuing.pem"
timeout = "5s"

[account.test]
ca = "test"
key = {{ {account} }}
"""
TOKEN: Final = """
[token.{name}]
module = "{module}"
token = "{uri}"
pin = "file:{pin}"
deadline = "{deadline}"
hung_limit = "{limit}"
"""
IN_FILE: Final = "file = true"
View = dict[str, Any]


def token_table(setup: TokenSetup, name: str = "hsm", **changes: str) -> str:
    """Return the `[token.NAME]` table of a token; `deadline` and `limit` may differ."""
    limits = {"deadline": "10s", "limit": "10m"} | changes
    return TOKEN.format(
        name=name, module=setup.module, uri=setup.uri, pin=setup.pin_file, **limits
    )


def certificate_table(
    name: str, key: str = IN_FILE, *, names: tuple[str, ...] = (), more: str = ""
) -> str:
    """Return a `[certificate.NAME]` table; `more` may hold keys and endpoints."""
    dns = ", ".join(f'"{n}"' for n in names or (f"{name}.example",))
    return (
        f'\n[certificate.{name}]\nnames = [{dns}]\nca = "test"\n'
        f"key = {{ {key} }}\n{more}\n"
    )


@dataclass(frozen=True, slots=True)
class Status:
    """What the daemon said of itself."""

    view: View

    def certificate(self, name: str) -> View:
        """Return a certificate; empty where the daemon shows none."""
        found: list[View] = self.view["certificates"]
        return next((c for c in found if c["name"] == name), {})

    def deployed(self, name: str, publication: int = 1) -> bool:
        """Tell whether a publication or a later one is deployed and nothing is due."""
        shown = self.certificate(name)
        return bool(
            shown
            and shown["deployed"]
            and shown["publication"] >= publication
            and not shown["jobs"]
        )

    def account(self, name: str = "test") -> View:
        """Return an account; empty where the daemon shows none."""
        found: list[View] = self.view["accounts"]
        return next((a for a in found if a["name"] == name), {})

    def job(self, name: str, slot: str) -> View:
        """Return a job of a certificate by how its slot begins; empty for none."""
        jobs: list[View] = self.certificate(name).get("jobs", [])
        return next((job for job in jobs if job["slot"].startswith(slot)), {})

    def alarms(self, subject: str) -> dict[str, View]:
        """Return the alarms of a subject by their id."""
        alarms: list[View] = self.view["alarms"]
        return {a["id"]: a for a in alarms if a["subject"] == subject}

    def token(self, name: str) -> View:
        """Return a token."""
        tokens: list[View] = self.view["tokens"]
        return next(t for t in tokens if t["name"] == name)

    @property
    def next_attempt(self) -> datetime | None:
        """Return the earliest instant that a job waits for; None while one runs."""
        subjects = [*self.view["certificates"], *self.view["accounts"]]
        jobs = [job for subject in subjects for job in subject["jobs"]]
        if any(job["running"] or _is_due(job) for job in jobs):
            return None
        instants = [datetime.fromisoformat(j["at"]) for j in jobs if j["at"]]
        return min(instants, default=None)


def _is_due(job: View) -> bool:
    # What waits for ever has a reason with spaces; what is due is an effect's name.
    return job["at"] is None and " " not in job["next"]


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs on a scene."""

    part: Part
    runtime: Path
    clock: SharedClock

    def ask(self, verb: str, name: str = "", **more: Argument) -> View:
        """Ask for a verb and return the answer; raises `ControlError`."""
        arguments = more | ({"name": name} if name else {})
        return asyncio.run(ask(self.runtime / "control.sock", verb, arguments))

    def status(self) -> Status:
        """Return what it says of itself."""
        return Status(self.ask("status"))

    def answers(self) -> bool:
        """Tell whether it answers on its socket."""
        with contextlib.suppress(ControlError):
            return bool(self.ask("version"))
        return False

    def wait(
        self, check: Callable[[Status], object], within: float = PATIENCE
    ) -> Status:
        """Wait in real time until its status satisfies `check`, and return it."""
        return self._until(check, within, push=False)

    def settle(
        self, check: Callable[[Status], object], within: float = PATIENCE
    ) -> Status:
        """As `wait`, and push the clock over every wait that a job has stated."""
        return self._until(check, within, push=True)

    def settle_deployed(self, name: str, publication: int = 1) -> Status:
        """As `settle`, until a publication of a certificate is deployed."""
        return self.settle(lambda status: status.deployed(name, publication))

    def _until(
        self, check: Callable[[Status], object], within: float, *, push: bool
    ) -> Status:
        deadline = time.monotonic() + within
        while not check(status := self.status()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not so in time: {status}\n{self.part.tail(40)}")
            if push:
                self.push_over(status)
            time.sleep(PAUSE)
        return status

    def push_over(self, status: Status) -> None:
        """Push the clock to the next instant that a job waits for, if all wait."""
        if (at := status.next_attempt) is not None:
            self.clock.push(max(at - self.clock.now(), timedelta(0)) + MARGIN)
        elif any(a["failure"] for a in status.view["accounts"]):
            self.clock.push(timedelta(minutes=2))

    def kill(self) -> None:
        """End it as a power cut does."""
        self.part.signal(signal.SIGKILL)
        self.part.process.wait(PATIENCE)

    def died(self) -> bool:
        """Tell whether it was ended by SIGKILL."""
        return self.part.process.poll() == -signal.SIGKILL

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for its end and return its exit status."""
        return self.part.process.wait(within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a daemon works.

    Attributes:
        home: Directory with everything.
        address: Loopback address of this scene only.
        clock: The time of the daemon and of its CA.
        ca: The CA, in a thread of this process.
        environment: What the daemon's PKCS#11 modules need.
    """

    home: Path
    address: str
    clock: SharedClock
    ca: TestCA
    environment: dict[str, str]

    @property
    def config(self) -> Path:
        """Return the configuration file."""
        return self.home / "nfcertd.toml"

    @property
    def state(self) -> Path:
        """Return the state directory."""
        return self.home / "state"

    def configure(
        self, *tables: str, account: str = IN_FILE, health: bool = True
    ) -> None:
        """Write the configuration: the base and further tables.

        Args:
            tables: What stands after the base.
            account: Where the account key is.
            health: Listen for scrapes; it costs a tenth of a second at the start.
        """
        base = BASE.format(
            home=self.home,
            address=self.address,
            directory=self.ca.directory_url,
            account=account,
            health=f"{self.address}:{HEALTH_PORT}" if health else "",
        )
        self.config.write_text(base + "".join(tables))

    @contextmanager
    def daemon(self, *options: str) -> Iterator[Daemon]:
        """Run the daemon until the end of the context; it answers when this yields.

        A daemon that is to die while it starts is given as it is.
        """
        argv = [sys.executable, "-m", "tests.integration.daemon", str(self.config)]
        argv += ["--clock", str(self.home / "clock"), *options]
        setting = Setting(environment=self.environment, directory=ROOT)
        log = self.home / "nfcertd.log"
        with running("nfcertd", argv, log, setting) as part:
            daemon = Daemon(part, self.home / "run", self.clock)
            deadline = time.monotonic() + PATIENCE
            while part.alive and not daemon.answers():
                assert time.monotonic() < deadline, part.tail(40)
                time.sleep(PAUSE)
            yield daemon

    def metrics(self) -> dict[str, float]:
        """Return the samples of a scrape by name with labels."""
        url = f"http://{self.address}:{HEALTH_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs if name}

    def log(self) -> str:
        """Return what the daemons of this scene have logged."""
        return (self.home / "nfcertd.log").read_text(errors="replace")


@contextmanager
def scene(
    home: Path,
    config: Config | None = None,
    *,
    token: TokenSetup | None = None,
    speed: float = 1.0,
    tls_port: int = TLS_PORT,
) -> Iterator[Scene]:
    """Make a scene below `home`; everything ends with the context.

    Args:
        home: An empty directory.
        config: Switches of the CA; names, and time, are given by the scene.
        token: Whose environment the daemon gets.
        speed: How much faster than real time the clock runs.
        tls_port: Where the CA looks for tls-alpn-01.
    """
    (home / "state").mkdir()
    (home / "run").mkdir()
    clock = SharedClock.make(home / "clock", speed)
    address = own_address()
    switches = replace(
        config or Config(),
        now=clock,
        resolve=lambda _: (address, HTTP_PORT),
        tls_alpn=lambda _: (address, tls_port),
    )
    with serving(switches) as ca:
        (home / "transport.pem").write_bytes(ca.transport_root_pem)
        (home / "issuing.pem").write_bytes(ca.issuing_root_pem)
        yield Scene(
            home=home,
            address=address,
            clock=clock,
            ca=ca,
            environment={} if token is None else token.env,
        )


def own_address() -> str:
    """Return a loopback address that nobody else uses, most likely."""
    low, middle, high = (secrets.randbelow(250) + 1 for _ in range(3))
    return f"127.{low}.{middle}.{high}"


@contextmanager
def serving(config: Config) -> Iterator[TestCA]:
    """Run a CA on a thread of its own, so that tests may block."""
    with looped(TestCA(config), "test ca") as ca:
        yield ca


def is_root() -> bool:
    """Tell whether this process may do everything."""
    return os.geteuid() == 0


__all__ = [
    "Daemon",
    "Scene",
    "Status",
    "UnreachableError",
    "certificate_table",
    "is_root",
    "scene",
    "serving",
    "token_table",
]
