"""Devices as identifiers: in the table, the order, the request and the certificate."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from agent.acme import der, device
from agent.acme.identifiers import Identifier, canonical, identifier
from agent.config.attestation import Attestation
from agent.config.errors import ConfigError
from agent.config.model import Certificate
from agent.config.parse import parse
from agent.config.tokens import Key
from agent.config.wish import wish_of
from agent.pki.chain import ChainError, check_chain
from agent.pki.names import Beside, general_names, provable
from agent.pki.request import request
from tests.ca.devices import other_name
from tests.unit.test_config_rules import source
from tests.unit.test_nf_config import changed
from tests.vectors.chains import LEAF, MIDDLE, NAME, NOW, ROOT, but, issue, pem, spki

PERMANENT = Identifier(type="permanent-identifier", value="ABCDEF123456/1.2.3.4")
HARDWARE = Identifier(type="hardware-module", value="ABCD/1.2.3.4")
PLAIN = Identifier(type="permanent-identifier", value="ABCDEF123456")


@pytest.mark.parametrize(
    ("one", "oid", "hexadecimal"),
    [
        (
            PERMANENT,
            "1.3.6.1.5.5.7.8.3",
            "30130c0c41424344454631323334353606032a0304",
        ),
        (HARDWARE, "1.3.6.1.5.5.7.8.4", "300b06032a0304040441424344"),
        (PLAIN, "1.3.6.1.5.5.7.8.3", "300e0c0c414243444546313233343536"),
    ],
)
def test_a_device_stands_in_a_certificate_as_an_other_name(
    one: Identifier, oid: str, hexadecimal: str
) -> None:
    """RFC 4043 and RFC 4108; the name leads back, octet for octet."""
    [name] = general_names([one])
    assert isinstance(name, x509.OtherName)
    assert (name.type_id.dotted_string, name.value.hex()) == (oid, hexadecimal)
    assert provable([name]) == (one,)
    assert identifier(one.name) == one
    assert canonical(one) == one


OIDS = st.tuples(
    st.integers(0, 1), st.integers(0, 39), st.lists(st.integers(0, 1 << 31), max_size=9)
).map(lambda arcs: ".".join(map(str, (arcs[0], arcs[1], *arcs[2]))))


def test_an_oid_may_be_a_uuid() -> None:
    """X.667 has room for everybody below 2.25; the test CA writes the same octets."""
    one = Identifier(
        type="permanent-identifier",
        value="A/2.25.329800735698586629295641978511506172918",
    )
    theirs = other_name(one.type, one.value)
    assert device.other_name(one) == theirs.value
    assert device.identifier_of(device.OIDS[one.type], theirs.value) == one


@given(OIDS, st.text("AZ09-é ", min_size=1), st.sampled_from(sorted(device.TYPES)))
def test_every_device_is_written_as_the_ca_writes_it(
    oid: str, text: str, kind: str
) -> None:
    """Which shares no code; and it is read back."""
    one = Identifier(type=kind, value=f"{text}/{oid}")
    assert device.is_value(kind, one.value)
    theirs = other_name(kind, one.value)
    assert general_names([one]) == [theirs]
    assert device.identifier_of(device.OIDS[kind], theirs.value) == one


@pytest.mark.parametrize(
    ("kind", "text", "good"),
    [
        ("permanent-identifier", "A", True),
        ("permanent-identifier", "A/1.2.3.4", True),
        ("hardware-module", "A/1.2.3.4", True),
        ("hardware-module", "A", False),
        ("permanent-identifier", "", False),
        ("permanent-identifier", "/1.2", False),
        ("permanent-identifier", "A/", False),
        ("permanent-identifier", "A/B", False),
        ("permanent-identifier", "A/3.1", False),
        ("permanent-identifier", "A/1.02", False),
        ("permanent-identifier", "A/1.40", False),
        ("permanent-identifier", "A/2.40", True),
        ("permanent-identifier", f"A/2.25.{(1 << 128) - 1}", True),
        ("permanent-identifier", f"A/2.25.{10**39}", False),
        ("permanent-identifier", "A/1.2/1.2", False),
        ("permanent-identifier", "A\n", False),
        ("permanent-identifier", "x" * 257, False),
    ],
)
def test_values_are_an_id_and_an_oid(kind: str, text: str, good: bool) -> None:
    """The oid may be missing for a permanent identifier only."""
    assert device.is_value(kind, text) is good


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        ("1.2.3", "300e0c0c414243444546313233343536"),
        ("1.3.6.1.5.5.7.8.3", ""),
        ("1.3.6.1.5.5.7.8.3", "3000"),
        ("1.3.6.1.5.5.7.8.3", "300506032a0304"),
        ("1.3.6.1.5.5.7.8.3", "30070c014106028801"),
        ("1.3.6.1.5.5.7.8.3", "30060c014104017f"),
        ("1.3.6.1.5.5.7.8.3", "30030c01ff"),
        ("1.3.6.1.5.5.7.8.4", "300b0c032a0304040441424344"),
        ("1.3.6.1.5.5.7.8.4", "310b06032a0304040441424344"),
    ],
)
def test_other_names_that_are_no_device_are_left_out(oid: str, value: str) -> None:
    """Nothing that a certificate holds breaks the check of it."""
    found = device.identifier_of(oid, bytes.fromhex(value))
    known = oid == "1.3.6.1.5.5.7.8.3" and value == "30070c014106028801"
    assert (found is None) is not known


def test_an_oid_that_does_not_end_is_none() -> None:
    """A group of seven bits that announces another one."""
    with pytest.raises(ValueError, match="object identifier"):
        der.dotted(b"\x2a\x88")


def table(*, in_request: bool = False, **settings: Any) -> Certificate:
    """Return the table of a certificate with an attested device."""
    attestation = Attestation(
        permanent_identifier=PERMANENT.value,
        hardware_module=HARDWARE.value,
        in_request=in_request,
        command=("/usr/libexec/attest",),
    )
    base: Any = {"ca": "x", "key": Key(token="hsm"), "attestation": attestation}
    return Certificate(**(base | settings))


@pytest.mark.parametrize("in_request", [False, True])
def test_a_device_is_ordered_and_named_only_where_that_is_asked(
    in_request: bool,
) -> None:
    """Beside the names; by default the request keeps it to itself."""
    wish = wish_of(table(in_request=in_request, names=(NAME,)))
    assert [i.type for i in wish.identifiers] == ["dns", PERMANENT.type, HARDWARE.type]
    assert wish.optional == (PERMANENT, HARDWARE)
    made = request(wish.content)(ec.derive_private_key(7, ec.SECP256R1()))
    csr = x509.load_der_x509_csr(made)
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert provable(names) == wish.identifiers[: 3 if in_request else 1]


def test_a_device_alone_asks_for_no_name_at_all() -> None:
    """Neither is there one to ask for."""
    wish = wish_of(table())
    made = request(wish.content)(ec.derive_private_key(7, ec.SECP256R1()))
    assert len(x509.load_der_x509_csr(made).extensions) == 0


@pytest.mark.parametrize(
    ("named", "ordered", "good"),
    [
        ((), (PERMANENT,), True),
        ((PERMANENT,), (PERMANENT,), True),
        ((PLAIN,), (PERMANENT,), False),
        ((HARDWARE,), (PERMANENT,), True),
        ((PERMANENT,), (), True),
    ],
    ids=["left out", "named", "another", "another type", "not ours"],
)
def test_a_certificate_names_the_device_that_was_ordered_or_none(
    named: tuple[Identifier, ...], ordered: tuple[Identifier, ...], good: bool
) -> None:
    """What was not ordered at all is the CA's own affair, as URIs are."""
    names = general_names([identifier(NAME), *named])
    leaf = but(LEAF, extensions=[(x509.SubjectAlternativeName(names), False)])
    chain = pem(issue(leaf, MIDDLE), issue(MIDDLE, ROOT))
    arguments: Any = {
        "public": spki(LEAF.key),
        "identifiers": (identifier(NAME), *ordered),
        "anchors": (issue(ROOT, ROOT),),
        "now": NOW,
        "beside": Beside(optional=ordered),
    }
    if good:
        check_chain(chain, **arguments)
    else:
        with pytest.raises(ChainError, match="instead of"):
            check_chain(chain, **arguments)


PATH = "certificate.sbi.attestation"
GOOD: dict[str, object] = {"permanent_identifier": "A", "command": ["/attest"]}
RULES: list[tuple[dict[str, object], str]] = [
    ({"permanent_identifier": None}, ": say permanent_identifier or hardware_module"),
    (
        {"hardware_module": "A"},
        ".hardware_module: A is not such as ABCD/1.2.3.4",
    ),
    (
        {"permanent_identifier": "A/B"},
        ".permanent_identifier: A/B is not such as ABCD/1.2.3.4",
    ),
    ({"command": None}, ": say either certificate or command"),
    (
        {"command": ["attest"]},
        ".command: attest is not an absolute path",
    ),
    (
        {"certificate": "/a.pem", "command": None},
        (
            '.certificate: is of one key, which needs rotate = "never"; '
            "a command can attest new ones"
        ),
    ),
    ({"timeout": "0s"}, ".timeout: must be longer than nothing"),
]


@pytest.mark.parametrize(("change", "clause"), RULES)
def test_an_attestation_that_cannot_be_is_refused(
    change: dict[str, object], clause: str
) -> None:
    """With what is wrong, and nothing that would follow from it."""
    value = {k: v for k, v in (GOOD | change).items() if v is not None}
    assert _problems(changed("certificate/sbi/attestation", value)) == [
        f"{PATH}{clause}"
    ]


def test_only_a_key_in_a_token_and_of_a_known_type_is_attested() -> None:
    """The format step has no P-384; an object needs somebody who makes it."""
    tree = changed("certificate/sbi/attestation", GOOD)
    tree["certificate"]["sbi"]["key"] = {"file": True}
    [clause] = _problems(tree)
    assert clause == f"{PATH}: only a key in a token can be attested"
    tree["certificate"]["sbi"]["key"] = {"token": "hsm", "type": "ec-p384"}
    assert _problems(tree) == [f"{PATH}.format: step attests no ec-p384 key"]
    tree["certificate"]["sbi"]["attestation"]["format"] = "object"
    assert _problems(tree) == []
    value = {"permanent_identifier": "A", "certificate": "/a.pem", "format": "object"}
    tree["certificate"]["sbi"]["attestation"] = value
    tree["certificate"]["sbi"]["key"] = {"token": "hsm", "rotate": "never"}
    assert _problems(tree) == [f"{PATH}.format: object needs a command"]


TPM: dict[str, object] = {
    "permanent_identifier": "A",
    "format": "tpm",
    "certificate": "/a.pem",
    "attestation_key": "0x81010002",
}
TPM_RULES: list[tuple[dict[str, object], list[str]]] = [
    ({}, []),
    ({"attestation_key_auth": "file:/password"}, []),
    ({"command": ["/a"]}, [".format: tpm needs certificate, and no command"]),
    ({"certificate": None}, [".format: tpm needs certificate, and no command"]),
    ({"attestation_key": None}, [".format: tpm needs attestation_key"]),
    (
        {"format": "object", "certificate": None, "command": ["/a"]},
        ['.attestation_key: needs format = "tpm"'],
    ),
]


@pytest.mark.parametrize(("change", "clauses"), TPM_RULES)
def test_a_tpm_needs_its_attestation_key_and_the_certificate_of_that(
    change: dict[str, object], clauses: list[str]
) -> None:
    """Nothing else makes a statement; the file is of no key that is replaced."""
    value = {k: v for k, v in (TPM | change).items() if v is not None}
    tree = changed("certificate/sbi/attestation", value)
    assert _problems(tree) == [f"{PATH}{clause}" for clause in clauses]
    tree["certificate"]["sbi"]["key"] = {"token": "hsm", "type": "ec-p384"}
    assert _problems(tree) == [f"{PATH}{clause}" for clause in clauses]


def test_no_tpm_has_ed25519() -> None:
    """And handles are of the persistent range."""
    tree = changed("certificate/sbi/attestation", TPM)
    tree["certificate"]["sbi"]["key"] = {"token": "hsm", "type": "ed25519"}
    assert _problems(tree) == [f"{PATH}.format: tpm attests no ed25519 key"]
    tree = changed(
        "certificate/sbi/attestation", TPM | {"attestation_key": "0x80000001"}
    )
    assert len(_problems(tree)) == 1


def test_a_certificate_may_be_for_a_device_alone() -> None:
    """No name is needed."""
    tree = changed("certificate/sbi/attestation", GOOD)
    del tree["certificate"]["sbi"]["nf"]
    assert _problems(tree) == []


def _problems(tree: dict[str, Any]) -> list[str]:
    try:
        parse([source(tree)])
    except ConfigError as error:
        return list(error.problems)
    return []
