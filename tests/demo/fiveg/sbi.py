"""Requests from one network function to another, with the function's own certificate.

The key is in the token: openssl reaches it through the engine, as nginx does. Each side
verifies the other against what nfcertd publishes. Nothing here asks nfcertd.

A function would log in to its token once; openssl does for each request. SoftHSM2
writes its token's file at each login, so that one can meet another process's and fail:
then nothing has been sent, and it is done again, and counted. An HSM does not have that
fault.
"""

import re
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography import x509

from tests.demo.fiveg.network import Function, Network
from tests.parts.process import PartError

PATIENCE: Final = 20.0
"""Seconds that one request may take."""
PAUSE: Final = 0.3
"""Seconds between two requests: each is a login, and one that meets an nginx that opens
a session can make its worker hang (docs/operations.md)."""
LOGINS: Final = 4
"""Logins that one request may take."""
NO_KEY: Final = "ENGINE_load_private_key"
CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


class RefusedError(PartError):
    """A request was not answered, or by somebody else."""


class LoginError(RefusedError):
    """The token did not give the key: nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What each side saw of the other.

    Attributes:
        client: URI in the certificate that the server was shown.
        server: URI in the certificate that the client was shown.
        serial: Serial number of the latter.
        issuer: Root that its chain was verified to end in.
        logins: How many times the client's token had to be asked for the key.
    """

    client: str
    server: str
    serial: int
    issuer: str
    logins: int = 1


def ask(network: Network, client: Function, server: Function) -> Talk:
    """Make one request over mutual TLS (TS 33.501 clause 13.1).

    Raises:
        LoginError: The token did not give the key, several times in a row.
        RefusedError: The handshake or the request failed, on either side, or took
            longer than `PATIENCE`.
    """
    logins = 1
    while True:
        try:
            return replace(_ask(network, client, server), logins=logins)
        except LoginError:
            if logins == LOGINS:
                raise
            logins += 1


def _ask(network: Network, client: Function, server: Function) -> Talk:
    live = network.live(client.name)
    uri = (live / "key.uri").read_text().strip()
    uri += f"{'&' if '?' in uri else '?'}pin-source=file:{network.home}/nginx.pin"
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}"]
    argv += ["-servername", server.fqdn, "-verify_hostname", server.fqdn]
    argv += ["-verify_return_error", "-ign_eof"]
    argv += ["-CAfile", str(network.live("trust-sba") / "trust.pem")]
    argv += ["-cert", str(live / "cert.pem"), "-cert_chain", str(live / "chain.pem")]
    argv += ["-engine", "pkcs11", "-keyform", "engine", "-key", uri]
    request = f"GET / HTTP/1.1\r\nHost: {server.fqdn}\r\nConnection: close\r\n\r\n"
    environment = {
        "PATH": "/usr/bin:/bin",
        "OPENSSL_CONF": str(network.home / client.name / "nginx/openssl.cnf"),
        **network.exported.environment,
    }
    done = _run(argv, request.encode(), environment)
    text = done.stdout.decode(errors="replace")
    shown = CERTIFICATE.search(text)
    _, _, answer = text.partition("HTTP/1.1 ")
    if done.returncode or shown is None or not answer.startswith("200 "):
        said = done.stderr.decode(errors="replace")
        if NO_KEY in said:
            raise LoginError(_why(answer, said))
        raise RefusedError(_why(answer, said))
    return _seen(shown.group(0), answer, done.stderr.decode(errors="replace"))


def _run(
    argv: list[str], request: bytes, environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            argv,
            input=request,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedError(f"not done in {PATIENCE:.0f} s") from error


def _seen(shown: str, answer: str, said: str) -> Talk:
    """Return what each side saw: the server answers with whom it has accepted."""
    leaf = x509.load_pem_x509_certificate(shown.encode())
    seen = urllib.parse.unquote(answer.partition("\r\n\r\n")[2].strip())
    accepted = x509.load_pem_x509_certificate(seen.encode())
    above = re.findall(r"(?m)^depth=\d+ (.+)$", said)
    return Talk(
        client=_uri(accepted),
        server=_uri(leaf),
        serial=leaf.serial_number,
        issuer=above[0] if above else "",
    )


def _why(answer: str, said: str) -> str:
    """Return one line of what was said: the answer, or openssl's error."""
    if answer:
        return f"HTTP {answer.splitlines()[0]}"
    # As openssl words it: thread, "error", code, library, function, reason, place.
    reasons = [line.split(":")[5] for line in said.splitlines() if line.count(":") > 6]
    return reasons[-1] if reasons else (said.strip().splitlines() or ["no word"])[-1]


def _uri(leaf: x509.Certificate) -> str:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return ", ".join(names.get_values_for_type(x509.UniformResourceIdentifier))


@dataclass(slots=True)
class Traffic:
    """Requests that go on in one direction.

    Attributes:
        served: How many were answered by whom they should.
        logins: How many logins to a token failed for them, before anything was sent.
        failed: What came instead, by what was said.
        serials: Serial numbers of the certificates that were shown, in their order.
        issuers: Roots that they were verified by, in their order.
    """

    served: int = 0
    logins: int = 0
    failed: list[str] = field(default_factory=list)
    serials: list[int] = field(default_factory=list)
    issuers: list[str] = field(default_factory=list)

    def note(self, network: Network, client: Function, server: Function) -> None:
        """Ask once, and keep what came of it."""
        try:
            seen = ask(network, client, server)
        except (PartError, OSError, ValueError) as error:
            self.failed.append(str(error))
            return
        self.logins += seen.logins - 1
        if (seen.client, seen.server) != (client.uri, server.uri):
            self.failed.append(f"{seen.client} talked to {seen.server}")
            return
        self.served += 1
        if seen.serial not in self.serials:
            self.serials.append(seen.serial)
        if seen.issuer not in self.issuers:
            self.issuers.append(seen.issuer)


@contextmanager
def traffic(network: Network, client: Function, server: Function) -> Iterator[Traffic]:
    """Let a function ask another one again and again until the end of the context."""
    counted, over = Traffic(), threading.Event()

    def go_on() -> None:
        while not over.wait(PAUSE):
            counted.note(network, client, server)

    thread = threading.Thread(target=go_on, name=f"{client.name} to {server.name}")
    thread.start()
    try:
        yield counted
    finally:
        over.set()
        thread.join()
