"""Name constraints for DNS names (RFC 5280 section 4.2.1.10)."""

import ipaddress
from collections.abc import Sequence

import pytest
from cryptography import x509

from agent.acme.identifiers import identifiers
from agent.pki.constraints import permits


@pytest.mark.parametrize(
    ("permitted", "excluded", "name", "allowed"),
    [
        ((), ("x",), "a.example", True),
        (("example",), (), "example", True),
        (("example",), (), "a.b.example", True),
        (("example",), (), "anexample", False),
        ((".example",), (), "a.example", True),
        (("EXAMPLE",), (), "a.Example", True),
        (("a.example", "b.example"), (), "b.example", True),
        (("",), (), "anything", True),
        ((), ("",), "anything", False),
        ((), ("a.example",), "b.example", True),
        ((), ("a.example",), "x.a.example", False),
        (("example",), ("a.example",), "a.example", False),
        (("example",), (), "*.example", True),
    ],
)
def test_a_name_is_within_its_trees(
    permitted: Sequence[str], excluded: Sequence[str], name: str, allowed: bool
) -> None:
    """Labels may be added on the left; what is excluded wins."""
    limits = x509.NameConstraints(
        [x509.DNSName(n) for n in permitted] or None,
        [x509.DNSName(n) for n in excluded] or None,
    )
    assert permits(limits, identifiers([name])) is allowed


def test_trees_of_other_kinds_do_not_bind_dns_names() -> None:
    """A constraint applies to names of its own kind only."""
    network = x509.IPAddress(ipaddress.ip_network("192.0.2.0/24"))
    assert permits(x509.NameConstraints([network], None), identifiers(["a.example"]))


@pytest.mark.parametrize(
    ("permitted", "excluded", "address", "allowed"),
    [
        (("192.0.2.0/24",), (), "192.0.2.7", True),
        (("192.0.2.0/24",), (), "198.51.100.7", False),
        (("192.0.2.0/24",), (), "2001:db8::7", False),
        (("192.0.2.0/24", "2001:db8::/32"), (), "2001:db8::7", True),
        ((), ("192.0.2.0/24",), "192.0.2.7", False),
        ((), ("192.0.2.0/24",), "2001:db8::7", True),
        (("192.0.2.0/24",), ("192.0.2.7/32",), "192.0.2.7", False),
    ],
)
def test_an_address_is_within_its_networks(
    permitted: Sequence[str], excluded: Sequence[str], address: str, allowed: bool
) -> None:
    """Networks bind addresses of both families, and names not at all."""
    limits = x509.NameConstraints(
        [x509.IPAddress(ipaddress.ip_network(n)) for n in permitted] or None,
        [x509.IPAddress(ipaddress.ip_network(n)) for n in excluded] or None,
    )
    assert permits(limits, identifiers([address])) is allowed
    assert permits(limits, identifiers(["a.example"]))
