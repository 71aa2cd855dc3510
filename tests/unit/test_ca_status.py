"""The test CA's CRL and OCSP responder, asked without any help of ours."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from tests.ca import Statements, TestCA
from tests.ca.issuing import Issued
from tests.ca.raw_client import new_key
from tests.unit.test_ca_certificates import READY, issue, ordering

SUPERSEDED = 4


@asynccontextmanager
async def issued(
    statements: Statements = Statements(),  # noqa: B008 -- an immutable value
) -> AsyncIterator[tuple[TestCA, Issued]]:
    """Run a CA that has issued one certificate."""
    config = replace(READY, statements=statements)
    async with ordering(config) as (ca, client, order):
        await issue(client, order, new_key())
        yield ca, ca.certificates[0]


async def fetched(url: str, body: bytes | None = None) -> bytes:
    """Return what a URL answers."""
    async with (
        aiohttp.ClientSession() as session,
        session.request("GET" if body is None else "POST", url, data=body) as reply,
    ):
        assert reply.status == 200
        return await reply.read()


def issuer(ca: TestCA) -> x509.Certificate:
    """Return the issuing certificate."""
    return ca.status.issuer.certificate


def urls(leaf: x509.Certificate) -> tuple[list[str], list[str]]:
    """Return where a certificate says that its OCSP responder and its CRL are."""
    responders, lists = [], []
    for extension in leaf.extensions:
        match extension.value:
            case x509.AuthorityInformationAccess() as access:
                for description in access:
                    assert description.access_method == (
                        AuthorityInformationAccessOID.OCSP
                    )
                    responders.append(str(description.access_location.value))
            case x509.CRLDistributionPoints() as points:
                lists += [str(n.value) for p in points for n in p.full_name or ()]
            case _:
                pass
    return responders, lists


async def test_certificates_say_where_their_status_can_be_had() -> None:
    """As configured, and not at all by default."""
    async with issued() as (ca, mine):
        base = ca.status.base
        assert urls(mine.leaf) == ([f"{base}/ocsp"], [f"{base}/crl"])
    async with issued(Statements(crl=False)) as (ca, mine):
        assert urls(mine.leaf) == ([f"{ca.status.base}/ocsp"], [])
    async with ordering() as (ca, client, order):
        await issue(client, order, new_key())
        assert urls(ca.certificates[0].leaf) == ([], [])


async def test_the_crl_lists_what_is_revoked() -> None:
    """Signed by the issuer; also what the CA's own operator revoked."""
    async with issued() as (ca, mine):
        url = f"{ca.status.base}/crl"
        crl = x509.load_der_x509_crl(await fetched(url))
        assert len(list(crl)) == 0
        ca.revoke(mine.serial, SUPERSEDED)
        crl = x509.load_der_x509_crl(await fetched(url))
        public = issuer(ca).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert crl.is_signature_valid(public)
        entry = crl.get_revoked_certificate_by_serial_number(mine.serial)
        assert entry is not None
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value
        assert reason.reason is x509.ReasonFlags.superseded
        ca.release(mine.serial)
        assert len(list(x509.load_der_x509_crl(await fetched(url)))) == 0


@pytest.mark.parametrize("delegated", [False, True])
async def test_the_responder_answers_what_is_asked(*, delegated: bool) -> None:
    """By the issuer or by its delegate, with the nonce of the request."""
    async with issued(Statements(delegated=delegated)) as (ca, mine):
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            mine.leaf, issuer(ca), hashes.SHA1()
        )
        builder = builder.add_extension(x509.OCSPNonce(b"n" * 32), critical=False)
        body = builder.build().public_bytes(Encoding.DER)
        url = f"{ca.status.base}/ocsp"
        good = ocsp.load_der_ocsp_response(await fetched(url, body))
        assert good.certificate_status is ocsp.OCSPCertStatus.GOOD
        ca.revoke(mine.serial, SUPERSEDED)
        bad = ocsp.load_der_ocsp_response(await fetched(url, body))
        assert bad.certificate_status is ocsp.OCSPCertStatus.REVOKED
        assert bad.revocation_reason is x509.ReasonFlags.superseded
        nonce = bad.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        assert nonce == b"n" * 32
        assert len(bad.certificates) == delegated
        signer = bad.certificates[0] if delegated else issuer(ca)
        public, algorithm = signer.public_key(), bad.signature_hash_algorithm
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert algorithm is not None
        public.verify(bad.signature, bad.tbs_response_bytes, ec.ECDSA(algorithm))


async def test_it_can_be_down_or_late() -> None:
    """Whenever a test wants it."""
    async with issued() as (ca, _):
        ca.status.change(age=timedelta(days=2))
        crl = x509.load_der_x509_crl(await fetched(f"{ca.status.base}/crl"))
        assert crl.next_update_utc is not None
        assert crl.next_update_utc < datetime.now(UTC)
        ca.status.change(down=True)
        with pytest.raises(AssertionError):
            await fetched(f"{ca.status.base}/crl")
        assert ca.status.requests == ["/crl", "/crl"]
