"""Telephone numbers as an identifier: from the table to the certificate (RFC 9448)."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.acme import der, tnauthlist
from agent.acme.authority import wanted
from agent.acme.identifiers import Identifier, identifier
from agent.config.advice import advice
from agent.config.authorities import Ca
from agent.config.errors import ConfigError
from agent.config.model import Certificate
from agent.config.nf import Csr, Nf
from agent.config.numbers import Range, TnAuthList
from agent.config.parse import parse
from agent.config.tokens import Key
from agent.config.wish import wish_of
from agent.pki.chain import ChainError, check_chain
from agent.pki.request import request
from tests.ca import numbers
from tests.unit.test_config_rules import source
from tests.unit.test_nf_config import changed
from tests.vectors.chains import LEAF, MIDDLE, NAME, NOW, ROOT, but, issue, pem, spki

SPC_1234 = "MAigBhYEMTIzNA"
"""The list of the service provider code 1234 alone."""
OID = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
LIST = TnAuthList(
    spc=("1234",), ranges=(Range(start="12155551212", count=300),), numbers=("911",)
)
LISTED = Identifier(type="TNAuthList", value=SPC_1234)


@pytest.mark.parametrize(
    ("table", "hexadecimal"),
    [
        (TnAuthList(spc=("1234",)), "3008a006160431323334"),
        (TnAuthList(numbers=("911",)), "3007a2051603393131"),
        (
            TnAuthList(ranges=(Range(start="12155551212", count=2),)),
            "3014a1123010160b3132313535353531323132020102",
        ),
        # A count whose highest bit is set has an octet more: it is not negative.
        (
            TnAuthList(ranges=(Range(start="1", count=128),)),
            "300ba1093007160131" + "02020080",
        ),
    ],
)
def test_a_list_is_encoded_as_rfc_8226_has_it(
    table: TnAuthList, hexadecimal: str
) -> None:
    """Explicit tags, one for each kind of entry."""
    assert tnauthlist.der_of(table.identifier).hex() == hexadecimal


def test_an_identifier_is_the_list_in_base64url() -> None:
    """RFC 9448 section 3, without padding; its name leads back to it."""
    assert TnAuthList(spc=("1234",)).identifier == LISTED
    assert identifier(LISTED.name) == LISTED
    assert tnauthlist.identifier_of(tnauthlist.der_of(LISTED)) == LISTED


DIGITS = st.text("0123456789#*", min_size=1, max_size=15)


@given(
    st.builds(
        TnAuthList,
        spc=st.lists(st.text("ABC123", min_size=1, max_size=20), max_size=20).map(
            tuple
        ),
        ranges=st.lists(
            st.builds(Range, start=DIGITS, count=st.integers(2, 10**15 - 1)),
            max_size=20,
        ).map(tuple),
        numbers=st.lists(DIGITS, min_size=1, max_size=20).map(tuple),
    )
)
def test_every_list_is_one_for_the_ca(table: TnAuthList) -> None:
    """The reader of the test CA, which shares no code, takes what we write."""
    numbers.check_list(table.identifier.value)


@given(st.integers(0, 1 << 70))
def test_integers_and_lengths_are_the_shortest(number: int) -> None:
    """As DER demands; and never negative."""
    tag, body, rest = der.first(der.integer(number))
    assert (tag, rest) == (2, b"")
    assert int.from_bytes(body, "big", signed=True) == number
    assert len(body) == 1 or body[0] or body[1] & 0x80


def table(**settings: Any) -> Certificate:
    """Return the table of a certificate for the list of the tests."""
    base = {"ca": "operator", "key": Key(token="hsm"), "tn_auth_list": LIST}
    return Certificate(**(base | settings))  # type: ignore[arg-type]  # a table of tests


def made(certificate: Certificate, of: Nf | None, ca: Ca | None) -> Any:
    """Return the extensions of the request for a certificate, by dotted oid."""
    content = wish_of(certificate, of, ca).content
    signed = request(content)(ec.derive_private_key(7, ec.SECP256R1()))
    csr = x509.load_der_x509_csr(signed)
    return {e.oid.dotted_string: e for e in csr.extensions}


def test_a_list_is_ordered_and_asked_for_alone_or_beside_names() -> None:
    """The same octets in the order and in the extension, which is not critical."""
    for named in ((), ("a.example",)):
        one = table(names=named)
        assert [i.type for i in wish_of(one).identifiers] == ["dns"] * len(named) + [
            "TNAuthList"
        ]
        said = made(one, None, None)
        extension = said[OID.dotted_string]
        assert extension.value.public_bytes() == tnauthlist.der_of(LIST.identifier)
        assert not extension.critical
        assert ("2.5.29.17" in said) is bool(named)


@pytest.mark.parametrize("policy", ["identifiers-only", "profile-decides"])
def test_a_list_is_asked_for_whatever_the_policy_of_names_is(policy: Any) -> None:
    """It stands nowhere else; the NF's identifiers follow the policy of its CA."""
    of = Nf(
        instance_id="4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
        types=("AMF",),
        fqdn="amf1.example",
    )
    ca = Ca(
        directory="https://ca",
        roots="/r",
        identifiers=("NfInstanceId",),
        csr=Csr(san_policy=policy, extensions=()),
    )
    one = table(names=("amf1.example",), nf="amf1")
    ordered = wish_of(one, of, ca).identifiers
    assert [i.type for i in ordered] == ["NfInstanceId", "TNAuthList"]
    assert OID.dotted_string in made(one, of, ca)


def test_a_token_is_asked_for_the_very_value() -> None:
    """RFC 9448 section 5: tktype TNAuthList, tkvalue as in the order."""
    asked = wanted(LISTED, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U")
    assert (asked.tktype, asked.tkvalue, asked.ca) == ("TNAuthList", SPC_1234, False)


SAYS = x509.UnrecognizedExtension(OID, tnauthlist.der_of(LISTED))
OTHER = x509.UnrecognizedExtension(OID, tnauthlist.encode(spc=["1235"]))


@pytest.mark.parametrize(
    ("extension", "ordered", "good"),
    [
        (SAYS, (LISTED,), True),
        (None, (LISTED,), False),
        (OTHER, (LISTED,), False),
        (SAYS, (), False),
        (None, (), True),
    ],
    ids=["as ordered", "lacks it", "another list", "not ordered", "nothing"],
)
def test_a_certificate_has_the_list_that_was_ordered(
    extension: x509.ExtensionType | None, ordered: Any, good: bool
) -> None:
    """A hard check, as for names: nothing else is ever published."""
    extensions = [*LEAF.extensions, *([(extension, False)] if extension else [])]
    leaf = issue(but(LEAF, extensions=extensions), MIDDLE)
    chain = pem(leaf, issue(MIDDLE, ROOT))
    anchor = issue(ROOT, ROOT)
    arguments: Any = {
        "public": spki(LEAF.key),
        "identifiers": (identifier(NAME), *ordered),
        "anchors": (anchor,),
        "now": NOW + timedelta(seconds=1),
    }
    if good:
        shown = check_chain(chain, **arguments).names
        assert shown == tuple(i.name for i in arguments["identifiers"])
    else:
        with pytest.raises(ChainError, match="instead of"):
            check_chain(chain, **arguments)


PATH = "certificate.sbi.tn_auth_list"
RULES: list[tuple[object, str]] = [
    ({}, f"{PATH}: name at least one of spc, ranges and numbers"),
    ({"spc": ["é"]}, f"{PATH}.spc: é is not 1 to 64 visible ascii characters"),
    (
        {"numbers": ["+12155551212"]},
        f"{PATH}.numbers: +12155551212 is not 1 to 15 digits, without a plus sign",
    ),
    (
        {"ranges": [{"start": "1" * 16, "count": 2}]},
        f"{PATH}.ranges: {'1' * 16} is not 1 to 15 digits, without a plus sign",
    ),
    (
        {"spc": ["x" * 60] * 60},
        f"{PATH}: is longer than an identifier may be, use ranges",
    ),
]


@pytest.mark.parametrize(("value", "clause"), RULES)
def test_a_list_that_cannot_be_is_refused(value: object, clause: str) -> None:
    """With what is wrong, and nothing that would follow from it."""
    with pytest.raises(ConfigError) as caught:
        parse([source(changed("certificate/sbi/tn_auth_list", value))])
    assert list(caught.value.problems) == [clause]


def test_a_range_of_one_number_is_refused() -> None:
    """RFC 8226 section 9: a range has two numbers or more."""
    value = {"ranges": [{"start": "1", "count": 1}]}
    with pytest.raises(ConfigError, match="count"):
        parse([source(changed("certificate/sbi/tn_auth_list", value))])


def test_a_certificate_may_be_for_numbers_alone() -> None:
    """No name is needed; who can attest the list is pointed out."""
    tree = changed("certificate/sbi/tn_auth_list", {"spc": ["1234"]})
    del tree["certificate"]["sbi"]["nf"]
    config = parse([source(tree)])
    assert config.certificate["sbi"].names == ()
    assert any("does not prove a TNAuthList" in clause for clause in advice(config))
