"""How a demo is left running, for people who want to look around."""

import os
import signal
from pathlib import Path

from tests.demo.telling import Teller
from tests.parts.daemon import Program


def keep(teller: Teller, program: Program, home: Path, *more: str) -> None:
    """Leave everything running until Ctrl-C; tell how it is asked."""
    teller.heading("Everything keeps running")
    changes = {**program.environment, "PYTHONPATH": str(program.library)}
    values = " ".join(f"{name}={value}" for name, value in changes.items())
    python, *_ = program.argv("status")
    command = home / "nfcertd"
    command.write_text(
        "#!/bin/sh\n"
        f'exec env {values} {python} -m agent "$@" --runtime {program.runtime}\n'
    )
    command.chmod(0o755)
    teller.remark("In another terminal, as root:")
    for verb in ("status", "plan", "keys"):
        teller.remark(f"  {command} {verb}")
    teller.remark(f"  curl http://{program.health}/metrics")
    for line in more:
        teller.remark(f"  {line}")
    teller.remark(f"End it with Ctrl-C, or: kill {os.getpid()}")
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    signal.sigwait(ends)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
