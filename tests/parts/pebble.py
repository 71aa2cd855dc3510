"""Pebble, the ACME test server, with a DNS server that answers 127.0.0.1 for all names.

It knows their options and files. What Pebble does wrong on purpose is chosen by
`PebbleOptions`; the defaults are the well-behaved server.
"""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.parts.authority import make_server
from tests.parts.process import Part, Setting, answers, free_port, missing, running

HOST: Final = "127.0.0.1"
SECONDS: Final = 5.0
"""Longest time that one request to Pebble from here may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PebbleOptions:
    """What Pebble is asked to be.

    Attributes:
        http_port: Port that http-01 is validated on; 0 chooses a free one.
        tls_port: Port that tls-alpn-01 is validated on; 0 chooses a free one.
        nonce_reject: Per cent of good nonces that are refused all the same.
        no_sleep: False lets validation wait a random time of up to 15 seconds.
        authz_reuse: Per cent of valid authorizations that are used again.
        validity: Lifetime of the certificates.
        dns: Address and port of the DNS server that it asks; empty for one that
            answers 127.0.0.1 for all names.
        programs: Directory of its programs; empty for those that are installed.
        settings: Further members of its configuration file.
    """

    http_port: int = 0
    tls_port: int = 0
    nonce_reject: int = 0
    no_sleep: bool = True
    authz_reuse: int = 0
    validity: timedelta = timedelta(days=90)
    dns: str = ""
    programs: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    def program(self, name: str) -> str:
        """Return the command that runs one of its programs."""
        return f"{self.programs}/{name}" if self.programs else name

    @property
    def environment(self) -> dict[str, str]:
        """Return Pebble's environment."""
        return {
            "PEBBLE_WFE_NONCEREJECT": str(self.nonce_reject),
            "PEBBLE_VA_NOSLEEP": "1" if self.no_sleep else "",
            "PEBBLE_AUTHZREUSE": str(self.authz_reuse),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pebble:
    """A running Pebble.

    Attributes:
        directory_url: URL of the ACME directory.
        ca_pem: The root of Pebble's own TLS; not the root of what it issues.
        management: Base URL of its management interface.
        http_port: Port that http-01 is validated on.
        part: Its process.
    """

    directory_url: str
    ca_pem: Path
    management: str
    http_port: int
    part: Part

    def issuing_roots(self) -> str:
        """Return the root that issued certificates chain to, PEM; new at each start."""
        return self.get(f"{self.management}/roots/0")

    def get(self, url: str) -> str:
        """Return what a GET of one of Pebble's URLs answers."""
        context = ssl.create_default_context(cafile=str(self.ca_pem))
        with urllib.request.urlopen(url, timeout=SECONDS, context=context) as reply:
            text: str = reply.read(1 << 20).decode()
        return text

    def answers(self) -> bool:
        """Tell whether the directory can be read."""
        try:
            return "newOrder" in self.get(self.directory_url)
        except (urllib.error.URLError, OSError):
            return False


DEFAULT: Final = PebbleOptions()


def pebble_missing() -> str:
    """Say which of Pebble's programs are not installed, or nothing."""
    return missing("pebble", "pebble-challtestsrv", "setpriv")


@contextmanager
def pebble(scratch: Path, options: PebbleOptions = DEFAULT) -> Iterator[Pebble]:
    """Run Pebble with its DNS server; files and logs are in `scratch`/pebble."""
    home = scratch / "pebble"
    home.mkdir()
    port, management = free_port(), free_port()
    http_port = options.http_port or free_port()
    files = make_server(home, (HOST, "localhost"))
    settings = {
        "listenAddress": f"{HOST}:{port}",
        "managementListenAddress": f"{HOST}:{management}",
        "certificate": str(files.certificate),
        "privateKey": str(files.key),
        "httpPort": http_port,
        "tlsPort": options.tls_port or free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": int(options.validity.total_seconds()),
        **options.settings,
    }
    config = home / "pebble.json"
    config.write_text(json.dumps({"pebble": settings}))
    setting = Setting(environment=options.environment)
    with nullcontext(options.dns) if options.dns else names(home) as dns:
        program = options.program("pebble")
        argv = [program, "-config", str(config), "-dnsserver", dns]
        with running("pebble", argv, home / "pebble.log", setting) as part:
            server = Pebble(
                directory_url=f"https://{HOST}:{port}/dir",
                ca_pem=files.root,
                management=f"https://{HOST}:{management}",
                http_port=http_port,
                part=part,
            )
            part.wait_until(server.answers)
            yield server


@contextmanager
def names(home: Path, listen: str = "", leads_to: str = HOST) -> Iterator[str]:
    """Run a DNS server that gives one address for all names.

    Args:
        home: Where its log goes.
        listen: Address and port; empty chooses a free port of 127.0.0.1.
        leads_to: The address that it gives.

    Yields:
        Its address and port.
    """
    control = free_port()
    where = listen or f"{HOST}:{free_port()}"
    argv = [
        "pebble-challtestsrv",
        *("-management", f"{HOST}:{control}", _dns_option(), where),
        *("-http01", "", "-https01", "", "-tlsalpn01", ""),
        *("-defaultIPv4", leads_to, "-defaultIPv6", ""),
    ]
    host, _, port = where.rpartition(":")
    with running("challtestsrv", argv, home / "challtestsrv.log") as part:
        part.wait_until(lambda: answers(int(port), host) and answers(control))
        yield where


def _dns_option() -> str:
    """Return what this version of the DNS server calls its address."""
    usage = subprocess.run(
        ["pebble-challtestsrv", "-help"], check=False, capture_output=True, timeout=10
    )
    return "-dnsserver" if b"-dnsserver" in usage.stderr else "-dns01"
