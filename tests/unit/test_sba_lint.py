"""Every rule of the profile has a certificate that breaks it, and this rule alone.

The table is complete by a test; what a rule says goes to the operator, so the words are
part of it.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from agent.sba import nf, purposes
from agent.sba.findings import Finding, Level, errors, told, weighed
from agent.sba.lint import levels, lint
from agent.sba.profile import Profile
from agent.sba.rules import MAX_SHOWN, RULES, issuer_of
from tests.vectors.chains import weak_rsa
from tests.vectors.sba import (
    AMF_SMF,
    CRL,
    FQDN,
    HOME,
    ISSUER,
    PROFILE,
    STRANGER,
    URI,
    Spec,
    authority,
    crls,
    edited,
    issue,
    issuer,
    long_serial,
    nf_types,
    sans,
    signed_with_sha1,
    usage,
    usages,
    version_1,
    with_extension,
    without,
)

OTHER = "urn:uuid:00000000-0000-4000-8000-000000000000"
C, O, CN = NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME  # noqa: E741 -- as in a distinguished name
SERVER, CLIENT = purposes.SERVER_AUTH, purposes.CLIENT_AUTH
STRICT = levels({}, of_nf=True)


def held(
    leaf: x509.Certificate,
    profile: Profile = PROFILE,
    issuers: tuple[x509.Certificate, ...] = (),
    off: str = "",
) -> dict[str, str]:
    """Return what a certificate breaks, by rule, but for one that is off."""
    strict = levels({off: "off"}, of_nf=True)
    found = lint(leaf, [issuer(), issuer(STRANGER)], issuers, profile, strict)
    return {finding.rule: finding.text for finding in found}


def test_a_certificate_by_the_profile_breaks_nothing() -> None:
    """The good certificate of the table is good."""
    assert held(issue(Spec())) == {}
    assert held(issue(Spec()), issuers=(issuer(),)) == {}


def but(**changes: object) -> x509.Certificate:
    """Return the good certificate with something changed."""
    return issue(replace(Spec(), **changes))  # type: ignore[arg-type]  # a table of tests


def extended(
    name: str, value: x509.ExtensionType, *, critical: bool = False
) -> x509.Certificate:
    """Return the good certificate with one extension replaced."""
    return issue(with_extension(name, value, critical=critical))


BROKEN: list[tuple[str, x509.Certificate, str]] = [
    ("serial-number", edited(long_serial), "it has more than 20 octets"),
    (
        "validity",
        but(life=timedelta(days=1097)),
        "it is 1097 days, more than 3 years",
    ),
    (
        "signature-algorithm",
        signed_with_sha1(),
        "its hash sha1 is weaker than sha256",
    ),
    (
        "key-algorithm",
        but(key=ed25519.Ed25519PrivateKey.generate()),
        "it is neither rsa nor elliptic",
    ),
    ("key-algorithm", but(key=weak_rsa()), "rsa of 1024 bits is too short"),
    (
        "key-algorithm",
        but(key=ec.generate_private_key(ec.SECP256K1())),
        "the curve secp256k1 is none of the profile",
    ),
    (
        "subject-country",
        but(subject=[(C, "FR"), (O, HOME)]),
        "FR instead of DE",
    ),
    ("subject-country", but(subject=[(O, HOME)]), "nothing instead of DE"),
    (
        "subject-organization",
        but(subject=[(C, "DE"), (O, "Operator"), (CN, FQDN)]),
        f"Operator instead of {HOME}",
    ),
    (
        "subject-organization",
        but(subject=[(C, "DE"), (O, HOME), (O, HOME)]),
        f"{HOME}, {HOME} instead of {HOME}",
    ),
    (
        "san-uri",
        extended("san", sans(FQDN), critical=True),
        f"nothing instead of {URI}",
    ),
    (
        "san-uri",
        extended("san", sans(URI, OTHER, FQDN), critical=True),
        f"{OTHER}, {URI} instead of {URI}",
    ),
    (
        "san-dns",
        extended("san", sans(URI, FQDN, "evil.example"), critical=True),
        f"{FQDN}, evil.example instead of {FQDN}",
    ),
    (
        "san-dns",
        extended("san", sans(URI), critical=True),
        f"nothing instead of {FQDN}",
    ),
    (
        "san-other",
        extended(
            "san",
            x509.SubjectAlternativeName(
                [*sans(URI, FQDN), x509.RFC822Name("a@b.example")]
            ),
            critical=True,
        ),
        "it has RFC822Name beside its names",
    ),
    ("san-critical", extended("san", sans(URI, FQDN)), "it is not critical"),
    ("key-usage", issue(without("ku")), "there is none"),
    ("key-usage", extended("ku", usage("digital_signature")), "it is not critical"),
    (
        "key-usage",
        extended("ku", usage("key_encipherment"), critical=True),
        "it lacks digital-signature",
    ),
    (
        "key-usage",
        extended("ku", usage("digital_signature", "key_cert_sign"), critical=True),
        "it allows to sign certificates or crls",
    ),
    ("extended-key-usage", issue(without("eku")), "there is none"),
    (
        "extended-key-usage",
        extended("eku", usages(SERVER, CLIENT), critical=True),
        "it is critical",
    ),
    (
        "extended-key-usage",
        extended("eku", usages(SERVER)),
        f"{SERVER} instead of {SERVER}, {CLIENT}",
    ),
    (
        "extended-key-usage",
        extended("eku", usages(SERVER, CLIENT, purposes.JWT)),
        f"{SERVER}, {CLIENT}, {purposes.JWT} instead of {SERVER}, {CLIENT}",
    ),
    (
        "any-extended-key-usage",
        extended("eku", usages(SERVER, CLIENT, purposes.ANY)),
        "it has anyExtendedKeyUsage",
    ),
    ("authority-key-identifier", issue(without("aki")), "there is none"),
    (
        "authority-key-identifier",
        extended("aki", authority(ISSUER), critical=True),
        "it is critical",
    ),
    (
        "authority-key-identifier",
        extended("aki", authority(STRANGER)),
        "it is not the subject key identifier of the issuer",
    ),
    ("crl-distribution-points", issue(without("crl")), "there is none"),
    (
        "crl-distribution-points",
        extended("crl", crls(CRL), critical=True),
        "it is critical",
    ),
    (
        "crl-distribution-points",
        extended("crl", crls("ftp://ca.example/crl")),
        "ftp://ca.example/crl is no http or ldap uri",
    ),
    ("nf-types", issue(without("nf")), "there is none"),
    (
        "nf-types",
        extended("nf", nf_types(nf.encode(["AMF"]))),
        "AMF instead of AMF, SMF",
    ),
    ("nf-types-form", extended("nf", nf_types(), critical=True), "it is critical"),
    (
        "nf-types-form",
        extended("nf", nf_types(bytes.fromhex("300a1603534d461603414d46"))),
        "they are not sorted and unique",
    ),
    (
        "nf-types-form",
        extended("nf", nf_types(bytes.fromhex("300f1603414d461603414d461603534d46"))),
        "they are not sorted and unique",
    ),
    (
        "basic-constraints",
        extended("bc", x509.BasicConstraints(ca=True, path_length=None), critical=True),
        "it is a ca",
    ),
]


@pytest.mark.parametrize(("rule", "leaf", "words"), BROKEN)
def test_a_broken_rule_is_found_and_no_other(
    rule: str, leaf: x509.Certificate, words: str
) -> None:
    """The certificate breaks this rule and says how; an operator can switch it off."""
    # Only a certificate without a valid signature has no issuer to compare with.
    unsigned = {"authority-key-identifier"} if rule == "signature-algorithm" else set()
    found = held(leaf)
    assert found.pop(rule) == words
    assert set(found) <= unsigned
    assert rule not in held(leaf, off=rule)


def test_a_certificate_of_version_1_has_nothing_of_the_profile() -> None:
    """It has no extensions, so that the version is one breach of many."""
    assert held(edited(version_1))["version"] == "it has version v1"


def test_another_issuer_than_the_configured_one_is_found() -> None:
    """A certificate of an NF is signed directly by the CA of its operator's domain."""
    leaf = issue(Spec())
    assert held(leaf, issuers=(issuer(STRANGER),)) == {
        "issuer": "CN=Issuing is not the configured issuer"
    }


def test_every_rule_is_broken_by_somebody() -> None:
    """The table and the two tests above leave no rule out."""
    shown = {rule for rule, _, _ in BROKEN} | {"version", "issuer"}
    assert shown == set(RULES)


def test_an_nf_whose_types_cannot_be_read_is_found_twice() -> None:
    """What is no sequence of types has neither the right ones nor the right form."""
    leaf = extended("nf", nf_types(b"\x05\x00"))
    assert held(leaf) == dict.fromkeys(
        ["nf-types", "nf-types-form"], "it is no sequence"
    )


def test_without_a_country_and_a_domain_their_form_is_held() -> None:
    """What the configuration does not know is still a country and a home domain."""
    open_ = replace(PROFILE, country="", organization="", nf_types=())
    assert held(issue(Spec()), open_) == {}
    assert held(but(subject=[(C, "FR"), (O, FQDN)]), open_) == {
        "subject-organization": f"{FQDN} is no home network domain"
    }
    assert held(but(subject=[(O, HOME)]), open_) == {
        "subject-country": "nothing is no country"
    }


def test_a_certificate_without_an_nf_is_held_only_where_asked() -> None:
    """Its rules are off by default, and demand nothing that only NFs have."""
    plain = Profile(dns=(FQDN,), addresses=("192.0.2.1",))
    bare = issue(replace(Spec(subject=[]), extensions={"san": (sans(FQDN), True)}))
    above = [issuer()]
    assert lint(bare, above, (), plain, levels({}, of_nf=False)) == ()
    every = levels(dict.fromkeys(RULES, "warn"), of_nf=False)
    found = {f.rule: f.level for f in lint(bare, above, (), plain, every)}
    assert found == dict.fromkeys(
        ["key-usage", "authority-key-identifier", "crl-distribution-points"], Level.WARN
    )


def test_levels_decide_what_follows() -> None:
    """An error forbids the use, a warning does not, and a later level counts."""
    leaf = extended("san", sans(URI, FQDN))
    found = lint(leaf, [issuer()], (), PROFILE, STRICT | {"san-critical": Level.WARN})
    assert told(found) == "san-critical: it is not critical"
    assert errors(found) == ()
    assert errors(weighed(found, STRICT)) == (
        Finding(rule="san-critical", level=Level.ERROR, text="it is not critical"),
    )
    assert weighed(found, {}) == ()
    assert set(levels({"default": "warn", "issuer": "off"}, of_nf=True).values()) == {
        Level.WARN,
        Level.OFF,
    }


def test_what_a_certificate_says_is_cleaned_and_bounded() -> None:
    """A name of somebody's choosing reaches the operator's terminal."""
    found = held(but(subject=[(C, "DE"), (O, "\x1b[31m" + "x" * 60)]))
    assert "\x1b" not in found["subject-organization"]
    names = [f"{n}.{'x' * 60}.example" for n in range(20)]
    words = held(extended("san", sans(URI, *names), critical=True))["san-dns"]
    assert len(words) < 2 * MAX_SHOWN + 50


def test_the_issuer_is_who_signed() -> None:
    """Names alone do not make an issuer."""
    leaf = issue(Spec())
    assert issuer_of(leaf, [issuer(STRANGER), leaf, issuer()]) == issuer()
    assert issuer_of(leaf, [issuer(STRANGER)]) is None
    assert nf.encode(["SMF", "AMF", "SMF"]) == AMF_SMF
