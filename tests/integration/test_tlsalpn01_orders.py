"""Whole orders by tls-alpn-01, and for addresses: test CA, Pebble, nginx before us."""

import ssl
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
from tests.parts.pebble import PebbleOptions, pebble, pebble_missing
from tests.parts.process import free_port
from tests.parts.router import PUBLIC_PORT, router, router_missing

pytestmark = pytest.mark.integration

BY_TLS: Final = 'challenge = "tls-alpn-01"'
NAMES: Final = ("web.example", "192.0.2.7", "2001:DB8::7")


def is_done(status: Status) -> bool:
    """Tell whether the certificate is there and nothing is due."""
    return status.deployed("web")


def names_of(place: Scene) -> set[str]:
    """Return names and addresses of the certificate that was published."""
    pem = (place.state / "live" / "web" / "fullchain.pem").read_bytes()
    leaf = x509.load_pem_x509_certificate(pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01"])
def test_names_and_addresses_are_proven(tmp_path: Path, challenge: str) -> None:
    """One order, three identifiers, each in the form that the CA compares."""
    with scene(tmp_path) as place:
        more = f'challenge = "{challenge}"'
        place.configure(certificate_table("web", names=NAMES, more=more))
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == {"web.example", "192.0.2.7", "2001:db8::7"}
        assert place.ca.answered_orders == 1
        (order,) = place.ca.orders
        assert {c.type for a in order.authorizations for c in a.challenges} == {
            "http-01",
            "tls-alpn-01",
        }
        valid = {
            c.type
            for a in order.authorizations
            for c in a.challenges
            if c.status == "valid"
        }
        assert valid == {challenge}


def test_two_certificates_of_one_name_take_turns(tmp_path: Path) -> None:
    """A CA says which name it means and not which challenge: neither order fails."""
    with scene(tmp_path, Config(challenge_polls=2)) as place:
        tables = [
            certificate_table(name, names=("web.example",), more=BY_TLS)
            for name in ("web", "other")
        ]
        place.configure(*tables)
        with place.daemon() as daemon:
            daemon.settle(lambda s: s.deployed("web") and s.deployed("other"))
        assert place.ca.answered_orders == 2
        assert {o.status for o in place.ca.orders} == {"valid"}


@pytest.mark.skipif(bool(router_missing()), reason=router_missing())
def test_a_server_that_has_the_port_routes_by_protocol(tmp_path: Path) -> None:
    """As docs/tls-alpn-01.md has it: nginx serves everybody else meanwhile."""
    with scene(tmp_path, tls_port=PUBLIC_PORT) as place:
        place.configure(certificate_table("web", names=NAMES, more=BY_TLS))
        with router(tmp_path, place.address, f"{place.address}:8443") as nginx:
            assert "served.example" in ordinary_names(place.address)
            with place.daemon() as daemon:
                daemon.settle(is_done)
            assert "served.example" in ordinary_names(place.address)
            assert nginx.alive
        assert names_of(place) == {"web.example", "192.0.2.7", "2001:db8::7"}


def ordinary_names(address: str) -> set[str]:
    """Return the names that an ordinary client is shown on the public port."""
    pem = ssl.get_server_certificate((address, PUBLIC_PORT), timeout=10)
    leaf = x509.load_pem_x509_certificate(pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


@pytest.mark.skipif(bool(pebble_missing()), reason=pebble_missing())
def test_pebble_validates_a_name_and_an_address(tmp_path: Path) -> None:
    """An independent server does the same handshake, and issues."""
    home = tmp_path / "scene"
    home.mkdir()
    options = PebbleOptions(tls_port=free_port(), nonce_reject=5)
    with scene(home) as place, pebble(tmp_path, options) as server:
        (place.home / "transport.pem").write_bytes(server.ca_pem.read_bytes())
        (place.home / "issuing.pem").write_text(server.issuing_roots())
        names = ("web.example", "127.0.0.1")
        place.configure(certificate_table("web", names=names, more=BY_TLS))
        text = place.config.read_text()
        for old, new in (
            (place.ca.directory_url, server.directory_url),
            (f"{place.address}:8443", f"127.0.0.1:{options.tls_port}"),
            ("[account.test]\n", "[account.test]\nterms_agreed = true\n"),
        ):
            text = text.replace(old, new)
        place.config.write_text(text)
        with place.daemon() as daemon:
            daemon.settle(is_done)
        assert names_of(place) == set(names)
