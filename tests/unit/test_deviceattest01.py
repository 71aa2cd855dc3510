"""device-attest-01: what is presented for a key, and what never is."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.acme.identifiers import Identifier
from agent.config.attestation import Attestation
from agent.config.tokens import Token
from agent.errors import AgentError
from agent.ports import KeySigner, Presentation
from agent.records.job import Disposition
from agent.renewal.disposition import failure_of
from agent.solvers.deviceattest01 import DeviceAttest01
from agent.solvers.tpm import Tpm
from tests.ca import cbor
from tests.ca.deviceattest01 import DeviceAttest01 as Judge
from tests.ca.identifiers import Identifier as Theirs
from tests.ca.jose import b64decode
from tests.ca.raw_client import PrivateKey, sign
from tests.ca.validation import Proof
from tests.fakes.clock import FakeClock
from tests.parts.maker import Maker

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SERIAL, TOKEN, THUMBPRINT = 4711, "the-token", "the-thumbprint"
DEVICE = Identifier(type="permanent-identifier", value=f"{SERIAL}/1.2.3.4")
KEYS: dict[str, Callable[[], PrivateKey]] = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a program must be root's")


def public_of(key: PrivateKey) -> bytes:
    """Return the SPKI of a key, DER."""
    kind = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*kind)


async def nobody(_: str) -> bytes:
    """Fail: no PIN is asked for."""
    raise AssertionError


def nothing(_: str) -> bytes:
    """Fail: no secret is asked for."""
    raise AssertionError


def token(name: str) -> Token:
    """Return the table of a token."""
    return Token(module="/m.so", token=f"pkcs11:token={name}", pin="file:/pin")


async def response(
    table: Attestation | None, key: PrivateKey, **changes: Any
) -> dict[str, object]:
    """Return the response object to a challenge, for a key in a token."""

    async def signing(data: bytes) -> bytes:
        return sign(key, data)

    fields: dict[str, Any] = {
        "identifier": DEVICE,
        "token": TOKEN,
        "key_authorization": f"{TOKEN}.{THUMBPRINT}",
        "attestation": table,
        "account_url": "https://ca.example/acct/1",
        "thumbprint": THUMBPRINT,
        "certificate_key": KeySigner(public_of(key), signing, "hsm", "01ab"),
    }
    solver = DeviceAttest01(token, Tpm(nobody, nothing, {}), FakeClock(NOW))
    async with solver.prepare(Presentation(**(fields | changes))) as found:
        return found


def by_file(tmp_path: Path, pem: bytes) -> Attestation:
    """Return a table whose attestation is in a file."""
    place = tmp_path / "attestation.pem"
    place.write_bytes(pem)
    return Attestation(permanent_identifier=DEVICE.value, certificate=str(place))


def by_program(tmp_path: Path, script: str, **settings: Any) -> Attestation:
    """Return a table whose attestation a shell script prints."""
    place = tmp_path / "attest"
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(stat.S_IRWXU)
    return Attestation(
        permanent_identifier=DEVICE.value, command=(str(place),), **settings
    )


@pytest.mark.parametrize("kind", KEYS)
async def test_a_statement_is_believed_by_a_ca_that_knows_the_maker(
    tmp_path: Path, kind: str
) -> None:
    """Chain, device, and a signature of the attested key over the key authorization."""
    maker, key = Maker(SERIAL), KEYS[kind]()
    payload = await response(by_file(tmp_path, maker.chain(key.public_key())), key)
    assert set(payload) == {"attObj"}
    judge = Judge((maker.root,), os.urandom, lambda: NOW)
    judge.check(payload)
    proof = Proof(
        identifier=Theirs(type=DEVICE.type, value=DEVICE.value),
        extra={"token": TOKEN},
        thumbprint=THUMBPRINT,
        account_url="https://ca.example/acct/1",
        payload=payload,
    )
    assert await judge.validate(proof) is None
    assert set(judge.attested) == {TOKEN}


async def test_a_statement_holds_what_its_format_defines(tmp_path: Path) -> None:
    """Format and statement, and of that algorithm, signature and chain: no authData."""
    maker, key = Maker(SERIAL), KEYS["ec-p256"]()
    payload = await response(by_file(tmp_path, maker.chain(key.public_key())), key)
    found = cbor.decode(b64decode(payload["attObj"], "attObj"))
    assert isinstance(found, dict)
    assert (set(found), found["fmt"]) == ({"fmt", "attStmt"}, "step")
    assert set(found["attStmt"]) == {"alg", "sig", "x5c"}
    assert len(found["attStmt"]["x5c"]) == 2


@AS_ROOT
async def test_a_program_is_told_the_key_and_prints_who_vouches_for_it(
    tmp_path: Path,
) -> None:
    """The public key on its standard input, the rest in its environment."""
    maker, key = Maker(SERIAL), KEYS["ec-p256"]()
    (tmp_path / "chain.pem").write_bytes(maker.chain(key.public_key()))
    script = f"cat > {tmp_path}/key; env > {tmp_path}/env; cat {tmp_path}/chain.pem"
    one = await response(by_program(tmp_path, script), key)
    assert one
    told = (tmp_path / "env").read_text().splitlines()
    assert {line for line in told if line.startswith("NFCERTD")} == {
        "NFCERTD_IDENTIFIER_TYPE=permanent-identifier",
        f"NFCERTD_IDENTIFIER={DEVICE.value}",
        f"NFCERTD_KEY_AUTHORIZATION={TOKEN}.{THUMBPRINT}",
        "NFCERTD_KEY_ID=01ab",
        "NFCERTD_KEY_URI=pkcs11:token=hsm;id=%01%AB;type=private",
    }
    pem = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert (tmp_path / "key").read_bytes() == key.public_key().public_bytes(*pem)


@AS_ROOT
async def test_a_whole_object_is_taken_from_the_program(tmp_path: Path) -> None:
    """For formats that PKCS#11 cannot make, such as tpm: its last line, as it is."""
    script = "echo certifying; echo o2NmbXRjdHBt"
    table = by_program(tmp_path, script, format="object")
    assert await response(table, KEYS["ec-p256"]()) == {"attObj": "o2NmbXRjdHBt"}


BAD_OUTPUT = {
    "nothing": "true",
    "no base64url": "echo o2Nm=",
    "a failure": "echo the hardware is busy; exit 3",
    "too slow": "sleep 20",
}


@AS_ROOT
@pytest.mark.parametrize("script", BAD_OUTPUT.values(), ids=BAD_OUTPUT)
@pytest.mark.parametrize("form", ["object", "step"])
async def test_a_program_that_gives_nothing_is_tried_again_later(
    tmp_path: Path, script: str, form: str
) -> None:
    """The hardware may be back then; nothing is presented."""
    table = by_program(tmp_path, script, format=form, timeout="1s")
    with pytest.raises(AgentError) as caught:
        await response(table, KEYS["ec-p256"]())
    assert failure_of(caught.value, NOW).disposition is Disposition.BACK_OFF
    if "exit" in script:
        assert "the hardware is busy" in str(caught.value)


async def test_what_attests_another_key_or_has_ended_is_never_presented(
    tmp_path: Path,
) -> None:
    """It would cost the order; only the operator can have the key attested anew."""
    maker, key = Maker(SERIAL), KEYS["ec-p256"]()
    other = KEYS["ec-p256"]().public_key()
    for pem, words in (
        (maker.chain(other), "another key"),
        (maker.chain(key.public_key(), ended=True), "not valid at"),
    ):
        with pytest.raises(AgentError, match=words) as caught:
            await response(by_file(tmp_path, pem), key)
        kind = failure_of(caught.value, NOW).disposition
        assert kind is Disposition.NEEDS_OPERATOR


@pytest.mark.parametrize("pem", [b"", b"no certificate", None])
async def test_an_attestation_that_cannot_be_read_is_said_so(
    tmp_path: Path, pem: bytes | None
) -> None:
    """Nothing in the file, no certificate in it, no file."""
    table = by_file(tmp_path, pem or b"")
    if pem is None:
        (tmp_path / "attestation.pem").unlink()
    with pytest.raises(AgentError):
        await response(table, KEYS["ec-p256"]())


async def test_too_many_certificates_are_refused(tmp_path: Path) -> None:
    """A chain has a bound."""
    maker, key = Maker(SERIAL), KEYS["ec-p256"]()
    pem = maker.chain(key.public_key()) * 6
    with pytest.raises(AgentError, match="12 certificates"):
        await response(by_file(tmp_path, pem), key)


@pytest.mark.parametrize("missing", [{"attestation": None}, {"key_authorization": ""}])
async def test_what_is_not_configured_or_has_no_token_is_refused(
    tmp_path: Path, missing: dict[str, object]
) -> None:
    """There is nothing that could be signed, or nobody who vouches."""
    maker, key = Maker(SERIAL), KEYS["ec-p256"]()
    table = by_file(tmp_path, maker.chain(key.public_key()))
    with pytest.raises(AgentError, match="the ca wants"):
        await response(table, key, **missing)


async def test_a_key_that_the_format_does_not_know_is_refused(tmp_path: Path) -> None:
    """P-384: an adopted key may be of another type than its table says."""
    maker, key = Maker(SERIAL), ec.generate_private_key(ec.SECP384R1())
    table = by_file(tmp_path, maker.chain(key.public_key()))
    with pytest.raises(AgentError, match="ec-p256"):
        await response(table, key)
