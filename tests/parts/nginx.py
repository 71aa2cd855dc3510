"""nginx as a TLS endpoint, its key in a file or in a token.

It knows nginx's configuration around a server block, and OpenSSL's engine. Certificate
and key come from a file that it includes: in production that is what nfcertd publishes.

There is one worker process. Every worker logs in to the token by itself, and SoftHSM2
writes its token's file at each C_Login: of two workers that are started at once, one
can read that file half written, after which each of its handshakes fails ("General
Error", then "Object handle invalid"). An HSM does not have that fault.
"""

import os
import pwd
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.parts.process import Part, PartError, Setting, answers, missing, run, running

ENGINE_PATTERN: Final = "*/engines-3/pkcs11.so"
HOST: Final = "127.0.0.1"
MAIN: Final = """\
daemon off;
user {worker};
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log notice;
{variables}
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
{listens}
        server_name _;
        ssl_protocols TLSv1.2 TLSv1.3;
        include {snippet};
        location / {{ return 200 "{answer}\\n"; }}
    }}
}}
"""
ENGINE: Final = """\
openssl_conf = openssl_init
[openssl_init]
engines = engine_section
[engine_section]
pkcs11 = pkcs11_section
[pkcs11_section]
engine_id = pkcs11
dynamic_path = {engine}
MODULE_PATH = {module}
init = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What nginx is asked to serve.

    Attributes:
        snippet: File with `ssl_certificate` and `ssl_certificate_key`, absolute.
        ports: TLS ports on 127.0.0.1.
        module: PKCS#11 module for OpenSSL's engine; empty for a key in a file.
        environment: What that module needs; workers get it as well.
        worker: User of the worker processes.
        answer: What every request is answered; variables of nginx are filled in.
    """

    snippet: Path
    ports: tuple[int, ...]
    module: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    worker: str = "www-data"
    answer: str = "served"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """A running nginx.

    Attributes:
        ports: Its TLS ports on 127.0.0.1.
        pidfile: File with the master's process id, written by root.
        part: The master process.
    """

    ports: tuple[int, ...]
    pidfile: Path
    part: Part

    def reload(self) -> None:
        """Let it read its configuration again; it answers before the end of that."""
        self.part.signal(signal.SIGHUP)

    def workers(self) -> tuple[int, ...]:
        """Return the process ids of its workers, old ones that still drain as well."""
        path = Path(f"/proc/{self.part.pid}/task/{self.part.pid}/children")
        return tuple(map(int, path.read_text().split()))


def engine() -> str:
    """Return the path of OpenSSL's PKCS#11 engine, which has the architecture in it."""
    found = sorted(Path("/usr/lib").glob(ENGINE_PATTERN))
    return str(found[0]) if found else f"/usr/lib/{ENGINE_PATTERN}"


def nginx_missing(*, engine_too: bool = False) -> str:
    """Say what nginx needs and does not have, or nothing."""
    return missing("nginx", "setpriv", *((engine(),) if engine_too else ()))


@contextmanager
def nginx(scratch: Path, site: Site) -> Iterator[Nginx]:
    """Run nginx until the end of the context; its files are in `scratch`/nginx.

    Raises:
        PartError: Its own test of the configuration failed, with what it said.
    """
    home = scratch / "nginx"
    home.mkdir(exist_ok=True)
    environment = _environment(home, site)
    config = home / "nginx.conf"
    config.write_text(_main(home, site, environment))
    setting = Setting(environment=environment)
    argv = ["nginx", "-e", str(home / "start.log"), "-p", str(home), "-c", str(config)]
    run([*argv, "-t"], setting)
    with running("nginx", argv, home / "nginx.log", setting) as part:
        pidfile = home / "nginx.pid"
        # nginx makes the file before it writes it, and listens before it does either.
        part.wait_until(lambda: bool(_pid(pidfile)) and all(map(answers, site.ports)))
        if _pid(pidfile) != str(part.pid):
            raise PartError(f"{pidfile} does not name the nginx that was started here")
        yield Nginx(ports=site.ports, pidfile=pidfile, part=part)


def _pid(pidfile: Path) -> str:
    return pidfile.read_text().strip() if pidfile.exists() else ""


def _environment(home: Path, site: Site) -> dict[str, str]:
    if not site.module:
        return dict(site.environment)
    config = home / "openssl.cnf"
    config.write_text(ENGINE.format(engine=engine(), module=site.module))
    return {**site.environment, "OPENSSL_CONF": str(config)}


def _main(home: Path, site: Site, environment: Mapping[str, str]) -> str:
    listens = "\n".join(f"        listen {HOST}:{port} ssl;" for port in site.ports)
    if os.geteuid() == 0:
        pwd.getpwnam(site.worker)
    return MAIN.format(
        worker=site.worker,
        home=home,
        variables="\n".join(f"env {name};" for name in environment),
        listens=listens,
        snippet=site.snippet,
        answer=site.answer,
    )
