"""The test CA judges statements of TPMs: each thing that it looks at refuses one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from agent.acme import cbor
from tests.ca.csr import fingerprint
from tests.ca.deviceattest01 import DeviceAttest01
from tests.ca.identifiers import Identifier
from tests.ca.raw_client import b64
from tests.ca.validation import Proof
from tests.parts.tpmmaker import ABOUT, SIGNING, PrivateKey, TpmMaker, statement

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DEVICE, TOKEN, THUMBPRINT = "nf-host-17", "token", "thumbprint"
DATA = f"{TOKEN}.{THUMBPRINT}".encode()
MAKER, STRANGER = TpmMaker(), TpmMaker()
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
OTHER = ec.generate_private_key(ec.SECP256R1()).public_key()
AK: dict[str, PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
}
ALGORITHMS = {"rsa": -257, "ec": -7}


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate as a statement has it."""
    return certificate.public_bytes(Encoding.DER)


def made(by: str = "ec", **unlike: Any) -> dict[str, cbor.Value]:
    """Return a statement; what is said may be unlike what a TPM says."""
    data = unlike.pop("data", DATA)
    info, signature, public = statement(AK[by], KEY, data, **unlike)
    return {
        "ver": "2.0",
        "alg": ALGORITHMS[by],
        "x5c": [der(MAKER.certificate(AK[by].public_key(), DEVICE))],
        "sig": signature,
        "certInfo": info,
        "pubArea": public,
    }


async def judged(found: dict[str, cbor.Value]) -> tuple[str, object]:
    """Return why the CA refuses a statement, and which key it believes in."""
    judge = DeviceAttest01((MAKER.root,), bytes, lambda: NOW)
    proof = Proof(
        identifier=Identifier(type="permanent-identifier", value=DEVICE),
        extra={"token": TOKEN},
        thumbprint=THUMBPRINT,
        account_url="https://ca.example/acct/1",
        payload={"attObj": b64(cbor.encode({"fmt": "tpm", "attStmt": found}))},
    )
    problem = await judge.validate(proof)
    return "" if problem is None else problem.detail, judge.attested.get(TOKEN)


@pytest.mark.parametrize("by", AK)
async def test_the_key_that_a_tpm_certifies_is_believed(by: str) -> None:
    """By an attestation key of either kind."""
    assert await judged(made(by)) == ("", fingerprint(KEY))


def certified(**unlike: Any) -> dict[str, cbor.Value]:
    """Return a statement whose attestation key has another certificate."""
    maker, device = unlike.pop("maker", MAKER), unlike.pop("device", DEVICE)
    leaf = maker.certificate(AK["ec"].public_key(), device, **unlike)
    return made() | {"x5c": [der(leaf)]}


def public_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the TPMT_PUBLIC of a key."""
    return statement(AK["ec"], key, DATA).public


Make = Callable[[], dict[str, cbor.Value]]
FORGED: dict[str, tuple[Make, str]] = {
    "another version": (lambda: made() | {"ver": "1.2"}, "ver"),
    "an unknown maker": (lambda: certified(maker=STRANGER), "believes"),
    "a subject": (lambda: certified(subject="ak"), "of no attestation key"),
    "another usage": (
        lambda: certified(usage=x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")),
        "the usage",
    ),
    "no model": (lambda: certified(about=tuple(ABOUT)[:2]), "is missing"),
    "no attestation key's certificate": (
        lambda: made() | {"x5c": [der(MAKER.root)]},
        "extension",
    ),
    "another device": (lambda: certified(device="nf-host-18"), "another device"),
    "another signer": (
        lambda: made() | {"sig": made(data=b"other")["sig"]},
        "not signed",
    ),
    "a signer of another kind": (
        lambda: made() | {"sig": made("rsa")["sig"], "alg": -257},
        "not signed",
    ),
    "another algorithm": (lambda: made() | {"alg": -257}, "alg"),
    "another challenge": (lambda: made(data=b"other"), "not about"),
    "no magic of a tpm": (lambda: made(head="ff5443488017"), "no certification"),
    "a quote": (lambda: made(head="ff5443478018"), "no certification"),
    "another key": (lambda: made(other=public_of(OTHER)), "another key"),
    "another key shown": (
        lambda: made() | {"pubArea": public_of(OTHER)},
        "another key",
    ),
    "a key that can leave": (lambda: made(attributes=SIGNING & ~2), "to stay"),
    "a key that moves": (lambda: made(attributes=SIGNING & ~0x10), "to stay"),
    "a key from outside": (lambda: made(attributes=SIGNING & ~0x20), "to stay"),
    "a restricted key": (lambda: made(attributes=SIGNING | 1 << 16), "to stay"),
    "a part of a key": (
        lambda: made() | {"pubArea": public_of(KEY)[:-1]},
        "ends too soon",
    ),
    "more than a key": (lambda: made() | {"pubArea": public_of(KEY) + b"x"}, "more"),
    "no certInfo": (lambda: made() | {"certInfo": "text"}, ""),
}


@pytest.mark.parametrize(("forge", "words"), FORGED.values(), ids=FORGED)
async def test_a_statement_that_proves_nothing_is_refused(
    forge: Make, words: str
) -> None:
    """With why; no key is believed in."""
    why, attested = await judged(forge())
    assert why
    assert words in why
    assert attested is None
