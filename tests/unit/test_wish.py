"""What is ordered, requested and held against follows from NF, purpose and CA."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.config.authorities import Ca
from agent.config.model import Certificate
from agent.config.nf import Csr, Nf, Plmn, Subject
from agent.config.tokens import Key
from agent.config.wish import Wish, wish_of
from agent.pki.request import CsrContent, request
from agent.sba.findings import Level
from agent.sba.profile import Profile
from agent.sba.purposes import KeyUsage, Purpose
from tests.vectors.sba import (
    AMF_SMF,
    FQDN,
    HOME,
    NF_OID,
    PROFILE,
    URI,
    UUID,
)

NF = Nf(instance_id=UUID.upper(), types=("SMF", "AMF"), fqdn=FQDN, country="DE")
SERVER, CLIENT = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"


def table(**settings: Any) -> Certificate:
    """Return the table of a certificate with the names that its NF gives it."""
    base = {"ca": "operator", "key": Key(token="hsm"), "names": (FQDN,), "nf": "amf1"}
    return Certificate(**(base | settings))  # type: ignore[arg-type]  # a table of tests


def ca(csr: Csr | None = None, **settings: Any) -> Ca:
    """Return a CA."""
    return Ca(directory="https://ca", roots="/r", csr=csr or Csr(), **settings)


def ordered(wish: Wish) -> list[str]:
    """Return the names of what is ordered."""
    return [i.name for i in wish.identifiers]


def test_a_certificate_of_an_nf_needs_nothing_else() -> None:
    """Identifiers, names, usages, subject and NFTypes follow from TS 33.310 6.1.3c."""
    wish = wish_of(table(), NF, ca())
    assert ordered(wish) == [URI, FQDN]
    assert wish.profile == PROFILE
    assert set(wish.levels.values()) == {Level.ERROR}
    made = _csr(wish.content)
    assert made.subject.rfc4514_string() == f"O={HOME},C=DE"
    said = {e.oid.dotted_string: e for e in made.extensions}
    assert {oid: e.critical for oid, e in said.items()} == {
        "2.5.29.17": True,
        "2.5.29.15": True,
        "2.5.29.37": False,
        NF_OID.dotted_string: False,
    }
    assert said[NF_OID.dotted_string].value.public_bytes() == AMF_SMF
    sans = said["2.5.29.17"].value
    assert isinstance(sans, x509.SubjectAlternativeName)
    assert [n.value for n in sans] == [URI, FQDN]
    usage = said["2.5.29.15"].value
    assert isinstance(usage, x509.KeyUsage)
    assert usage.digital_signature
    assert not usage.key_encipherment


def _csr(content: CsrContent) -> x509.CertificateSigningRequest:
    key = ec.derive_private_key(7, ec.SECP256R1())
    made = x509.load_der_x509_csr(request(content)(key))
    assert made.is_signature_valid
    return made


@pytest.mark.parametrize(
    ("policy", "identifiers", "names"),
    [
        ("identifiers-only", ("NfInstanceId",), [URI]),
        ("identifiers-only", ("dns",), [FQDN]),
        ("identifiers-plus-dns", ("NfInstanceId",), [URI, FQDN]),
        ("identifiers-plus-dns", ("dns",), [FQDN]),
        ("whole-profile", ("dns",), [FQDN, URI]),
        ("profile-decides", ("NfInstanceId", "dns"), []),
    ],
)
def test_the_policy_of_a_ca_decides_the_names_of_the_request(
    policy: Any, identifiers: Any, names: list[str]
) -> None:
    """What the certificate may name, and is held against, stays the same."""
    wish = wish_of(table(), NF, ca(Csr(san_policy=policy), identifiers=identifiers))
    assert [i.name for i in wish.content.identifiers] == names
    assert wish.content.uris == ()
    assert [i.name for i in wish.allowed] == [URI, FQDN]
    assert wish.profile == PROFILE
    found = [e.value for e in _csr(wish.content).extensions]
    assert any(isinstance(v, x509.SubjectAlternativeName) for v in found) == bool(names)


def test_a_slim_request_has_names_and_nothing_else() -> None:
    """What public CAs and Pebble take; the names are critical without a subject."""
    slim = Csr(
        san_policy="identifiers-only", san_critical=False, subject=False, extensions=()
    )
    wish = wish_of(table(), NF, ca(slim, identifiers=("dns",), lint={"default": "off"}))
    made = _csr(wish.content)
    assert not list(made.subject)
    (san,) = made.extensions
    assert san.critical
    assert set(wish.levels.values()) == {Level.OFF}


def test_names_need_not_be_critical_beside_a_subject() -> None:
    """RFC 5280 leaves it open, TS 33.310 does not: a switch of the CA."""
    content = wish_of(table(), NF, ca(Csr(san_critical=False))).content
    san = _csr(content).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not san.critical


@pytest.mark.parametrize(
    ("purpose", "key", "usages", "bits"),
    [
        (Purpose.TLS_CLIENT, "ec-p256", (CLIENT,), (KeyUsage.DIGITAL_SIGNATURE,)),
        (Purpose.TLS_SERVER, "ec-p256", (SERVER,), (KeyUsage.DIGITAL_SIGNATURE,)),
        (
            Purpose.TOKEN_SIGNING,
            "ec-p256",
            ("1.3.6.1.5.5.7.3.39",),
            (KeyUsage.DIGITAL_SIGNATURE,),
        ),
        (
            Purpose.HTTP_CONTENT_ENCRYPT,
            "rsa-3072",
            ("1.3.6.1.5.5.7.3.38",),
            (KeyUsage.KEY_ENCIPHERMENT,),
        ),
        (
            Purpose.HTTP_CONTENT_ENCRYPT,
            "ec-p256",
            ("1.3.6.1.5.5.7.3.38",),
            (KeyUsage.KEY_AGREEMENT,),
        ),
    ],
)
def test_key_usages_follow_from_the_purpose(
    purpose: Purpose, key: Any, usages: tuple[str, ...], bits: tuple[KeyUsage, ...]
) -> None:
    """RFC 9509 for everything that is not TLS."""
    wish = wish_of(table(purpose=purpose, key=Key(token="hsm", type=key)), NF)
    assert wish.profile.usages == wish.content.usages == usages
    assert wish.profile.key_usage == wish.content.key_usage == bits


def test_each_part_can_be_overridden() -> None:
    """Request and profile change together, so that what is asked for is accepted."""
    other = "https://nf.example/"
    wish = wish_of(
        table(
            subject=Subject(organization="Operator", common_name="amf1"),
            san=(URI, FQDN, "192.0.2.1", "2001:DB8::1", other),
            identifiers=("dns",),
            key_usage=("key-agreement",),
            extended_key_usage=("jwt", "1.2.3"),
            nf_types=("SCP",),
        ),
        NF,
        ca(Csr(san_policy="whole-profile")),
    )
    assert ordered(wish) == [FQDN]
    assert wish.profile == Profile(
        uris=(URI, other),
        dns=(FQDN,),
        addresses=("192.0.2.1", "2001:db8::1"),
        organization="Operator",
        common_name="amf1",
        usages=("1.3.6.1.5.5.7.3.37", "1.2.3"),
        key_usage=(KeyUsage.KEY_AGREEMENT,),
        nf_types=("SCP",),
        of_nf=True,
    )
    made = _csr(wish.content)
    assert made.subject.rfc4514_string() == "CN=amf1,O=Operator"
    san = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    texts = [str(n.value) for n in san]
    assert texts == [FQDN, URI, "192.0.2.1", "2001:db8::1", other]


def test_without_an_nf_a_request_says_the_names_alone() -> None:
    """Nothing changes for certificates of names; what a table spells out is said."""
    plain = wish_of(table(nf=None), None, ca())
    assert ordered(plain) == [FQDN]
    assert _csr(plain.content).subject == x509.Name([])
    assert len(_csr(plain.content).extensions) == 1
    assert plain.profile.digest == ""
    assert set(plain.levels.values()) == {Level.OFF}
    spelled = table(nf=None, extended_key_usage=("server-auth",))
    assert wish_of(spelled).content.usages == (SERVER,)
    assert wish_of(spelled).profile.digest.split() == [SERVER, FQDN]


def test_a_changed_wish_is_another_certificate() -> None:
    """The digest tells them apart; the policy of a CA does not change it."""
    base = wish_of(table(), NF, ca()).profile.digest
    assert wish_of(table(), NF, ca(Csr(subject=False))).profile.digest == base
    changes = [
        (table(purpose=Purpose.TLS_CLIENT), NF),
        (table(names=("b.example",)), NF),
        (table(nf_types=("AMF",)), NF),
        (table(), Nf(instance_id=UUID, types=("AMF",), fqdn=FQDN, country="FR")),
    ]
    digests = {wish_of(one, of, ca()).profile.digest for one, of in changes}
    assert len(digests | {base}) == len(changes) + 1


def test_the_domain_of_an_nf_comes_from_its_network() -> None:
    """PLMN before names, which an operator may take from anywhere."""
    of = Nf(
        instance_id=UUID, types=("AMF",), fqdn="a.x", plmn=Plmn(mcc="310", mnc="260")
    )
    wish = wish_of(table(), of)
    assert wish.profile.organization == "5gc.mnc260.mcc310.3gppnetwork.org"
    assert wish.profile.country == ""
