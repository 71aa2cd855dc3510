"""Endpoints as tests see them: a small TLS server, and somebody who keeps looking.

It knows how to start the server of `tests.integration.endpoint`, set its mood, and do a
handshake. It imports nothing of `agent`.
"""

import hashlib
import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.parts.authority import Authority, pem
from tests.parts.process import Part, Setting, running

ROOT: Final = Path(__file__).parents[2]
PORT: Final = 8443
LOOK_EVERY: Final = 0.1
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class TlsServer:
    """A running endpoint."""

    home: Path
    address: Address
    part: Part

    @property
    def signals(self) -> int:
        """Return how many SIGHUP it has had."""
        path = self.home / "signals"
        return path.stat().st_size if path.exists() else 0

    def feel(self, mood: str) -> None:
        """Set what the next SIGHUP does; empty for what it should do."""
        (self.home / "mood").write_text(mood)

    def serves(self) -> str:
        """Return the fingerprint of the certificate that it serves."""
        return look(self.address)


def table(home: Path, host: str, name: str = "", *, more: str = "") -> str:
    """Return the `[[certificate.NAME.endpoint]]` body of an endpoint."""
    called = f'name = "{name}"\n' if name else ""
    return (
        f'{called}reload = {{ pidfile = "{home}/endpoint.pid" }}\n'
        f'verify = {{ connect = "{host}:{PORT}", within = "10s" }}\n{more}'
    )


@contextmanager
def tls_server(home: Path, live: Path, host: str, *options: str) -> Iterator[TlsServer]:
    """Run an endpoint that serves a certificate of nobody until it is signalled."""
    home.mkdir(exist_ok=True)
    _make_first(home / "first.pem")
    argv = [sys.executable, "-m", "tests.integration.endpoint"]
    argv += [str(home), str(live), host, str(PORT), *options]
    pidfile = home / "endpoint.pid"
    setting = Setting(directory=ROOT)
    with running("endpoint", argv, home / "endpoint.log", setting) as part:
        part.wait_until(lambda: pidfile.exists() and _names(pidfile, part.pid))
        yield TlsServer(home, (host, PORT), part)


def _names(pidfile: Path, pid: int) -> bool:
    return pidfile.read_text().strip() == str(pid)


def _make_first(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = Authority().issue(("nobody.example",), key.public_key())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + pem(certificate))


def look(address: Address) -> str:
    """Shake hands and return the SHA-256 of the leaf; raises OSError where it fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(address, timeout=5) as raw,
        _closing_what_is_half_made(),
        context.wrap_socket(raw) as session,
    ):
        leaf = session.getpeercert(binary_form=True)
    return hashlib.sha256(leaf or b"").hexdigest()


@contextmanager
def _closing_what_is_half_made() -> Iterator[None]:
    """Close the socket that `wrap_socket` of Python 3.11 leaves open.

    It does so where the peer has reset the connection before it looks for one.
    """
    try:
        yield
    except OSError as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            made = frame.f_locals.get("self")
            if isinstance(made, ssl.SSLSocket):
                made.close()
        raise


@dataclass(slots=True)
class Watcher:
    """Shakes hands again and again from the first success on.

    Attributes:
        seen: Fingerprints in the order of their first appearance.
        failures: What failed after the first success.
        looks: How many handshakes succeeded.
    """

    seen: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    looks: int = 0

    def look_once(self, address: Address) -> None:
        """Do one handshake and keep what it showed."""
        try:
            leaf = look(address)
        except OSError as error:
            if self.looks:
                self.failures.append(f"{type(error).__name__}: {error}")
            return
        self.looks += 1
        if leaf not in self.seen:
            self.seen.append(leaf)


@contextmanager
def watching(address: Address) -> Iterator[Watcher]:
    """Look at an address from another thread until the end of the context."""
    watcher, over = Watcher(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY):
            watcher.look_once(address)

    thread = threading.Thread(target=watch, name="watcher")
    thread.start()
    try:
        yield watcher
    finally:
        over.set()
        thread.join()
