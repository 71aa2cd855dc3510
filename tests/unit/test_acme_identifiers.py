"""What a name stands for, and when two identifiers are the same."""

import pytest
from cryptography import x509

from agent.acme.identifiers import Identifier, canonical, identifier, identifiers, same
from agent.pki.names import general_names, provable

UUID = "4ACE9D34-2c69-4f99-92d5-a73a3fe8e23b"


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("amf1.example", "dns", "amf1.example"),
        ("AMF1.Example", "dns", "amf1.example"),
        ("*.example", "dns", "*.example"),
        ("xn--bcher-kva.example", "dns", "xn--bcher-kva.example"),
        ("192.0.2.1", "ip", "192.0.2.1"),
        # RFC 8738 section 3 asks for the dotted decimal of RFC 1123: no shorter form.
        ("192.0.2", "dns", "192.0.2"),
        ("192.0.2.01", "dns", "192.0.2.01"),
        # RFC 5952 section 4: leading zeros, the longest run, the case.
        ("2001:0db8::0001", "ip", "2001:db8::1"),
        ("2001:db8:0:0:1:0:0:1", "ip", "2001:db8::1:0:0:1"),
        ("2001:DB8::A", "ip", "2001:db8::a"),
        ("fe80::1%eth0", "dns", "fe80::1%eth0"),
        # TS 29.571 clause 5.3.2: a network function, as its certificates have it.
        (f"URN:uuid:{UUID}", "NfInstanceId", UUID.lower()),
    ],
)
def test_a_name_is_an_address_or_else_a_dns_name(
    name: str, kind: str, value: str
) -> None:
    """Addresses are written as RFC 8738 section 3 wants them."""
    assert identifier(name) == Identifier(type=kind, value=value)


@pytest.mark.parametrize(
    ("kind", "left", "right", "equal"),
    [
        ("dns", "A.example", "a.EXAMPLE", True),
        ("dns", "a.example", "b.example", False),
        ("ip", "2001:DB8::1", "2001:db8:0::1", True),
        ("ip", "192.0.2.1", "192.0.2.2", False),
        ("ip", "no address", "NO ADDRESS", False),
        ("NfInstanceId", UUID, UUID.lower(), True),
        ("TNAuthList", "MAigBhYEMTIzNA", "maigbhyemtiznA", False),
        ("permanent-identifier", "ABC", "abc", False),
    ],
)
def test_each_type_has_its_rule(kind: str, left: str, right: str, equal: bool) -> None:
    """What is of no known type is compared octet for octet."""
    a, b = Identifier(type=kind, value=left), Identifier(type=kind, value=right)
    assert same([a], [b]) is equal
    assert (canonical(a) == canonical(b)) is equal
    assert canonical(canonical(a)) == canonical(a)


def test_the_same_value_of_another_type_is_another_identifier() -> None:
    """An address that a CA calls a dns name was not ordered."""
    asked = identifiers(["192.0.2.1", "a.example"])
    assert same(reversed(asked), asked)
    assert not same([Identifier(type="dns", value="192.0.2.1"), asked[1]], asked)
    assert not same(asked[:1], asked)


def test_identifiers_stand_in_certificates_by_their_kind() -> None:
    """Names go there and come back; what else is there is left out."""
    texts = ["*.example", "192.0.2.1", "2001:db8::1", f"urn:uuid:{UUID.lower()}"]
    asked = identifiers(texts)
    assert [i.name for i in asked] == texts
    names = general_names(asked)
    uri = x509.UniformResourceIdentifier
    kinds = [x509.DNSName, x509.IPAddress, x509.IPAddress, uri]
    assert [type(n) for n in names] == kinds
    other = uri("https://amf1.example/")
    assert provable([*names, other]) == asked


def test_only_dns_names_are_wildcards() -> None:
    """A star means nothing in another type."""
    assert identifier("*.example").is_wildcard
    assert not identifier("a.example").is_wildcard
    assert not Identifier(type="other", value="*.x").is_wildcard
