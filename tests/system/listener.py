"""A stand-in for a TLS endpoint: notes each SIGHUP in the file that it is given."""

import os
import signal
import sys
from pathlib import Path

from agent.clock import SystemClock
from agent.systemd import Notifier


def main() -> None:
    """Say that we are ready once we listen, and note signals until we are stopped."""
    heard = Path(sys.argv[1])
    signals = {signal.SIGHUP, signal.SIGTERM}

    def note(signum: int, _: object) -> None:
        """Note the signal."""
        with heard.open("a") as file:
            file.write(f"{signal.Signals(signum).name}\n")

    for signum in signals:
        signal.signal(signum, note)
    Path(f"{heard}.pid").write_text(f"{os.getpid()}\n")
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET"), SystemClock())
    notifier.ready("listening")
    while "SIGTERM" not in (heard.read_text() if heard.exists() else ""):
        signal.pause()


if __name__ == "__main__":
    main()
