"""Roots out of PEM files and EST answers: what is taken, and what is refused."""

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from agent.trust.errors import BoundsError, EntryError, FormatError, TrustError
from agent.trust.roots import MAX_DOCUMENT, MAX_ROOTS, read_cacerts, read_der, read_pem
from tests.vectors.trust import DAY, NOW, Ca, issued, root


def pem(*cas: Ca) -> bytes:
    """Return certificates as one PEM file."""
    return "".join(ca.pem for ca in cas).encode()


def cacerts(*cas: Ca) -> bytes:
    """Return an answer to `/cacerts` as EST servers give it, with line breaks."""
    der = pkcs7.serialize_certificates([ca.certificate for ca in cas], Encoding.DER)
    return base64.encodebytes(der)


def test_a_pem_file_holds_its_roots_once_and_in_order() -> None:
    """Two certificates of one key are two roots; comments may stand between them."""
    again = root(9, of=1)
    data = b"# ours\n" + pem(root(2), root(1), root(2), again) + b"\n# end\n"
    found = read_pem(data)
    assert [r.fingerprint for r in found.roots] == [
        ca.fingerprint for ca in (root(2), root(1), again)
    ]
    assert found.roots[1].key == found.roots[2].key
    assert found.roots[0].subject == "CN=Root 2"
    assert found.roots[0].pem == root(2).pem


def test_what_a_document_says_has_one_digest_whatever_its_order() -> None:
    """Servers do not promise an order, and text around certificates says nothing."""
    one, other = read_pem(pem(root(1), root(2))), read_pem(pem(root(2), root(1)))
    assert one.digest == other.digest
    assert one.digest != read_pem(pem(root(1))).digest
    assert read_cacerts(cacerts(root(2), root(1))).digest == one.digest


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"", FormatError, "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\n", FormatError, "something other"),
        (
            pem(root(1)) + b"-----BEGIN PRIVATE KEY-----\nAA==\n",
            FormatError,
            "something other",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            EntryError,
            "cannot be read",
        ),
        (pem(root(1), root(3, ca=False)), EntryError, "CN=Root 3 is no ca"),
        (pem(root(4, cert_sign=False)), EntryError, "may not sign"),
        (b" " * (MAX_DOCUMENT + 1), BoundsError, "larger than"),
        (pem(root(1)) * (MAX_ROOTS + 1), BoundsError, "more than 500"),
    ],
)
def test_a_pem_file_is_refused(data: bytes, error: type[TrustError], text: str) -> None:
    """The whole file is: half a list is another list."""
    with pytest.raises(error, match=text):
        read_pem(data)


def test_an_est_answer_holds_the_certificates_that_signed_themselves() -> None:
    """Intermediates and the two cross-certificates of a roll-over are no roots."""
    old, new = root(1), root(2, name=root(1).certificate.subject)
    intermediate = issued(old, "issuing", NOW - DAY, 30 * DAY, 11, is_ca=True)
    crossed = issued(old, "Root 1", NOW - DAY, 30 * DAY, 2, is_ca=True)
    found = read_cacerts(cacerts(intermediate, old, crossed, new))
    assert {r.fingerprint for r in found.roots} == {old.fingerprint, new.fingerprint}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        base64.b64encode(b"no pkcs7"),
        base64.b64encode(root(1).der),
        cacerts(issued(root(1), "peer.example", NOW, DAY)),
    ],
    ids=["empty", "html", "octets", "a certificate", "no root"],
)
def test_an_est_answer_is_refused(body: bytes) -> None:
    """What is no certs-only response with a root in it is no list."""
    with pytest.raises(FormatError):
        read_cacerts(body)


@pytest.mark.parametrize("text", ["", "!", "AAAA", "QUJD"])
def test_an_entry_that_cannot_be_read_is_refused(text: str) -> None:
    """Neither base64 of something else nor something that is none."""
    with pytest.raises(EntryError):
        read_der(text)
