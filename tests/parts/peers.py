"""Peers with certificates of their own, who keep asking a TLS server.

They verify nothing: what is looked at is whether they are accepted. A refusal may come
as a failed handshake or, by nginx, as an answer of 400. Nothing of `agent` is imported.
"""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from tests.vectors.trust import Ca


@dataclass(slots=True)
class Peer:
    """Somebody with a certificate who keeps asking.

    Attributes:
        context: With the certificate in it.
        port: Where it asks.
        served: How often it was.
        refused: What it met instead.
    """

    context: ssl.SSLContext
    port: int
    served: int = 0
    refused: list[str] = field(default_factory=list)

    def ask(self) -> str:
        """Make one connection with one request; return the status line."""
        address = ("127.0.0.1", self.port)
        with (
            socket.create_connection(address, 30) as plain,
            self.context.wrap_socket(plain, server_hostname="web.example") as secured,
        ):
            secured.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: secured.recv(4096), b""))
        return answer.partition(b"\r\n")[0].decode()

    def is_accepted(self) -> bool:
        """Tell whether it is served now."""
        return self.ask() == "HTTP/1.1 200 OK"

    def note(self) -> None:
        """Ask once, and keep what came of it."""
        try:
            answer = self.ask()
        except OSError as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            return
        if answer == "HTTP/1.1 200 OK":
            self.served += 1
        else:
            self.refused.append(answer)


def peer(home: Path, certificate: Ca, port: int) -> Peer:
    """Return a peer with a certificate and its key."""
    private = certificate.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = home / f"peer-{certificate.fingerprint[:16]}.pem"
    path.write_bytes(private + certificate.pem.encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(path)
    return Peer(context, port)


@contextmanager
def talking(who: Peer) -> Iterator[Peer]:
    """Let a peer ask again and again until the end of the context."""
    over = threading.Event()

    def talk() -> None:
        while not over.wait(0.02):
            who.note()

    thread = threading.Thread(target=talk, name="peer")
    thread.start()
    try:
        yield who
    finally:
        over.set()
        thread.join()
