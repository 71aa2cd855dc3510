"""CRLs and OCSP responses of real signatures, held against the standards."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from agent.pki.crl import read_crl
from agent.pki.ocsp import NONCE_OCTETS, ocsp_request, read_ocsp
from agent.pki.reasons import REASONS
from agent.pki.status import (
    Said,
    Sources,
    StatusError,
    issuer_of,
    reason_name,
    sources_of,
)
from tests.ca.certificates import Revocation
from tests.ca.issuing import Issuer, Profile, make_leaf, make_root, validity_of
from tests.ca.status import FLAGS, Answering, make_crl, make_ocsp, make_responder

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
UPDATES = (NOW - HOUR, NOW + HOUR)
URL = "http://ca.example/crl"
NONCE = b"n" * NONCE_OCTETS
ROOT = make_root("Status Root")
STRANGER = make_root("Status Root")
"""The same name, another key."""


def leaf(issuer: Issuer = ROOT, **profile: Any) -> x509.Certificate:
    """Return a certificate."""
    about = Profile(**profile)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    names = [x509.DNSName("web.example")]
    return make_leaf(issuer, key, names, about, validity_of(about, NOW))


LEAF = leaf()


def revoked(reason: int = 4) -> dict[int, Revocation]:
    """Return the certificate as revoked."""
    return {LEAF.serial_number: Revocation(at=NOW - HOUR, reason=reason)}


def crl_says(
    *extensions: x509.ExtensionType,
    by: Issuer = ROOT,
    updates: tuple[datetime, datetime] = UPDATES,
    listed: dict[int, Revocation] | None = None,
) -> Said:
    """Return what a CRL says of the certificate."""
    der = make_crl(by, listed or {}, updates, *extensions).public_bytes(Encoding.DER)
    return read_crl(der, LEAF, ROOT.certificate, url=URL, now=NOW)


def point(**changes: Any) -> x509.IssuingDistributionPoint:
    """Return an issuing distribution point, for our URL unless changed."""
    base: dict[str, Any] = {
        "full_name": [x509.UniformResourceIdentifier(URL)],
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(base | changes))


def test_a_crl_without_the_certificate_says_that_it_is_good() -> None:
    """Until when is in it."""
    assert crl_says() == Said("", UPDATES[1])
    assert crl_says(point()) == Said("", UPDATES[1])
    assert crl_says(point(only_contains_user_certs=True)).revoked == ""


@pytest.mark.parametrize("reason", sorted(FLAGS))
def test_each_reason_is_read_from_a_crl(reason: int) -> None:
    """By its name; a missing one is unspecified."""
    said = crl_says(listed=revoked(reason))
    assert REASONS[said.revoked] == reason


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (x509.DeltaCRLIndicator(1), "unknown critical extension"),
        (point(only_contains_ca_certs=True), "other kinds"),
        (point(only_contains_attribute_certs=True), "other kinds"),
        (point(indirect_crl=True), "indirect"),
        (
            point(full_name=[x509.UniformResourceIdentifier("http://x/")]),
            "another distribution point",
        ),
        (
            point(only_some_reasons=frozenset({x509.ReasonFlags.superseded})),
            "some reasons only",
        ),
    ],
)
def test_a_crl_that_does_not_cover_us_is_refused(
    extension: x509.ExtensionType, words: str
) -> None:
    """It says neither good nor revoked."""
    with pytest.raises(StatusError, match=words):
        crl_says(extension)


def test_a_crl_for_some_reasons_can_still_revoke() -> None:
    """What it lists is revoked, whatever it leaves out."""
    some = point(only_some_reasons=frozenset({x509.ReasonFlags.superseded}))
    assert crl_says(some, listed=revoked(4)).revoked == "superseded"


@pytest.mark.parametrize(
    ("updates", "words"),
    [
        ((NOW - 2 * HOUR, NOW - HOUR), "out of date"),
        ((NOW + HOUR, NOW + 2 * HOUR), "in the future"),
    ],
)
def test_a_crl_of_another_time_is_refused(
    updates: tuple[datetime, datetime], words: str
) -> None:
    """An old one could hide a revocation."""
    with pytest.raises(StatusError, match=words):
        crl_says(updates=updates, listed=revoked())


def test_a_crl_of_a_stranger_is_refused() -> None:
    """Also under the name of the issuer."""
    with pytest.raises(StatusError, match="signature of the crl is wrong"):
        crl_says(by=STRANGER, listed=revoked())
    with pytest.raises(StatusError, match="another issuer"):
        crl_says(by=make_root("Somebody"))


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"-----BEGIN X509 CRL-----"])
def test_what_is_no_answer_is_refused(octets: bytes) -> None:
    """As an error of ours, whatever the library makes of it."""
    with pytest.raises(StatusError, match="cannot be read"):
        read_crl(octets, LEAF, ROOT.certificate, url=URL, now=NOW)
    request = ocsp_request(LEAF, ROOT.certificate, NONCE)
    with pytest.raises(StatusError, match="cannot be read"):
        read_ocsp(octets, LEAF, ROOT.certificate, request=request, now=NOW)


ANSWER = Answering(
    issuer=ROOT, signer=ROOT, leaf=LEAF, revocation=None, updates=UPDATES
)


def ocsp_says(about: Answering, nonce: bytes = NONCE) -> Said:
    """Return what a responder says of the certificate."""
    asked = ocsp_request(LEAF, ROOT.certificate, NONCE)
    heard = ocsp.load_der_ocsp_request(ocsp_request(LEAF, ROOT.certificate, nonce))
    der = make_ocsp(heard, about).public_bytes(Encoding.DER)
    return read_ocsp(der, LEAF, ROOT.certificate, request=asked, now=NOW)


def test_a_response_by_the_issuer_or_by_its_delegate_is_believed() -> None:
    """The delegate's certificate comes with the response."""
    assert ocsp_says(ANSWER) == Said("", UPDATES[1])
    delegate = make_responder(ROOT, NOW)
    assert ocsp_says(replace(ANSWER, signer=delegate)) == Said("", UPDATES[1])


@pytest.mark.parametrize("reason", sorted(FLAGS))
def test_each_reason_is_read_from_a_response(reason: int) -> None:
    """By its name; a missing one is unspecified."""
    revocation = Revocation(at=NOW - HOUR, reason=reason)
    said = ocsp_says(replace(ANSWER, revocation=revocation))
    assert REASONS[said.revoked] == reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signer": make_responder(STRANGER, NOW)}, "by nobody who may speak"),
        ({"signer": STRANGER}, "by nobody who may speak"),
        ({"signer": make_responder(ROOT, NOW - timedelta(days=9999))}, "by nobody"),
        ({"leaf": leaf()}, "about another certificate"),
        ({"leaf": None}, "says: unauthorized"),
        ({"updates": (NOW - 3 * HOUR, NOW - HOUR)}, "out of date"),
        ({"updates": (NOW + HOUR, NOW + 2 * HOUR)}, "in the future"),
        ({"updates": (NOW - 48 * HOUR, None)}, "old and does not say"),
    ],
)
def test_a_response_that_cannot_be_relied_on_is_refused(
    changes: dict[str, Any], words: str
) -> None:
    """It says neither good nor revoked."""
    with pytest.raises(StatusError, match=words):
        ocsp_says(replace(ANSWER, **changes))


def test_a_forged_signature_is_refused() -> None:
    """One bit is enough."""
    request = ocsp_request(LEAF, ROOT.certificate, NONCE)
    made = make_ocsp(ocsp.load_der_ocsp_request(request), ANSWER)
    der = bytearray(made.public_bytes(Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(StatusError, match="signature of the ocsp response is wrong"):
        read_ocsp(bytes(der), LEAF, ROOT.certificate, request=request, now=NOW)


def test_a_response_to_another_request_is_refused() -> None:
    """Its nonce tells; a response without one is one that was signed in advance."""
    with pytest.raises(StatusError, match="another request"):
        ocsp_says(ANSWER, nonce=b"m" * NONCE_OCTETS)


def test_sources_are_the_usable_urls() -> None:
    """Http only, each once, few of them."""
    both = leaf(crl_url=URL, ocsp_url="http://ca.example/ocsp")
    assert sources_of(both) == Sources(("http://ca.example/ocsp",), (URL,))
    odd = leaf(crl_url="ldap://ca.example/crl", ocsp_url="https://ca.example/ocsp")
    assert sources_of(odd) == Sources()
    assert sources_of(LEAF) == Sources()


def test_the_issuer_is_found_by_its_signature() -> None:
    """A namesake is not taken."""
    candidates = (STRANGER.certificate, ROOT.certificate)
    assert issuer_of(LEAF, candidates) == ROOT.certificate
    with pytest.raises(StatusError, match="not known any more"):
        issuer_of(LEAF, (STRANGER.certificate,))


@pytest.mark.parametrize("flag", list(x509.ReasonFlags))
def test_every_reason_has_a_name(flag: x509.ReasonFlags) -> None:
    """And the name a code."""
    assert reason_name(flag) in REASONS
