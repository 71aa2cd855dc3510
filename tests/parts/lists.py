"""A server of lists of trusted roots: EST's `/cacerts` and a signed list, over TLS.

It speaks real HTTPS with a certificate of an authority of its own, and answers as RFC
7030 section 4.1.3 and docs/trust-lists.md say. It imports nothing of `agent`.
"""

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from tests.parts.authority import make_server

CACERTS: Final = "/.well-known/est/cacerts"
LIST: Final = "/roots.json"
MAX_LOG: Final = 10_000


@dataclass(slots=True)
class ListServer:
    """A running server; what it answers may change at any time.

    Attributes:
        base: `https://127.0.0.1:port`.
        anchors: PEM file of the root of its TLS.
        cacerts: What `/cacerts` holds, in any order.
        signed: The signed list, whole.
        status: Status of every answer.
        asked: Path and Accept field of every request.
    """

    base: str
    anchors: Path
    cacerts: tuple[x509.Certificate, ...] = ()
    signed: bytes = b""
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def est(self) -> str:
        """Return the URL of the EST resource."""
        return self.base + CACERTS

    @property
    def list(self) -> str:
        """Return the URL of the signed list."""
        return self.base + LIST

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Return status, media type and body for a path."""
        if self.status != 200:
            return self.status, "text/plain", b"not now\n"
        if path == CACERTS:
            der = pkcs7.serialize_certificates([*self.cacerts], Encoding.DER)
            return 200, "application/pkcs7-mime", base64.encodebytes(der)
        if path == LIST:
            return 200, "application/json", self.signed
        return 404, "text/plain", b"no such list\n"


@contextmanager
def list_server(home: Path) -> Iterator[ListServer]:
    """Run a server on a port of 127.0.0.1 until the end of the context."""
    home.mkdir(exist_ok=True)
    files = make_server(home, ("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
        state = ListServer(f"https://127.0.0.1:{port}", files.root)
        server.RequestHandlerClass = _handler(state)
        server.daemon_threads = True
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def _handler(state: ListServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers GET, and logs nothing to the terminal."""

        def do_GET(self) -> None:
            """Answer one request."""
            if len(state.asked) < MAX_LOG:
                state.asked.append((self.path, self.headers.get("Accept", "")))
            status, kind, body = state.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if kind == "application/pkcs7-mime":
                self.send_header("Content-Transfer-Encoding", "base64")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            """Stay silent."""

    return Handler
