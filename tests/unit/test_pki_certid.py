"""How renewal information names a certificate: the vectors of RFC 9773."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.acme.renewal import renewal_url
from agent.pki.certid import certid

KEY = ec.generate_private_key(ec.SECP256R1())
IDENTIFIER = bytes.fromhex("69885B6B87464041E1B37B847BA0AE2CDE01C8D4")
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])


def leaf(serial: int, issuer: x509.AuthorityKeyIdentifier | None) -> x509.Certificate:
    """Return a certificate with a serial number and an issuer's key identifier."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2026, 4, 1, tzinfo=UTC))
    )
    if issuer is not None:
        builder = builder.add_extension(issuer, critical=False)
    return builder.sign(KEY, hashes.SHA256())


@pytest.mark.parametrize(
    ("serial", "text"),
    [(0x7F, "fw"), (0x80, "AIA"), (0x0102, "AQI"), (0x87654321, "AIdlQyE")],
)
def test_the_serial_keeps_its_sign_octet(serial: int, text: str) -> None:
    """The published example is the last one (section 4.1); no padding anywhere."""
    issuer = x509.AuthorityKeyIdentifier(IDENTIFIER, None, None)
    assert certid(leaf(serial, issuer)) == f"aYhba4dGQEHhs3uEe6CuLN4ByNQ.{text}"


@pytest.mark.parametrize(
    "issuer",
    [
        None,
        x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(NAME)], 1),
    ],
)
def test_without_a_key_identifier_there_is_no_name(
    issuer: x509.AuthorityKeyIdentifier | None,
) -> None:
    """Such a certificate is renewed by our own rules."""
    assert certid(leaf(1, issuer)) == ""


@pytest.mark.parametrize("base", ["https://ca.example/ari", "https://ca.example/ari/"])
def test_a_slash_at_the_end_of_the_base_is_no_segment(base: str) -> None:
    """The name follows one slash."""
    assert renewal_url(base, "a.b") == "https://ca.example/ari/a.b"
