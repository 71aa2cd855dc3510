"""What the daemon costs: memory and wake-ups when idle, time from start to READY.

`python -m tests.tools.measure [SECONDS]` runs the installed daemon with one certificate
and prints a table; it fails where a bar is broken. The packages are copied first, so
that no page of theirs is shared with this process: a share would flatter the figures.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.scene import (
    Daemon,
    Scene,
    Status,
    certificate_table,
    scene,
    token_table,
)
from tests.integration.served import table, tls_server
from tests.integration.tokens import softhsm
from tests.parts.daemon import Program, installed
from tests.parts.process import Setting, running

IDLE_SECONDS: Final = 70.0
MEMORY_BAR: Final = 50.0
"""Mebibytes of PSS; 40 is the goal."""
WAKE_BAR: Final = 1.0
"""Wake-ups a minute; the watchdog's, which is not on here, come on top."""
READY_BAR: Final = 1000.0
"""Milliseconds from start to READY=1."""
STARTS: Final = 3
SETTLING: Final = 3.0
"""Seconds after the last step before a daemon counts as idle."""
SKELETON: Final = "import agent.daemon, sys; print('up', flush=True); sys.stdin.read()"
NOTHING: Final = "import sys; print('up', flush=True); sys.stdin.read()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One row of the table; what was not measured is None.

    Attributes:
        pss: Mebibytes, shared pages counted in proportion.
        rss: Mebibytes, shared pages counted in full.
        wakes: Wake-ups a minute, of all threads.
        ready: Milliseconds from start to READY=1.
    """

    pss: float
    rss: float
    wakes: float | None = None
    ready: float | None = None

    @property
    def well(self) -> bool:
        """Tell whether every bar holds."""
        return (
            self.pss <= MEMORY_BAR
            and (self.wakes or 0.0) <= WAKE_BAR
            and (self.ready or 0.0) <= READY_BAR
        )


def memory(pid: int) -> tuple[float, float]:
    """Return PSS and RSS of a process in mebibytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sizes["Pss"] / 1024, sizes["Rss"] / 1024


def switches(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep by themselves."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def interpreter(program: Program, code: str) -> Figures:
    """Measure an interpreter that has run some code and does nothing."""
    argv = [program.argv("run")[0], "-c", code]
    setting = program.setting().complete()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=setting
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pss, rss = memory(process.pid)
        process.communicate()
    return Figures(pss=pss, rss=rss)


@contextmanager
def started(place: Scene, program: Program) -> Iterator[tuple[Daemon, float]]:
    """Run the installed daemon, and give the milliseconds that READY=1 took."""
    address = place.home / "notify"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(address))
        ear.settimeout(30)
        setting = Setting(
            environment={
                **program.setting().environment,
                "NOTIFY_SOCKET": str(address),
            }
        )
        begun = time.monotonic()
        log = place.home / "nfcertd.log"
        with running("nfcertd", program.argv("run"), log, setting) as part:
            while b"READY=1" not in ear.recv(4096):
                pass
            ready = (time.monotonic() - begun) * 1000
            yield Daemon(part, place.home / "run", place.clock), ready


def renewed(status: Status) -> bool:
    """Tell whether the second certificate is deployed, its old key in its grace."""
    web = status.certificate("web")
    return bool(web["publication"] == 2 and web["deployed"])


def daemon(place: Scene, program: Program, seconds: float) -> Figures:
    """Enrol, restart, and measure the idle daemon."""
    with started(place, program) as (first, _):
        first.wait(lambda status: status.deployed("web"))
        first.ask("renew", "web")
        first.wait(renewed)
        place.metrics()
        time.sleep(SETTLING)
        before, begun = switches(first.part.pid), time.monotonic()
        time.sleep(seconds)
        woken = switches(first.part.pid) - before
        wakes = woken * 60 / (time.monotonic() - begun)
        pss, rss = memory(first.part.pid)
    times = []
    for _ in range(STARTS):
        with started(place, program) as (_, ready):
            times.append(ready)
    return Figures(pss=pss, rss=rss, wakes=wakes, ready=sorted(times)[STARTS // 2])


def measure(home: Path, seconds: float) -> dict[str, Figures]:
    """Return every row: two bare interpreters, and a daemon in two arrangements."""
    found = {}
    in_file, in_token = home / "file", home / "token"
    for directory in (in_file, in_token):
        directory.mkdir()
    with (
        scene(in_file) as place,
        tls_server(home / "e", place.state / "live/web", place.address),
    ):
        endpoint = f"[[certificate.web.endpoint]]\n{table(home / 'e', place.address)}"
        place.configure(certificate_table("web", more=endpoint))
        program = installed(home, place.config, {})
        found["bare interpreter"] = interpreter(program, NOTHING)
        found["skeleton, imported"] = interpreter(program, SKELETON)
        found["key in a file, endpoint proven"] = daemon(place, program, seconds)
    library = program.library
    token = softhsm(in_token)
    with scene(in_token, token=token) as place:
        web = certificate_table("web", 'token = "hsm"')
        place.configure(token_table(token), web, account='token = "hsm"')
        program = Program(
            library=library,
            config=place.config,
            environment=token.env,
            health=f"{place.address}:9469",
            runtime=str(place.home / "run"),
        )
        found["keys in a token"] = daemon(place, program, seconds)
    return found


def told(found: dict[str, Figures]) -> str:
    """Return the table."""
    head = f"{'':32} {'PSS MiB':>8} {'RSS MiB':>8} {'wakes/min':>10} {'READY ms':>9}"
    lines = [head]
    for name, row in found.items():
        wakes = "" if row.wakes is None else f"{row.wakes:.1f}"
        ready = "" if row.ready is None else f"{row.ready:.0f}"
        lines.append(f"{name:32} {row.pss:8.1f} {row.rss:8.1f} {wakes:>10} {ready:>9}")
    bars = f"{MEMORY_BAR:8.0f} {'':8} {WAKE_BAR:10.0f} {READY_BAR:9.0f}"
    return "\n".join([*lines, f"{'bar':32} {bars}"])


def main(arguments: list[str]) -> int:
    """Print the table; return 1 where a bar is broken."""
    seconds = float(arguments[0]) if arguments else IDLE_SECONDS
    with tempfile.TemporaryDirectory(prefix="nfcertd-measure-") as home:
        found = measure(Path(home), seconds)
    print(told(found))
    return 0 if all(row.well for row in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
