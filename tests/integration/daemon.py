"""The daemon as tests run it: the real one, on a clock and a store of their choosing.

`python -m tests.integration.daemon CONFIG` composes `agent.daemon.run` and changes two
parts: time may come from a shared clock, and the store may end the process with SIGKILL
around one of its writes. It knows writes by their number and by the intent in them.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from agent.clock import SystemClock
from agent.daemon import run
from agent.files import write_durable
from agent.host import Host
from agent.keys.worker import Worker
from agent.records.codec import KINDS, Record, encode
from agent.store import Store
from tests.integration.clock import SharedClock

Die = Callable[[], None]
NEVER: Final = 0
UNCOUNTED: Final = -1
LAST_CALL: Final = 0.002
LAST_CALLS: Final = 2_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """When the process dies.

    Attributes:
        after: Number of the write right after which; `NEVER` for none.
        before: Number of the write right before whose rename; `NEVER` for none.
        during: Subject and effect, `web:create-order`: right after every write that
            begins this effect; empty for none.
        ending: Subject and effect likewise: instead of the write that tells what came
            of this effect.
        writes: File that gets a line for every finished write, or None.
        armed: Writes are counted, and noted, while this file exists; None for always.
    """

    after: int = NEVER
    before: int = NEVER
    during: str = ""
    ending: str = ""
    writes: Path | None = None
    armed: Path | None = None

    @property
    def counts(self) -> bool:
        """Tell whether a write is counted now."""
        return self.armed is None or self.armed.exists()


def kill_ourselves() -> None:
    """End the process as nothing can prevent, and as nothing can clean up after.

    A call of a token's module is let come back first: SoftHSM2 writes its token's file
    in place, at each login as well. Killed there, it has no token any more, which is
    nothing that a daemon could lose or mend.
    """
    for _ in range(LAST_CALLS):
        time.sleep(LAST_CALL)
        if not is_in_module():
            break
    os.kill(os.getpid(), signal.SIGKILL)


def is_in_module() -> bool:
    """Tell whether a thread of a token's module has anything to do."""
    frames = sys._current_frames()  # noqa: SLF001 -- there is no other way to see it
    top = (
        frames.get(thread.ident or 0)
        for thread in threading.enumerate()
        if thread.name.startswith("pkcs11 ")
    )
    return any(frame and frame.f_code is not Worker._serve.__code__ for frame in top)  # noqa: SLF001 -- where it waits for work


class DeadlyStore(Store):
    """A store around whose writes the process dies."""

    def __init__(self, state: Path, death: Death, die: Die = kill_ourselves) -> None:
        """Use a state directory, and die as told."""
        super().__init__(state)
        self._state = state
        self._death = death
        self._die = die
        self._count = 0
        self._begun: dict[str, set[str]] = {}

    def put(self, record: Record) -> None:
        """Make a record durable, or die around it."""
        counts = self._death.counts
        self._count += counts
        number = self._count if counts else UNCOUNTED
        begun = {f"{_name(record)}:{effect}" for effect in begun_effects(record)}
        ended = self._begun.get(_name(record), set()) - begun
        if number == self._death.before or self._death.ending in ended:
            self._leave_temporary(record)
            self._die()
        super().put(record)
        self._begun[_name(record)] = begun
        if counts:
            self._note(record)
        if number == self._death.after or self._death.during in begun:
            self._die()

    def _leave_temporary(self, record: Record) -> None:
        """Leave what a crash between fsync(2) and rename(2) leaves."""
        directory = self._state / "records" / KINDS[type(record)]
        path = directory / f".{_name(record)}.json.tmp"
        write_durable(path, encode(record), 0o600)

    def _note(self, record: Record) -> None:
        if self._death.writes is not None:
            effects = ",".join(begun_effects(record)) or "-"
            with self._death.writes.open("a") as file:
                file.write(f"{KINDS[type(record)]} {_name(record)} {effects}\n")


def _name(record: Record) -> str:
    return str(getattr(record, "name", "instance"))


def begun_effects(record: Record) -> Iterator[str]:
    """Yield the effects that a record says are under way, but for those of tokens."""
    members = getattr(record, "JOBS", {}).values()
    for member in members:
        held = getattr(record, member)
        for job in held.values() if isinstance(held, Mapping) else [held]:
            if job is not None and job.running:
                yield job.intent


@dataclass(slots=True)
class Steps:
    """Renames and removals of files whose path has a part, and a death before one.

    Attributes:
        part: Part of the path, such as `/bootstrap/`.
        kill_at: Number of the step before which the process dies; `NEVER` for none.
        log: File that gets a line for every step.
        count: Steps so far.
    """

    part: str
    kill_at: int
    log: Path
    count: int = 0

    def heard(self, event: str, arguments: tuple[object, ...]) -> None:
        """Hear of what the interpreter is about to do (`sys.addaudithook`)."""
        if event not in {"os.rename", "os.remove"}:
            return
        path = os.fsdecode(arguments[0])  # type: ignore[arg-type]  # a path
        if self.part not in path:
            return
        self.count += 1
        if self.count == self.kill_at:
            kill_ourselves()
        with self.log.open("a") as file:
            file.write(f"{event} {path}\n")


def main(arguments: list[str]) -> int:
    """Run the daemon; return its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--clock", type=Path)
    parser.add_argument("--kill-after", type=int, default=NEVER)
    parser.add_argument("--kill-before", type=int, default=NEVER)
    parser.add_argument("--kill-during", default="")
    parser.add_argument("--kill-ending", default="")
    parser.add_argument("--writes", type=Path)
    parser.add_argument("--armed", type=Path)
    parser.add_argument("--steps-of", default="")
    parser.add_argument("--steps", type=Path)
    parser.add_argument("--kill-step", type=int, default=NEVER)
    given = parser.parse_args(arguments)
    if given.steps_of:
        steps = Steps(given.steps_of, given.kill_step, given.steps)
        sys.addaudithook(steps.heard)
    death = Death(
        after=given.kill_after,
        before=given.kill_before,
        during=given.kill_during,
        ending=given.kill_ending,
        writes=given.writes,
        armed=given.armed,
    )
    clock = SharedClock(given.clock) if given.clock else SystemClock()
    store = partial(DeadlyStore, death=death)
    return run(Host(path=given.config, clock=clock, store=store))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
