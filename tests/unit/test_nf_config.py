"""Network functions in the configuration: what is refused, and what is advised.

A change is made to a configuration that is good, as in the tests of the other rules.
"""

import tomllib
from typing import Any

import pytest

from agent.config.advice import advice
from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.config.parse import Source, parse
from tests.unit.test_config_rules import source

GOOD = """
[token.hsm]
module = "/hsm.so"
token = "pkcs11:token=nf"
[ca.operator]
directory = "https://ca.example/directory"
roots = "/root.pem"
[ca.public]
directory = "https://public.example/directory"
roots = "system"
identifiers = ["dns"]
lint = { default = "off" }
[account.operator]
ca = "operator"
key = { file = true }
[account.public]
ca = "public"
key = { file = true }
[nf.amf1]
instance_id = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
types = ["AMF"]
fqdn = "amf1.5gc.mnc012.mcc345.3gppnetwork.org"
country = "DE"
[nf.nrf]
instance_id = "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10"
types = ["NRF"]
plmn = { mcc = "345", mnc = "12" }
country = "DE"
[certificate.sbi]
nf = "amf1"
ca = "operator"
key = { token = "hsm" }
[certificate.tokens]
nf = "nrf"
purpose = "token-signing"
ca = "operator"
key = { token = "hsm" }
"""
HOME = "5gc.mnc012.mcc345.3gppnetwork.org"
UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
URI = f"urn:uuid:{UUID}"
NF, SBI = "nf.amf1", "certificate.sbi"
SNPN = {"mcc": "345", "mnc": "12", "nid": "000007ed9d5"}
PROVES = (
    "certificate.{}.challenge: http-01 does not prove an NfInstanceId, the ca must "
    "have it authorized beforehand"
)


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the good tree with one value replaced; None removes it."""
    tree = tomllib.loads(GOOD)
    at: Any = tree
    *steps, last = path.split("/")
    for step in steps:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return tree


def parsed(tree: dict[str, Any]) -> Config:
    """Return a tree as a configuration."""
    return parse([source(tree)])


def problems(tree: dict[str, Any]) -> list[str]:
    """Return the problems of a tree, none if it is good."""
    try:
        parsed(tree)
    except ConfigError as error:
        return list(error.problems)
    return []


def test_an_nf_gives_its_certificates_their_names() -> None:
    """Its FQDN, or the one that TS 23.003 gives its type; a signer has none."""
    config = parse([Source("nfcertd.toml", GOOD.encode())])
    assert config.certificate["sbi"].names == (f"amf1.{HOME}",)
    assert config.certificate["tokens"].names == ()
    served = parsed(changed("certificate/tokens/purpose", "tls"))
    assert served.certificate["tokens"].names == (f"nrf.{HOME}",)
    named = parsed(changed("certificate/sbi/names", ["a.example"]))
    assert named.certificate["sbi"].names == ("a.example",)


RULES: list[tuple[str, object, str]] = [
    ("nf/amf1/instance_id", "amf", f"{NF}.instance_id: amf is no uuid of version 4"),
    (
        "nf/amf1/instance_id",
        "0B8A9C76-52d1-4c0e-8a3f-6f2f1d3c9b10",
        "nf.nrf.instance_id: is that of nf.amf1",
    ),
    ("nf/amf1/types", [], f"{NF}.types: expected `array` of length >= 1"),
    (
        "nf/amf1/types",
        ["A B"],
        f"{NF}.types: A B is not 1 to 32 visible ascii characters",
    ),
    (
        "nf/nrf/fqdn",
        [f"nrf.{HOME}", "NRF"],
        "nf.nrf.fqdn: NRF is not a lower-case dns name in a-labels",
    ),
    (
        "nf/amf1/fqdn",
        "amf1.example",
        f"{NF}: say plmn or snpn, no name of it is below a home domain",
    ),
    ("nf/nrf/snpn", SNPN, "nf.nrf: say either plmn or snpn"),
    (
        "nf/nrf/plmn",
        {"mcc": "345", "mnc": "1"},
        "nf.nrf.plmn.mnc: does not have the form ^[0-9]{2,3}$",
    ),
    ("nf/amf1/country", "de", f"{NF}.country: does not have the form ^[A-Z]{{2}}$"),
    (
        "ca/operator/lint",
        {"san-critcal": "warn"},
        (
            "ca.operator.lint.san-critcal: there is no such rule, did you mean "
            "san-critical?"
        ),
    ),
    (
        "ca/operator/lint",
        {"issuer": "loud"},
        "ca.operator.lint[...]: invalid enum value 'loud'",
    ),
    ("certificate/sbi/nf", "smf", f"{SBI}.nf: there is no smf; known: amf1, nrf"),
    (
        "certificate/tokens/ca",
        "public",
        (
            "certificate.tokens.names: name at least one, nothing else of its nf can "
            "be ordered from public"
        ),
    ),
    (
        "certificate/tokens/identifiers",
        ["dns"],
        (
            "certificate.tokens.names: name at least one, nothing else of its nf can "
            "be ordered from operator"
        ),
    ),
    (
        "certificate/tokens/endpoint",
        [{"verify": {"connect": "192.0.2.1:443"}}],
        (
            "certificate.tokens.endpoint[0].verify.server_name: name one, the "
            "certificate has no dns name"
        ),
    ),
    (
        "certificate/sbi/extended_key_usage",
        ["email"],
        (
            f"{SBI}.extended_key_usage: email is no oid; known: server-auth, "
            "client-auth, jwt, http-content-encrypt, oauth-access-token-signing"
        ),
    ),
    (
        "certificate/sbi/san",
        [URI, f"amf1.{HOME}", "A b"],
        f"{SBI}.san: A b is not a lower-case dns name in a-labels",
    ),
    (
        "certificate/sbi/san",
        [URI, f"amf1.{HOME}", "https://a b"],
        f"{SBI}.san: https://a b is not a uri of ascii characters",
    ),
    (
        "certificate/sbi/san",
        [f"amf1.{HOME}"],
        f"{SBI}.san: lacks {URI}, which is ordered from operator",
    ),
    (
        "certificate/sbi/nf_types",
        ["É"],
        f"{SBI}.nf_types: É is not 1 to 32 visible ascii characters",
    ),
]
"""Path into the tree (slashes), the value put there, the problem that it makes."""


@pytest.mark.parametrize(("path", "value", "message"), RULES)
def test_a_broken_rule_is_named(path: str, value: object, message: str) -> None:
    """The one problem names the path, what is wrong, and what is known."""
    assert problems(changed(path, value)) == [message]


@pytest.mark.parametrize(
    ("field", "value"),
    [("purpose", "tls"), ("identifiers", ["dns"]), ("nf_types", ["AMF"])],
)
def test_what_is_said_of_an_nf_needs_one(field: str, value: object) -> None:
    """Without an NF these settings would say nothing, silently."""
    tree = changed("certificate/sbi/nf", None)
    tree["certificate"]["sbi"] |= {field: value, "names": ["a.example"]}
    expected = f"{SBI}.{field}: needs nf, the network function that is meant"
    assert problems(tree) == [expected]


def test_a_key_has_one_purpose_and_one_nf() -> None:
    """TR 33.876 key issue 7; generated keys are each certificate's own anyhow."""
    adopted = {"token": "hsm", "rotate": "never", "adopt": "pkcs11:id=%01"}
    tree = changed("certificate/sbi/key", adopted)
    tree["certificate"]["tokens"]["key"] = adopted
    assert problems(tree) == [
        (
            "certificate.tokens.key.adopt: is the key of certificate.sbi, which has "
            "another nf or purpose"
        )
    ]


def test_ed25519_cannot_encrypt() -> None:
    """JWE needs a key that agrees on keys or enciphers them."""
    tree = changed("certificate/sbi/purpose", "http-content-encrypt")
    tree["certificate"]["sbi"]["key"]["type"] = "ed25519"
    assert problems(tree) == [f"{SBI}.key.type: ed25519 cannot encrypt"]


ADVICE: list[tuple[str, object, str]] = [
    ("nf/amf1/types", ["AMF", "CUSTOM"], f"{NF}.types: CUSTOM is no type of TS 29.510"),
    (
        "nf/amf1/types",
        ["SMF"],
        "",
    ),
    (
        "nf/amf1/country",
        None,
        f"{NF}.country: without it the subject lacks C, which TS 33.310 demands",
    ),
    (
        "nf/amf1/plmn",
        {"mcc": "310", "mnc": "260"},
        f"{NF}.fqdn: amf1.{HOME} is below the home domain of another network",
    ),
    (
        "nf/amf1/fqdn",
        f"nrf.{HOME}",
        f"{NF}.fqdn: nrf.{HOME} has the form of NRF",
    ),
    (
        "certificate/sbi/purpose",
        "sepp-n32",
        f"{SBI}.purpose: sepp-n32 is for types that include SEPP",
    ),
    (
        "certificate/sbi/key",
        {"token": "hsm", "type": "ed25519"},
        f"{SBI}.key.type: ed25519 is no algorithm of TS 33.310 clause 6.1.1",
    ),
]


@pytest.mark.parametrize(("path", "value", "line"), ADVICE)
def test_what_is_rarely_meant_is_pointed_out(
    path: str, value: object, line: str
) -> None:
    """Allowed, because operators have their reasons; the usual one has no advice."""
    usual = {PROVES.format(name) for name in ("sbi", "tokens")}
    found = [a for a in advice(parsed(changed(path, value))) if a not in usual]
    assert found == ([line] if line else [])


def test_an_identifier_that_cannot_be_proven_is_pointed_out() -> None:
    """A CA that takes DNS names only has no need of it."""
    tree = changed("certificate/sbi/ca", "public")
    assert advice(parsed(tree)) == [PROVES.format("tokens")]
