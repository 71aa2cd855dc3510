"""acme2certifier, an ACME server from PyPI, as a program of its own behind TLS.

It knows its configuration and its habits: it validates on the ports 80 and 443 only, by
the DNS server that it is given (its own choice would be public ones), and it answers a
challenge only when it has looked. It shares no interpreter with us, nor any package.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.parts.authority import make_server, pem
from tests.parts.process import Part, Setting, answers, free_port, running

HOST: Final = "127.0.0.1"
LIFE: Final = timedelta(days=3650)
_PROGRAM: Final = """\
import ssl, sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from acme2certifier.share.acme2certifier_wsgi import application, get_handler_cls

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

def secure(environ, start_response):
    environ["wsgi.url_scheme"] = "https"
    return application(environ, start_response)

port, certificate, key = sys.argv[1:]
server = make_server("127.0.0.1", int(port), secure, Server, get_handler_cls())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
_CONFIG: Final = """\
[DEFAULT]
debug: True
dns_server_list: ["{dns}"]
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {home}/ca.key
issuing_ca_cert: {home}/ca.pem
issuing_ca_crl: {home}/crl.pem
cert_save_path: {home}/certificates
cert_validity_days: 90
[DBhandler]
handler_module: acme2certifier.dbhandlers.wsgi_handler
dbfile: {home}/acme.db
[Challenge]
challenge_validation_timeout: 10
dns_server_list: ["{dns}"]
[Order]
profiles: {profiles}
"""
_BINDING: Final = """\
[EABhandler]
eab_handler_module: acme2certifier.eabhandlers.json_handler
key_file: {home}/eab.json
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the server is asked to be.

    Attributes:
        dns: Address of the DNS server that it asks, on port 53.
        library: Directory with the package and what it needs.
        eab_keys: MAC keys in base64url by key identifier; none asks for no binding.
        profiles: What its directory says of profiles.
    """

    dns: str
    library: Path
    eab_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    profiles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acme2Certifier:
    """A running server.

    Attributes:
        directory_url: URL of the ACME directory.
        ca_pem: The root of its own TLS.
        issuing_root: PEM of the root that it issues from.
        part: Its process.
    """

    directory_url: str
    ca_pem: Path
    issuing_root: str
    part: Part


@contextmanager
def acme2certifier(scratch: Path, options: Options) -> Iterator[Acme2Certifier]:
    """Run the server; files and logs are in `scratch`/acme2certifier."""
    home = scratch / "acme2certifier"
    (home / "certificates").mkdir(parents=True)
    files = make_server(home, (HOST, "localhost"))
    issuing = _make_root(home)
    config = _CONFIG.format(
        home=home, dns=options.dns, profiles=json.dumps(dict(options.profiles))
    )
    if options.eab_keys:
        (home / "eab.json").write_text(json.dumps(dict(options.eab_keys)))
        config += _BINDING.format(home=home)
    (home / "acme_srv.cfg").write_text(config)
    (home / "serve.py").write_text(_PROGRAM)
    port = free_port()
    setting = Setting(
        directory=home,
        environment={
            "PYTHONPATH": str(options.library),
            "ACME_SRV_CONFIGFILE": str(home / "acme_srv.cfg"),
            "ACME2CERTIFIER_BASE_DIR": str(home),
        },
    )
    argv = [sys.executable, "-S", str(home / "serve.py")]
    argv += [str(port), str(files.certificate), str(files.key)]
    with running("acme2certifier", argv, home / "server.log", setting) as part:
        part.wait_until(lambda: answers(port), within=60.0)
        yield Acme2Certifier(
            directory_url=f"https://{HOST}:{port}/directory",
            ca_pem=files.root,
            issuing_root=issuing,
            part=part,
        )


def _make_root(home: Path) -> str:
    """Make the root that issues, as two PEM files, and return its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme2certifier root")])
    now = datetime.now(UTC)
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identity, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (home / "ca.key").touch(mode=0o600)
    (home / "ca.key").write_bytes(private)
    (home / "ca.pem").write_bytes(pem(certificate))
    return pem(certificate).decode()
