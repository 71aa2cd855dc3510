"""device-attest-01 by a TPM: the key of tpm2-pkcs11 is certified where it lives.

The TPM is swtpm behind tpm2-pkcs11. Its attestation key is made as an operator makes
one, and has a certificate of a maker of the tests; the CA judges all of WebAuthn 8.3.1.
"""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent.config.attestation import Attestation
from agent.ports import KeySigner
from agent.solvers.errors import AttestationDeniedError
from agent.solvers.tpm import Tpm
from tests.ca import Config
from tests.integration.scene import PATIENCE, Scene, scene, token_table
from tests.integration.tokens import PIN, TpmSetup, tpm_simulator, write_pin
from tests.parts.fetched import fetched, not_fetched
from tests.parts.process import PartError
from tests.parts.token import TokenTool
from tests.parts.tpmmaker import TpmMaker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(not_fetched("tpm")), reason=not_fetched("tpm")),
]
DEVICE: Final = "nf-host-17"
HANDLES: Final = {"rsa": "0x81010002", "ecc": "0x81010003"}
SCHEMES: Final = {"rsa": "rsassa", "ecc": "ecdsa"}
PASSWORD: Final = "of-the-ak"
UNPROVEN: Final = "is not the one that it has accepted"
TYPES: Final = frozenset({"dns", "permanent-identifier"})


class Place(NamedTuple):
    """A TPM with attestation keys, and who certifies those.

    Attributes:
        setup: The token.
        maker: Whom the CA believes.
        home: A directory for what the TPM's tools write.
    """

    setup: TpmSetup
    maker: TpmMaker
    home: Path

    def tool(self, *command: str) -> str:
        """Run a tool of tpm2-tools, and return what it prints."""
        environment = {**os.environ, **self.setup.env}
        done = subprocess.run(
            command,
            env=environment,
            cwd=self.home,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout

    def make_attestation_key(self, kind: str, password: str) -> None:
        """Make one below the endorsement key, and keep it in the TPM."""
        self.tool("tpm2_createek", "-G", "rsa", "-c", "ek")
        make = ["tpm2_createak", "-C", "ek", "-c", "ak", "-G", kind, "-g", "sha256"]
        if password:
            make += ["-p", password]
        self.tool(*make, "-s", SCHEMES[kind], "-u", "ak.pub", "-f", "pem")
        read = ("tpm2_readpublic", "-c", "ak", "-f", "pem", "-o", f"{kind}.pem")
        self.tool(*read)
        self.tool("tpm2_evictcontrol", "-c", "ak", HANDLES[kind])

    def lockout_counter(self) -> str:
        """Return how many wrong passwords the TPM remembers."""
        shown = self.tool("tpm2_getcap", "properties-variable")
        [line] = [line for line in shown.splitlines() if "LOCKOUT_COUNTER" in line]
        return line

    def certificate(self, kind: str, device: str = DEVICE) -> Path:
        """Return a file with the certificate of an attestation key."""
        key = load_pem_public_key((self.home / f"{kind}.pem").read_bytes())
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        path = self.home / f"{kind}-{device}.crt"
        path.write_bytes(self.maker.pem(key, device))
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run a TPM with two attestation keys; that of EC has a password."""
    home = tmp_path_factory.mktemp("tpm")
    with tpm_simulator(home) as setup:
        # The daemon and its child find the library as if it were installed.
        known = {**setup.env, "PYTHONPATH": str(fetched("tpm"))}
        found = Place(replace(setup, env=known), TpmMaker(), home)
        found.make_attestation_key("rsa", "")
        found.make_attestation_key("ecc", PASSWORD)
        (home / "ak.password").write_text(PASSWORD)
        yield found


@contextmanager
def attested(
    place: Place, tmp_path: Path, more: str, key: str = "", *, device: str = DEVICE
) -> Iterator[Scene]:
    """Make a scene whose CA believes the maker, and order a name and the device."""
    config = Config(device_makers=(place.maker.root,), identifier_types=TYPES)
    with scene(tmp_path, config, token=place.setup, speed=20) as found:
        found.configure(
            token_table(place.setup),
            '\n[certificate.web]\nca = "test"\nnames = ["web.example"]\n'
            f'key = {{ token = "hsm"{key} }}\n\n[certificate.web.attestation]\n'
            f'permanent_identifier = "{device}"\nformat = "tpm"\n{more}\n',
        )
        yield found


def by(place: Place, kind: str, certificate: Path | None = None) -> str:
    """Return the settings of an attestation key."""
    password = f'attestation_key_auth = "file:{place.home}/ak.password"'
    return (
        f'attestation_key = "{HANDLES[kind]}"\n'
        f'certificate = "{certificate or place.certificate(kind)}"\n'
        f"{password if kind == 'ecc' else ''}"
    )


@pytest.mark.parametrize("kind", HANDLES)
@pytest.mark.parametrize("type_", ["ec-p256", "ec-p384", "rsa-2048"])
def test_a_tpm_certifies_each_new_key_that_it_makes(
    place: Place, tmp_path: Path, kind: str, type_: str
) -> None:
    """Two keys, two statements; the CA certifies what was attested and nothing else."""
    more = by(place, kind)
    with attested(place, tmp_path, more, f', type = "{type_}"') as found:
        with found.daemon() as daemon:
            daemon.settle_deployed("web")
            daemon.ask("renew", "web")
            daemon.settle_deployed("web", 2)
        first, second = (issued.leaf for issued in found.ca.certificates)
        log = found.log()
    assert first.public_key() != second.public_key()
    assert PASSWORD not in log


def test_what_is_certified_by_another_key_is_never_presented(
    place: Place, tmp_path: Path
) -> None:
    """The certificate is of the other attestation key: nobody would believe it."""
    more = by(place, "rsa", place.certificate("ecc"))
    with attested(place, tmp_path, more) as found, found.daemon() as daemon:
        status = daemon.wait(lambda s: s.alarms("web"), PATIENCE)
        cause = status.alarms("web")["issue-failing"]["cause"]
        assert "another key than the attestation key" in cause
        assert found.ca.log.of("challenge") == []


@pytest.mark.parametrize("wrong", ["handle", "password"])
def test_a_tpm_that_refuses_is_said_so(
    place: Place, tmp_path: Path, wrong: str
) -> None:
    """No attestation key there, or another password: an operator has to look."""
    more = {
        "handle": by(place, "rsa").replace(HANDLES["rsa"], "0x81010009"),
        "password": by(place, "ecc").partition("attestation_key_auth")[0],
    }[wrong]
    with attested(place, tmp_path, more) as found, found.daemon() as daemon:
        status = daemon.wait(lambda s: s.alarms("web"), PATIENCE)
        cause = status.alarms("web")["issue-failing"]["cause"]
        assert "the tpm does not certify the key" in cause
        assert found.ca.log.of("challenge") == []


def test_a_pin_that_no_login_has_proven_is_never_tried(
    place: Place, tmp_path: Path
) -> None:
    """The TPM counts wrong ones, and our token stays logged in with the old one."""
    more, pin = by(place, "rsa"), place.setup.pin_file
    with attested(place, tmp_path, more) as found, found.daemon() as daemon:
        daemon.settle_deployed("web")
        counted = place.lockout_counter()
        pin.write_text("9999\n")
        try:
            daemon.ask("renew", "web")
            daemon.wait(lambda s: UNPROVEN in f"{s.job('web', 'issue')}")
        finally:
            write_pin(pin)
        assert place.lockout_counter() == counted
        daemon.settle_deployed("web", 2)


def test_a_ca_does_not_believe_it_of_another_device(
    place: Place, tmp_path: Path
) -> None:
    """The attestation key's certificate names the device."""
    more = by(place, "rsa")
    with attested(place, tmp_path, more, device="nf-host-18") as found:
        with found.daemon() as daemon:
            status = daemon.settle(lambda s: s.alarms("web"))
        cause = status.alarms("web")["issue-failing"]["cause"]
        assert "another device" in cause
        assert not found.ca.certificates


NAMELESS: Final = "UPDATE tobjects SET attrs = '{}'"
TRANSIENT: Final = "UPDATE pobjects SET config = '{transient: true}'"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("", ""),
        (NAMELESS, "the database of tpm2-pkcs11 does not have the key"),
        (TRANSIENT, "the token's primary object is made anew at each use"),
    ],
    ids=["as it is", "without the key", "with a transient primary object"],
)
async def test_a_database_that_is_not_as_expected_is_told(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    words: str,
) -> None:
    """Of the token that the module uses, a copy is read; the TPM is the same."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(fetched("tpm"))])
    setup = place.setup
    owner = TokenTool(module=setup.module, environment=setup.env, pin=PIN)
    public = _made(owner)
    shutil.copytree(setup.env["TPM2_PKCS11_STORE"], tmp_path / "store")
    database = tmp_path / "store" / "tpm2_pkcs11.sqlite3"
    with contextlib.closing(sqlite3.connect(database)) as store, store:
        store.execute(change)
    environ = setup.env | {"TPM2_PKCS11_STORE": str(tmp_path / "store")}
    table = Attestation(attestation_key=HANDLES["rsa"])
    asked = Tpm(_pin, _no_secret, environ)
    key = KeySigner(public, _no_signature, "hsm", "07")
    if not words:
        assert (await asked.certify(table, key, bytes(32))).info
        return
    with pytest.raises(AttestationDeniedError, match=words):
        await asked.certify(table, key, bytes(32))


def _made(owner: TokenTool) -> bytes:
    """Return the public half of a key with CKA_ID 7, which is made once."""
    with contextlib.suppress(PartError):
        return owner.public_key(7)
    owner.generate("beside", 7)
    return owner.public_key(7)


async def _pin(_: str) -> bytes:
    return PIN.encode()


def _no_secret(_: str) -> bytes:
    raise AssertionError


async def _no_signature(_: bytes) -> bytes:
    raise AssertionError
