"""The names of a hashed directory are those that OpenSSL looks for."""

import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from agent.trust.names import hashed_names, subject_hash
from tests.vectors.trust import named, root

Attribute = x509.NameAttribute


def _text(text: str, kind: _ASN1Type) -> Attribute[str]:
    return Attribute(NameOID.ORGANIZATION_NAME, text, _type=kind)


NAMES = {
    "plain": named("Operator Root"),
    "spaces and case": named("  OPERATOR \t  Root  "),
    "utf-8": named("Öperator Rööt Ü"),
    "empty": x509.Name([]),
    "printable": x509.Name([_text("Operator (1)", _ASN1Type.PrintableString)]),
    "bmp": x509.Name([_text("Operator Ω", _ASN1Type.BMPString)]),
    "universal": x509.Name([_text("Operator Ω", _ASN1Type.UniversalString)]),
    "ia5": x509.Name(
        [
            Attribute(NameOID.DOMAIN_COMPONENT, "Example"),
            Attribute(NameOID.EMAIL_ADDRESS, "Pki@Example.org"),
        ]
    ),
    "bits": x509.Name(
        [
            Attribute(
                NameOID.X500_UNIQUE_IDENTIFIER, b"\x00AB", _type=_ASN1Type.BitString
            )
        ]
    ),
    "many": x509.Name(
        [
            Attribute(NameOID.COUNTRY_NAME, "DE"),
            Attribute(NameOID.ORGANIZATION_NAME, "x" * 60),
            Attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "y" * 60),
            Attribute(NameOID.COMMON_NAME, "Root"),
        ]
    ),
    "several in one": x509.Name(
        [
            x509.RelativeDistinguishedName(
                [
                    Attribute(NameOID.COMMON_NAME, "Zz"),
                    Attribute(NameOID.ORGANIZATION_NAME, "Aa"),
                    Attribute(NameOID.USER_ID, "aA"),
                ]
            )
        ]
    ),
}
"""One for each rule of the canonical encoding."""


def test_known_names_have_known_hashes() -> None:
    """As `openssl x509 -subject_hash` of OpenSSL 3.0 prints them."""
    assert subject_hash(root(1).certificate) == "68b5982b"
    assert (
        subject_hash(root(1, name=NAMES["spaces and case"]).certificate) == "3f14c5e3"
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_openssl_finds_the_same_name(name: x509.Name) -> None:
    """Computed here, because nothing is run to publish."""
    ca = root(1, name=name)
    command = ["openssl", "x509", "-noout", "-subject_hash"]
    result = subprocess.run(
        command, input=ca.pem, capture_output=True, text=True, check=True
    )
    assert subject_hash(ca.certificate) == result.stdout.strip()


def test_equal_subjects_are_counted() -> None:
    """A root that rolled over with its name kept stands beside its predecessor."""
    old, new, other = root(1), root(2, name=named("Root 1")), root(3)
    found = hashed_names(ca.certificate for ca in (old, new, other))
    prefix = subject_hash(old.certificate)
    assert found[f"{prefix}.0"] == old.certificate
    assert found[f"{prefix}.1"] == new.certificate
    assert len(found) == 3
