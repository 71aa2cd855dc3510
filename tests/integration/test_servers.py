"""The same jobs at every ACME server: ours, two Pebbles, and acme2certifier.

Where a server lacks something, or cannot be run here, the skip says so.
"""

from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from tests.integration.scene import Daemon, Scene, Status, certificate_table
from tests.integration.servers import A2C, SERVERS, Wish, hosted
from tests.parts.dns import dns_missing, dns_servers

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("name", SERVERS),
]

PATIENCE: Final = 60.0
"""Real seconds for one certificate from a server that is not ours."""
NOW: Final = 'grace = "0s"'


def enrolled(daemon: Daemon, publication: int = 1) -> Status:
    """Wait until a certificate is deployed."""
    return daemon.settle(lambda s: s.deployed("web", publication), PATIENCE)


def leaf_of(place: Scene) -> x509.Certificate:
    """Return the certificate that is live, once its key has been found to fit."""
    live = place.state / "live" / "web"
    leaf = x509.load_pem_x509_certificate((live / "cert.pem").read_bytes())
    key = load_pem_private_key((live / "key.pem").read_bytes(), None)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
    return leaf


def names_of(leaf: x509.Certificate) -> set[str]:
    """Return the DNS names of a certificate."""
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def test_a_certificate_is_enrolled_and_renewed(tmp_path: Path, name: str) -> None:
    """By http-01, two names in one order, and a new key for the renewal."""
    wanted = ("web.example", "www.example")
    with hosted(name, tmp_path, Wish(), certificate_table("web", names=wanted)) as it:
        with it.scene.daemon() as daemon:
            enrolled(daemon)
            first = leaf_of(it.scene)
            daemon.ask("renew", "web")
            enrolled(daemon, 2)
            second = leaf_of(it.scene)
        assert names_of(first) == names_of(second) == set(wanted)
        assert first.serial_number != second.serial_number
        assert first.public_key() != second.public_key()


def test_an_account_is_bound_to_an_external_one(tmp_path: Path, name: str) -> None:
    """The binding is made once, when the account is registered."""
    wish = Wish(bound=True)
    with hosted(name, tmp_path, wish, certificate_table("web")) as it:
        it.needs("externalAccountRequired")
        with it.scene.daemon() as daemon:
            enrolled(daemon)


@pytest.mark.skipif(bool(dns_missing()), reason=dns_missing())
def test_base_and_wildcard_are_proven_by_dns(tmp_path: Path, name: str) -> None:
    """Two values at one record; the server asks the DNS server that has them."""
    wanted = ("web.example", "*.web.example")
    with dns_servers(tmp_path) as dns:
        web = certificate_table("web", names=wanted, more='challenge = "dns-01"')
        wish = Wish(dns=dns.primary)
        with hosted(name, tmp_path, wish, web, dns.table()) as it:
            with it.scene.daemon() as daemon:
                enrolled(daemon)
            assert names_of(leaf_of(it.scene)) == set(wanted)
        assert dns.values("_acme-challenge.web.example") == []


@pytest.mark.parametrize("by", ["account", "key"])
def test_a_certificate_is_revoked_and_replaced(
    tmp_path: Path, name: str, by: str
) -> None:
    """By the account and by the certificate's own key."""
    if (name, by) == (A2C, "key"):
        pytest.skip("acme2certifier takes a revocation from accounts only")
    with hosted(name, tmp_path, Wish(), certificate_table("web", more=NOW)) as it:
        with it.scene.daemon() as daemon:
            enrolled(daemon)
            daemon.ask("revoke", "web", confirm="web", reason="superseded", by=by)
            status = enrolled(daemon, 2)
        assert status.certificate("web")["publication"] == 2


def test_the_window_of_the_ca_is_asked_for(tmp_path: Path, name: str) -> None:
    """It lies inside the life of the certificate; a renewal says what it replaces."""
    with hosted(name, tmp_path, Wish(), certificate_table("web")) as it:
        it.needs("renewalInfo")
        with it.scene.daemon() as daemon:
            status = daemon.wait(
                lambda s: s.deployed("web") and s.certificate("web").get("suggestion"),
                PATIENCE,
            )
            told = status.certificate("web")["suggestion"]
            start = datetime.fromisoformat(told["start"])
            leaf = leaf_of(it.scene)
            assert leaf.not_valid_before_utc <= start <= leaf.not_valid_after_utc
            daemon.ask("renew", "web")
            enrolled(daemon, 2)


def test_a_profile_is_asked_for_and_shown(tmp_path: Path, name: str) -> None:
    """What is required comes back with the order, or there would be no certificate."""
    if name == A2C:
        pytest.skip("acme2certifier does not show the profile of an order")
    web = certificate_table("web", more='profile = "nf"')
    with hosted(name, tmp_path, Wish(), web) as it:
        it.needs("profiles")
        with it.scene.daemon() as daemon:
            status = enrolled(daemon)
        assert status.certificate("web")["profile"] == "nf"


def test_the_key_of_an_account_is_rolled_over(tmp_path: Path, name: str) -> None:
    """The server takes the new key for the account, and orders go on with it."""
    with hosted(name, tmp_path, Wish(), certificate_table("web")) as it:
        it.needs("keyChange")
        with it.scene.daemon() as daemon:
            first = enrolled(daemon).account()["key"]
            daemon.ask("account-roll", "test")
            daemon.settle(lambda s: s.account()["key"] != first, PATIENCE)
            daemon.ask("renew", "web")
            enrolled(daemon, 2)
