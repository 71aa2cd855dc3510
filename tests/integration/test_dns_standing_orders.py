"""Whole orders by dns-account-01 and dns-persist-01: the daemon, Knot, the test CA."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from tests.ca import Config
from tests.integration.scene import Scene, Status, certificate_table, scene
from tests.parts.dns import Dns, dns_missing, dns_servers

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(dns_missing()), reason=dns_missing()),
]

BOTH: Final = ("web.example", "*.web.example")
PERSIST: Final = "_validation-persist.web.example"


@pytest.fixture
def dns(tmp_path: Path) -> Iterator[Dns]:
    """Run a primary and a secondary."""
    with dns_servers(tmp_path) as servers:
        yield servers


@contextmanager
def offering(tmp_path: Path, dns: Dns, kind: str) -> Iterator[Scene]:
    """Make a scene whose CA asks the primary, for one type of challenge."""
    home = tmp_path / "scene"
    home.mkdir()
    with scene(home, Config(dns=(dns.primary, 53), dns_types=(kind,))) as place:
        yield place


def names_of(place: Scene) -> set[str]:
    """Return the DNS names of the certificate that was published."""
    pem = (place.state / "live" / "web" / "fullchain.pem").read_bytes()
    leaf = x509.load_pem_x509_certificate(pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def is_done(status: Status) -> bool:
    """Tell whether the certificate is there and nothing is due."""
    return status.deployed("web")


def test_the_record_of_the_account_is_used(tmp_path: Path, dns: Dns) -> None:
    """Base and wildcard share it, and nothing stays."""
    with offering(tmp_path, dns, "dns-account-01") as place:
        more = 'challenge = "dns-account-01"'
        place.configure(certificate_table("web", names=BOTH, more=more), dns.table())
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == set(BOTH)
        assert place.ca.answered_orders == 1
    log = (dns.home / "primary" / "knotd.log").read_text()
    assert log.count("DDNS, processing 1 updates") >= 4
    assert dns.values("_acme-challenge.web.example") == []


def test_a_record_is_written_once_and_stands(tmp_path: Path, dns: Dns) -> None:
    """A renewal finds what the enrolment wrote."""
    with offering(tmp_path, dns, "dns-persist-01") as place:
        more = 'challenge = "dns-persist-01"'
        table = f"{dns.table()}\n[dns-persist-01]\nwrite = true\n"
        place.configure(certificate_table("web", names=BOTH, more=more), table)
        with place.daemon() as daemon:
            daemon.settle(is_done)
            written = dns.values(PERSIST)
            daemon.ask("renew", "web")
            daemon.settle_deployed("web", 2)
        assert names_of(place) == set(BOTH)
        (account,) = place.ca.accounts
        url = place.ca.urls.account(account.id)
        assert f"ca.example; accounturi={url}; policy=wildcard" in written
        assert dns.values(PERSIST) == written


def test_a_record_that_is_missing_is_told_and_then_provisioned(
    tmp_path: Path, dns: Dns
) -> None:
    """The daemon has no right to write; the operator copies what it says."""
    with offering(tmp_path, dns, "dns-persist-01") as place:
        more = 'challenge = "dns-persist-01"'
        table = f'\n[dns-persist-01]\nresolvers = ["{dns.primary}"]\n'
        web = certificate_table("web", names=("web.example",), more=more)
        place.configure(web, table)
        with place.daemon() as daemon:
            status = daemon.wait(lambda s: s.job("web", "issue").get("failure"))
            hint = status.job("web", "issue")["failure"]["hint"]
            record, _, value = hint.removeprefix("provision it: ").partition(". TXT ")
            assert record == PERSIST
            assert place.ca.log.count("challenge") == 0
            dns.add(record, value.strip('"'))
            daemon.ask("renew", "web")
            daemon.settle(is_done)
        assert place.ca.answered_orders == 1
