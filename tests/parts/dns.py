"""Two Knot DNS servers: a primary that takes signed updates, and a secondary.

It knows their configuration and how they are asked. Both listen on port 53 of loopback
addresses of their own, so that zones can name them as servers are named anywhere.
"""

import base64
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

from tests.parts.process import Part, Setting, missing, run, running

ZONE: Final = "example"
DELEGATED: Final = "acme.test"
"""A zone of the primary only, where aliases may lead."""
KEY_NAME: Final = "nfcertd"
PORT: Final = 53
_SERVER: Final = """\
server:
  listen: {address}@53
  rundir: "{home}"
  user: root:root
  tcp-workers: 1
  udp-workers: 1
  background-workers: 1
control:
  listen: "{home}/knot.sock"
log:
  - target: stdout
    any: info
database:
  storage: "{home}"
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
remote:
  - id: other
    address: {other}@53
    via: {address}
template:
  - id: default
    storage: "{home}"
    file: "%s.zone"
    journal-content: changes
"""
_PRIMARY: Final = """\
acl:
  - id: update
    key: {key}
    action: update
    update-type: TXT
  - id: transfer
    address: {other}
    action: transfer
zone:
  - domain: example
    acl: [update, transfer]
{notify}
  - domain: acme.test
    acl: update
"""
_SECONDARY: Final = """\
acl:
  - id: notify
    address: {other}
    action: notify
zone:
  - domain: example
    master: other
    acl: notify
"""
_ZONE_FILE: Final = """\
$TTL 60
@ SOA ns1.example. ops.example. 1 3600 600 86400 1
@ NS ns1.example.
"""
_EXAMPLE: Final = (
    _ZONE_FILE
    + """\
@ NS ns2.example.
ns1 A {primary}
ns2 A {secondary}
_acme-challenge.alias CNAME alias.acme.test.
_acme-challenge.loop CNAME _acme-challenge.loop
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """The two servers.

    Attributes:
        home: Their files.
        primary: Loopback address of the primary; it also answers as a resolver would
            for names of its zones.
        secondary: Loopback address of the secondary.
        key_file: The TSIG key in base64.
    """

    home: Path
    primary: str
    secondary: str
    key_file: Path

    def values(self, record: str, server: str = "") -> list[str]:
        """Return the TXT values that a server has for a name, sorted."""
        question = dns.message.make_query(record, dns.rdatatype.TXT)
        answer = dns.query.tcp(question, server or self.primary, timeout=5)
        return sorted(
            b"".join(data.strings).decode()
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.TXT
            for data in rrset
        )

    def add(self, record: str, value: str) -> None:
        """Add a TXT value to the zone at the primary, as an operator does."""
        knotc = ["knotc", "-s", str(self.home / "primary" / "knot.sock"), "-b"]
        run([*knotc, "zone-begin", ZONE])
        run([*knotc, "zone-set", ZONE, f"{record}.", "60", "TXT", f'"{value}"'])
        run([*knotc, "zone-commit", ZONE])

    def catch_up(self) -> None:
        """Let the secondary fetch what it does not have yet."""
        socket_ = str(self.home / "secondary" / "knot.sock")
        run(["knotc", "-s", socket_, "-b", "zone-refresh", ZONE])

    def table(self, *, more: str = "") -> str:
        """Return the `[dns-01]` table of a daemon that updates the primary."""
        return (
            '\n[dns-01]\nprovider = "rfc2136"\n'
            f'server = "{self.primary}"\nresolvers = ["{self.primary}"]\n{more}\n'
            f'tsig = {{ name = "{KEY_NAME}", key = "file:{self.key_file}" }}\n'
        )


def dns_missing() -> str:
    """Say what is missing to run the servers, or nothing."""
    absent = missing("knotd", "knotc", "setpriv")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((_own_address(), PORT))
    except OSError:
        absent = absent or "missing: the right to listen on port 53"
    return absent


@contextmanager
def dns_servers(scratch: Path, *, notify: bool = True) -> Iterator[Dns]:
    """Run both servers below `scratch`/dns.

    Args:
        scratch: An existing directory.
        notify: False lets the secondary lag behind until `catch_up`.
    """
    home = scratch / "dns"
    found = Dns(
        home=home,
        primary=_own_address(),
        secondary=_own_address(),
        key_file=home / "tsig.key",
    )
    _prepare(found, notify=notify)
    with _knot(home / "primary") as primary:
        primary.wait_until(lambda: _answers(found.primary))
        with _knot(home / "secondary") as secondary:
            secondary.wait_until(lambda: _answers(found.secondary))
            yield found


def _prepare(servers: Dns, *, notify: bool) -> None:
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    for name, own, other, zones in (
        ("primary", servers.primary, servers.secondary, _PRIMARY),
        ("secondary", servers.secondary, servers.primary, _SECONDARY),
    ):
        home = servers.home / name
        home.mkdir(parents=True)
        text = (_SERVER + zones).format(
            address=own,
            other=other,
            home=home,
            key=KEY_NAME,
            secret=secret,
            notify="    notify: other" if notify else "",
        )
        (home / "knot.conf").write_text(text)
    primary = servers.home / "primary"
    example = _EXAMPLE.format(primary=servers.primary, secondary=servers.secondary)
    (primary / f"{ZONE}.zone").write_text(example)
    (primary / f"{DELEGATED}.zone").write_text(_ZONE_FILE)
    servers.key_file.write_text(f"{secret}\n")
    servers.key_file.chmod(0o600)


@contextmanager
def _knot(home: Path) -> Iterator[Part]:
    argv = ["/usr/sbin/knotd", "-c", str(home / "knot.conf")]
    setting = Setting(directory=home)
    with running("knotd", argv, home / "knotd.log", setting) as part:
        yield part


def _answers(address: str) -> bool:
    """Tell whether a server has the zone."""
    question = dns.message.make_query(ZONE, dns.rdatatype.SOA)
    try:
        answer = dns.query.udp(question, address, timeout=0.5)
    except (dns.exception.DNSException, OSError):
        return False
    return bool(answer.answer)


def _own_address() -> str:
    low, middle, high = (secrets.randbelow(250) + 1 for _ in range(3))
    return f"127.{low}.{middle}.{high}"
