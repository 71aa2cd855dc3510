"""The test CA as a unit: says when it listens, and keeps its log of requests in a file.

    authority.py DIRECTORY PORT

Every name leads to port 80 of loopback. The roots and the log are in DIRECTORY.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from agent.clock import SystemClock
from agent.systemd import Notifier
from tests.ca.config import Config
from tests.ca.server import TestCA

PAUSE = 0.05
"""Seconds between two looks at the log."""


async def main() -> None:
    """Run the CA until SIGTERM."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = Config(port=port, resolve=lambda _: ("127.0.0.1", 80))
    async with TestCA(config) as ca, asyncio.TaskGroup() as tasks:
        (folder / "transport-root.pem").write_bytes(ca.transport_root_pem)
        (folder / "issuing-root.pem").write_bytes(ca.issuing_root_pem)
        keeper = tasks.create_task(keep(ca, folder / "log"))
        Notifier(os.environ.get("NOTIFY_SOCKET"), SystemClock()).ready(ca.directory_url)
        await stop.wait()
        keeper.cancel()


async def keep(ca: TestCA, path: Path) -> None:
    """Write the log whenever it has grown; a reader never sees half of it."""
    written = -1
    while True:
        if len(ca.log) != written:
            written = len(ca.log)
            fresh = path.with_suffix(".new")
            fresh.write_text("".join(f"{line}\n" for line in ca.log.sequence))
            fresh.replace(path)
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    asyncio.run(main())
