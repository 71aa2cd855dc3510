"""A load generator: new TLS connections with one request each, counted.

It knows HTTP/1.1 as far as one GET with `Connection: close` needs it. Everything that
is not a verified handshake and a complete answer of 200 is a failure. It runs as a
process of its own, bounded in count and time, so that it disturbs nobody's event loop.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

TIMEOUT: Final = 5.0
"""Seconds after which a connection counts as failed."""
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
PROJECT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the load goes, and how much of it.

    Attributes:
        port: TLS port on 127.0.0.1.
        server_name: SNI, and the name that the certificate must have.
        roots: PEM file of the anchors; None accepts any certificate.
        threads: Connections at a time.
        limit: Connections in all, at most.
        seconds: How long, at most.
    """

    port: int
    server_name: str = "localhost"
    roots: Path | None = None
    threads: int = 4
    limit: int = 1_000_000
    seconds: float = 60.0


@dataclass(slots=True)
class Leaf:
    """How often one certificate was served, and when (seconds of the wall clock)."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass(slots=True)
class Result:
    """What became of the connections.

    Attributes:
        ok: Connections that were verified and answered with 200.
        failed: All others.
        errors: How often each kind of failure happened.
        leaves: What was served, by the SHA-256 of the leaf's DER in hexadecimal.
    """

    ok: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)


class Generator:
    """Makes connections in threads until it has made enough or is told to stop."""

    def __init__(self, target: Target) -> None:
        """Prepare; nothing is connected yet."""
        self._target = target
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._left = target.limit
        self._result = Result()
        self._errors: collections.Counter[str] = collections.Counter()

    def stop(self) -> None:
        """Let the connections that are open end, and make no new ones."""
        self._stop.set()

    def run(self) -> Result:
        """Make connections until the end, and return what became of them."""
        threads = [
            threading.Thread(target=self._work) for _ in range(self._target.threads)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self._target.seconds
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() > deadline:
                self.stop()
            time.sleep(0.05)
        self._result.errors = dict(self._errors)
        return self._result

    def _work(self) -> None:
        while self._take():
            try:
                leaf = connect(self._target)
            except (OSError, ValueError) as error:
                self._fail(f"{type(error).__name__}: {error}")
            else:
                self._count(leaf)

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0 and not self._stop.is_set()

    def _fail(self, error: str) -> None:
        with self._lock:
            self._result.failed += 1
            self._errors[error] += 1

    def _count(self, leaf: str) -> None:
        with self._lock:
            self._result.ok += 1
            seen = self._result.leaves.setdefault(leaf, Leaf(first=time.time()))
            seen.count += 1
            seen.last = time.time()


def connect(target: Target) -> str:
    """Make one connection with one request; return the leaf's fingerprint.

    Raises:
        OSError: No connection, no handshake (ssl.SSLError is one), or a timeout.
        ValueError: The answer is not a complete 200.
    """
    # A context for each connection: a session that is resumed shows no certificate.
    context = ssl.create_default_context(
        cafile=str(target.roots) if target.roots else None
    )
    if target.roots is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    address = ("127.0.0.1", target.port)
    with (
        socket.create_connection(address, TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=target.server_name) as secured,
    ):
        leaf = secured.getpeercert(binary_form=True) or b""
        secured.sendall(REQUEST % target.server_name.encode())
        answer = b"".join(iter(lambda: secured.recv(4096), b""))
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"served\n"):
        raise ValueError(f"answer: {answer[:60]!r}")
    return hashlib.sha256(leaf).hexdigest()


@dataclass(frozen=True, slots=True)
class Load:
    """A load generator at work in its own process."""

    process: subprocess.Popen[str]

    def stop(self) -> Result:
        """End it and return what became of the connections."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> Result:
        """Wait for its own end and return what became of the connections."""
        output, _ = self.process.communicate(timeout=90)
        data = json.loads(output)
        leaves = {name: Leaf(**leaf) for name, leaf in data.pop("leaves").items()}
        return Result(**data, leaves=leaves)


@contextmanager
def load(target: Target) -> Iterator[Load]:
    """Put load on a target from another process until `stop` or the target's limits."""
    argv = [
        sys.executable,
        "-m",
        "tests.parts.load",
        json.dumps(asdict(target), default=str),
    ]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=PROJECT
    )
    try:
        yield Load(process)
    finally:
        if process.poll() is None:
            process.kill()
        with contextlib.suppress(ValueError):
            process.communicate(timeout=10)


def main() -> None:
    """Run a generator and print its result, JSON, also when told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="JSON of a Target")
    data = json.loads(parser.parse_args().target)
    roots = data.pop("roots")
    generator = Generator(Target(**data, roots=Path(roots) if roots else None))
    signal.signal(signal.SIGTERM, lambda _number, _frame: generator.stop())
    print(json.dumps(asdict(generator.run())))


if __name__ == "__main__":
    main()
