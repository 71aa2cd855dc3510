"""Whole orders by dns-01: the daemon, a real DNS server, the test CA and Pebble."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from tests.ca import Config
from tests.integration.scene import (
    Scene,
    Status,
    certificate_table,
    scene,
)
from tests.parts.dns import DELEGATED, Dns, dns_missing, dns_servers
from tests.parts.pebble import PebbleOptions, pebble, pebble_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(dns_missing()), reason=dns_missing()),
]

BOTH: Final = ("web.example", "*.web.example")
RECORD: Final = "_acme-challenge.web.example"
BY_DNS: Final = 'challenge = "dns-01"'
EXECUTABLE: Final = """\
import base64, os, sys
import dns.query, dns.tsig, dns.update
server, zone, key = sys.argv[1:]
secret = base64.b64decode(open(key).read())
update = dns.update.UpdateMessage(zone)
update.use_tsig(dns.tsig.Key("nfcertd", secret))
name = os.environ["NFCERTD_RECORD"] + "."
value = os.environ["NFCERTD_VALUE"]
if os.environ["NFCERTD_ACTION"] == "present":
    update.add(name, 60, "TXT", value)
else:
    update.delete(name, "TXT", value)
answer = dns.query.tcp(update, server, timeout=5)
sys.exit(int(answer.rcode()))
"""


@pytest.fixture
def dns(tmp_path: Path) -> Iterator[Dns]:
    """Run a primary and a secondary."""
    with dns_servers(tmp_path) as servers:
        yield servers


@contextmanager
def told(tmp_path: Path, dns: Dns, config: Config | None = None) -> Iterator[Scene]:
    """Make a scene whose CA asks the primary."""
    home = tmp_path / "scene"
    home.mkdir()
    switches = config or Config(dns=(dns.primary, 53))
    with scene(home, switches) as place:
        yield place


def names_of(place: Scene, name: str = "web") -> set[str]:
    """Return the DNS names of the certificate that was published."""
    pem = (place.state / "live" / name / "fullchain.pem").read_bytes()
    leaf = x509.load_pem_x509_certificate(pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def is_done(status: Status) -> bool:
    """Tell whether the certificate is there and nothing is due."""
    return status.deployed("web")


def test_base_and_wildcard_are_one_order(tmp_path: Path, dns: Dns) -> None:
    """Both values stand at one name when the CA hears of the first; none stays."""
    with told(tmp_path, dns) as place:
        web = certificate_table("web", names=BOTH, more=BY_DNS)
        place.configure(web, dns.table())
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == set(BOTH)
        assert place.ca.answered_orders == 1
        assert place.ca.log.count("challenge") == 2
    log = (dns.home / "primary" / "knotd.log").read_text()
    assert log.count("DDNS, processing 1 updates") >= 4
    assert dns.values(RECORD) == []


def test_the_record_of_an_alias_is_written_where_it_leads(
    tmp_path: Path, dns: Dns
) -> None:
    """The CA follows the same CNAME to the delegated zone."""
    with told(tmp_path, dns) as place:
        web = certificate_table("web", names=("alias.example",), more=BY_DNS)
        place.configure(web, dns.table())
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == {"alias.example"}
    log = (dns.home / "primary" / "knotd.log").read_text()
    assert f"[{DELEGATED}.] DDNS, finished" in log
    assert dns.values(f"alias.{DELEGATED}") == []


def test_an_executable_of_the_operator_writes_the_records(
    tmp_path: Path, dns: Dns
) -> None:
    """It gets what the documentation says and nothing of the daemon's environment."""
    script = tmp_path / "nfcertd-dns"
    script.write_text(EXECUTABLE)
    argv = [sys.executable, str(script), dns.primary, "example.", str(dns.key_file)]
    table = (
        f'\n[dns-01]\nprovider = "exec"\nresolvers = ["{dns.primary}"]\n'
        f"exec.command = {json.dumps(argv)}\n"
    )
    with told(tmp_path, dns) as place:
        place.configure(certificate_table("web", names=BOTH, more=BY_DNS), table)
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == set(BOTH)
    assert dns.values(RECORD) == []


def test_a_refused_update_is_told_and_costs_no_challenge(
    tmp_path: Path, dns: Dns
) -> None:
    """The CA never hears of a challenge that could not be presented."""
    dns.key_file.write_text("d3Jvbmc=\n")
    with told(tmp_path, dns) as place:
        web = certificate_table("web", names=BOTH, more=BY_DNS)
        place.configure(web, dns.table())
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.job("web", "issue").get("failures"))
        job = status.job("web", "issue")
        assert "badsig" in str(job)
        assert "d3Jvbmc" not in place.log() + str(status.view)
        assert place.ca.log.count("challenge") == 0


def test_a_daemon_that_ends_takes_its_records_along(tmp_path: Path, dns: Dns) -> None:
    """SIGTERM while the CA validates leaves no value; the next start presents again."""
    config = Config(dns=(dns.primary, 53), challenge_polls=1000)
    with told(tmp_path, dns, config) as place:
        web = certificate_table("web", names=BOTH, more=BY_DNS)
        place.configure(web, dns.table())
        for _ in range(2):
            with place.daemon() as daemon:
                daemon.wait(lambda _: len(dns.values(RECORD)) == 2)
                daemon.wait(lambda _: place.ca.log.count("challenge") == 2)
            assert dns.values(RECORD) == []
        assert place.ca.answered_orders == 1


@pytest.mark.skipif(bool(pebble_missing()), reason=pebble_missing())
def test_pebble_validates_base_and_wildcard(tmp_path: Path, dns: Dns) -> None:
    """An independent server asks the same DNS server, and issues."""
    options = PebbleOptions(dns=f"{dns.primary}:53", nonce_reject=5)
    with told(tmp_path, dns) as place, pebble(tmp_path, options) as server:
        (place.home / "transport.pem").write_bytes(server.ca_pem.read_bytes())
        (place.home / "issuing.pem").write_text(server.issuing_roots())
        web = certificate_table("web", names=BOTH, more=BY_DNS)
        place.configure(web, dns.table())
        text = place.config.read_text()
        text = text.replace(place.ca.directory_url, server.directory_url)
        agreed = "[account.test]\nterms_agreed = true\n"
        place.config.write_text(text.replace("[account.test]\n", agreed))
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == set(BOTH)
    assert dns.values(RECORD) == []
