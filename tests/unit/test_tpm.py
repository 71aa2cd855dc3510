"""The format `tpm`: what is made of a TPM's words, and what is asked of the child.

The TPM is made of software, and the child is a program of the test: what the real ones
say is shown by `tests/integration/test_tpm_attested.py`.
"""

import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.acme.identifiers import Identifier
from agent.acme.tpm import Certified, qualifying_data, tpm_object
from agent.cli.dispatch import main
from agent.config.attestation import Attestation
from agent.config.tokens import Token
from agent.errors import AgentError
from agent.ports import KeySigner, Presentation
from agent.records.job import Disposition
from agent.renewal.disposition import failure_of
from agent.solvers import tpm
from agent.solvers.deviceattest01 import DeviceAttest01
from agent.solvers.tpm import Tpm
from tests.ca import cbor
from tests.ca.jose import b64decode
from tests.fakes.clock import FakeClock
from tests.parts.tpmmaker import PrivateKey, TpmMaker, statement

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DEVICE, AUTHORIZATION = "nf-host-17", "token.thumbprint"
PIN, PASSWORD = "tok3n-p1n", "ak-passw0rd"
KEY = ec.generate_private_key(ec.SECP256R1())
SIGNERS: dict[str, Callable[[], PrivateKey]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
}
NAMES = ("tpm2_pytss", "yaml")


def spki(key: PrivateKey) -> bytes:
    """Return the public half, DER."""
    kind = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*kind)


def said(by: PrivateKey) -> Certified:
    """Return what a TPM says of the key."""
    return Certified(*statement(by, KEY.public_key(), AUTHORIZATION.encode()))


@pytest.mark.parametrize(("kind", "alg"), [("rsa", -257), ("ec", -7)])
def test_a_statement_holds_what_web_authn_defines(kind: str, alg: int) -> None:
    """Six members, as octets that the TPM gave; no authData."""
    by = SIGNERS[kind]()
    words = said(by)
    found = cbor.decode(b64decode(tpm_object(words, spki(by), [b"ak"]), "it"))
    assert found == {
        "fmt": "tpm",
        "attStmt": {
            "ver": "2.0",
            "alg": alg,
            "x5c": [b"ak"],
            "sig": words.signature,
            "certInfo": words.info,
            "pubArea": words.public,
        },
    }
    assert qualifying_data(AUTHORIZATION) in words.info


@pytest.mark.parametrize("kind", SIGNERS)
@pytest.mark.parametrize("other", SIGNERS)
def test_a_statement_of_another_signer_is_none(kind: str, other: str) -> None:
    """Its certificate is of another key, of the same kind or not."""
    with pytest.raises(ValueError, match="another key"):
        tpm_object(said(SIGNERS[kind]()), spki(SIGNERS[other]()), [])


@pytest.mark.parametrize("signature", ["", "0014", "00160 00b0000", "0014000c0000"])
def test_a_signature_by_another_scheme_is_told(signature: str) -> None:
    """RSAPSS, or another digest: no CA knows what to do with it."""
    octets = bytes.fromhex(signature.replace(" ", ""))
    with pytest.raises(ValueError, match="with SHA-256"):
        tpm_object(Certified(b"", octets, b""), spki(KEY), [])


def test_a_signature_that_ends_too_soon_is_none() -> None:
    """As a TPM that was interrupted might give."""
    by = SIGNERS["ec"]()
    info, signature, public = said(by)
    for end in range(4, len(signature), 7):
        with pytest.raises(ValueError, match="another key"):
            tpm_object(Certified(info, signature[:end], public), spki(by), [])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put something where the libraries would be found."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return what replaces the child by one that notes what it hears, and prints."""

    def replace(answer: str) -> Path:
        program, heard = tmp_path / "child.py", tmp_path / "heard"
        program.write_text(
            "import json, os, sys\nfrom pathlib import Path\n"
            f"Path({str(heard)!r}).write_text(json.dumps(\n"
            "    [json.load(sys.stdin), dict(os.environ), sys.argv]))\n"
            f"print({answer!r})\n"
        )
        monkeypatch.setattr(tpm, "CHILD", program)
        return heard

    return replace


async def response(home: Path, by: PrivateKey, **settings: Any) -> dict[str, object]:
    """Return the response object to a challenge, for a key of a TPM."""

    async def signing(_: bytes) -> bytes:
        raise AssertionError("the tpm signs, not the key")

    (home / "ak.pem").write_bytes(TpmMaker().pem(by.public_key(), DEVICE))
    table = Attestation(
        permanent_identifier=DEVICE,
        format="tpm",
        certificate=f"{home}/ak.pem",
        attestation_key="0x81010002",
        **settings,
    )
    found = Presentation(
        identifier=Identifier(type="permanent-identifier", value=DEVICE),
        token="token",
        key_authorization=AUTHORIZATION,
        attestation=table,
        account_url="https://ca.example/acct/1",
        thumbprint="thumbprint",
        certificate_key=KeySigner(spki(KEY), signing, "hsm", "01ab"),
    )
    environ = {"TPM2_PKCS11_STORE": "/store", "HOME": "/root", "CREDENTIAL": "secret"}
    secrets = {"file:/ak": PASSWORD.encode()}

    async def accepted_pin(token: str) -> bytes:
        assert token == "hsm"
        return PIN.encode()

    asked = Tpm(accepted_pin, secrets.__getitem__, environ)
    solver = DeviceAttest01(_token, asked, FakeClock(NOW))
    async with solver.prepare(found) as made:
        return made


def _token(name: str) -> Token:
    return Token(module="/m.so", token=f"pkcs11:token={name}")


def _answer(by: PrivateKey) -> str:
    info, signature, public = (part.hex() for part in said(by))
    return json.dumps({"info": info, "signature": signature, "public": public})


@pytest.mark.usefixtures("installed")
async def test_the_child_hears_what_is_certified_and_for_whom(
    tmp_path: Path, child: Callable[[str], Path]
) -> None:
    """Secrets on its standard input; of our environment only where the TPM is."""
    by = SIGNERS["rsa"]()
    heard = child(_answer(by))
    payload = await response(tmp_path, by, attestation_key_auth="file:/ak")
    assert set(payload) == {"attObj"}
    request, environment, arguments = json.loads(heard.read_text())
    assert request["path"] == [place for place in sys.path if place]
    del request["path"]
    assert request == {
        "id": "01ab",
        "public": spki(KEY).hex(),
        "pin": PIN.encode().hex(),
        "data": qualifying_data(AUTHORIZATION).hex(),
        "signer": 0x81010002,
        "signer_auth": PASSWORD.encode().hex(),
    }
    environment.pop("LC_CTYPE", None)
    assert environment == {"TPM2_PKCS11_STORE": "/store", "HOME": "/root"}
    assert len(arguments) == 1


ANSWERS = {
    "refused": (
        json.dumps({"kind": "E", "error": "no such handle", "refused": True}),
        Disposition.NEEDS_OPERATOR,
        "no such handle",
    ),
    "failed": (
        json.dumps({"kind": "E", "error": "busy", "refused": False}),
        Disposition.BACK_OFF,
        "busy",
    ),
    "without a word": (
        json.dumps({"kind": "MemoryError", "error": "", "refused": False}),
        Disposition.BACK_OFF,
        "MemoryError",
    ),
    "nothing": ("", Disposition.BACK_OFF, "no answer"),
    "no hexadecimal": ('{"info": "x"}', Disposition.BACK_OFF, "no answer"),
}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("text", "kind", "words"), ANSWERS.values(), ids=ANSWERS)
async def test_what_the_child_could_not_do_is_told_as_it_is(
    tmp_path: Path,
    child: Callable[[str], Path],
    text: str,
    kind: Disposition,
    words: str,
) -> None:
    """What would fail again waits for an operator: a TPM counts wrong passwords."""
    child(text)
    with pytest.raises(AgentError, match=words) as caught:
        await response(tmp_path, SIGNERS["ec"]())
    assert failure_of(caught.value, NOW).disposition is kind


@pytest.mark.usefixtures("installed")
async def test_the_real_child_says_that_it_finds_no_key(tmp_path: Path) -> None:
    """There is no database where it is told to look."""
    with pytest.raises(AgentError, match="no database of tpm2-pkcs11 is found"):
        await response(tmp_path, SIGNERS["ec"]())


@pytest.mark.usefixtures("installed")
async def test_a_tpm_that_does_not_answer_is_waited_for_no_longer(
    tmp_path: Path, child: Callable[[str], Path]
) -> None:
    """The timeout of the table; it is tried again later."""
    heard = child("")
    program = heard.with_name("child.py")
    program.write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(AgentError, match="took longer") as caught:
        await response(tmp_path, SIGNERS["ec"](), timeout="1s")
    assert failure_of(caught.value, NOW).disposition is Disposition.BACK_OFF


CONFIG = """\
[token.hsm]
module = "/m.so"
token = "pkcs11:token=nf"
[ca.test]
directory = "https://ca.example/directory"
roots = "/roots.pem"
chain_roots = "/roots.pem"
[account.test]
ca = "test"
key.file = true
[certificate.web]
ca = "test"
names = ["web.example"]
key.token = "hsm"
[certificate.web.attestation]
permanent_identifier = "4711"
format = "tpm"
certificate = "/ak.pem"
attestation_key = "0x81010002"
"""


def test_check_says_what_is_not_installed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And how that is mended."""
    path = tmp_path / "nfcertd.toml"
    path.write_text(CONFIG)
    real = importlib.util.find_spec

    def without(name: str) -> importlib.machinery.ModuleSpec | None:
        return None if name in NAMES else real(name)

    monkeypatch.setattr("importlib.util.find_spec", without)
    assert main(["check", "--config", str(path)]) != 0
    said = capsys.readouterr().err
    assert 'format = "tpm" needs tpm2_pytss, which is not installed here' in said
    assert "extra tpm" in said
