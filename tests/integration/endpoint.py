"""A TLS endpoint that loads its certificate again on SIGHUP, in the mood of a test.

`python -m tests.integration.endpoint HOME LIVE HOST PORT` serves the certificate of
HOME/first.pem at once, and what the link LIVE points to after SIGHUP. The file
HOME/mood says what a SIGHUP does instead: `ignore` it, serve `first` again, `refuse N`,
which breaks every handshake where LIVE points to publication N, or `hang` until the
next one: connections are taken, and nothing is said. It imports nothing of `agent`.
"""

import os
import signal
import socket
import ssl
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

HANDSHAKE_SECONDS = 5.0


class Endpoint:
    """The server: one thread accepts, one for each connection shakes hands."""

    def __init__(self, home: Path, live: Path) -> None:
        """Begin with the first certificate."""
        self._home = home
        self._live = live
        self._context: ssl.SSLContext | None = _context(home / "first.pem")
        self._hangs = False

    def listen(self, host: str, port: int) -> socket.socket:
        """Open the door; the pidfile says that it is open."""
        door = socket.create_server((host, port), backlog=64)
        (self._home / "endpoint.pid").write_text(f"{os.getpid()}\n")
        return door

    def serve(self, door: socket.socket) -> NoReturn:
        """Accept for ever."""
        while True:
            peer, _ = door.accept()
            threading.Thread(target=self._greet, args=(peer,), daemon=True).start()

    def _greet(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            peer.settimeout(HANDSHAKE_SECONDS)
            while self._hangs and peer.recv(1 << 12):
                pass
            context = self._context
            if context is None:
                # Something answers, and it is not TLS.
                peer.sendall(b"no certificate\r\n")
                return
            with context.wrap_socket(peer, server_side=True) as session:
                session.recv(1)

    def reload(self, *_: object) -> None:
        """Do what the mood says."""
        with (self._home / "signals").open("a") as file:
            file.write("H")
        mood = _read(self._home / "mood").split()
        if mood == ["ignore"]:
            return
        self._hangs = mood == ["hang"]
        if self._hangs:
            (self._home / "mood").write_text("")
            return
        publication = self._live.resolve()
        if mood == ["first"]:
            self._context = _context(self._home / "first.pem")
        elif mood == ["refuse", publication.name]:
            self._context = None
        else:
            combined = publication / "combined.pem"
            # One that was withdrawn: every handshake fails.
            self._context = _context(combined) if combined.exists() else None


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _context(combined: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(combined)
    return context


def main(home: str, live: str, host: str, port: str, *options: str) -> None:
    """Serve until a signal ends the process; with `deaf` SIGHUP is one that does."""
    endpoint = Endpoint(Path(home), Path(live))
    # Who was started by nohup(1) has inherited a signal that is ignored.
    heard = signal.SIG_DFL if "deaf" in options else endpoint.reload
    signal.signal(signal.SIGHUP, heard)
    # pause(2) sleeps through a signal that came right before it; a pipe does not.
    mouth, ear = socket.socketpair()
    mouth.setblocking(False)
    signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    door = endpoint.listen(host, int(port))
    threading.Thread(target=endpoint.serve, args=(door,), daemon=True).start()
    while ear.recv(1):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
