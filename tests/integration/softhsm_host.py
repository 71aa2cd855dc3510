"""A daemon's keys in a real SoftHSM2 token: fixtures and helpers of its tests."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.x509.oid import NameOID

from agent.clock import SystemClock
from agent.files import read_secret
from agent.keys.software import FileKeys
from agent.keys.store import Keys, Surroundings
from agent.records.keys import KeyRecord, KeyState, KeyType
from tests.fakes.clock import START
from tests.integration import tokens


def record(number: int = 1, key_type: KeyType = "ec-p256") -> KeyRecord:
    """Return the record of a key that is not made yet."""
    return KeyRecord(
        id=f"{number:032x}",
        store="hsm",
        type=key_type,
        label=f"nfcertd/0badcafe/web/{number}",
        number=number,
        state=KeyState.CHOSEN,
        created=START,
    )


@dataclass
class Host:
    """A process that may be "restarted": its ledger and token stay."""

    setup: tokens.TokenSetup
    tmp: Path
    ledger: tokens.MemoryLedger = field(default_factory=tokens.MemoryLedger)
    running: list[Keys] = field(default_factory=list)

    def start(self, **changes: object) -> Keys:
        """Return the keys of a new process."""
        surroundings = Surroundings(
            clock=SystemClock(),
            ledger=self.ledger,
            read_secret=partial(read_secret, credentials=None),
            files=FileKeys(self.tmp / "files"),
        )
        keys = Keys({"hsm": self.setup.table(**changes)}, surroundings)
        self.running.append(keys)
        return keys

    async def stop(self) -> None:
        """End the process."""
        for keys in self.running:
            await keys.close()
        self.running.clear()


@pytest.fixture
def token(tmp_path: Path) -> Iterator[tokens.TokenSetup]:
    """Return a token whose environment is this process's."""
    setup = tokens.softhsm(tmp_path)
    with setup.exported():
        yield setup


@pytest.fixture
async def host(token: tokens.TokenSetup, tmp_path: Path) -> AsyncIterator[Host]:
    """Return a host with that token."""
    host = Host(setup=token, tmp=tmp_path)
    yield host
    await host.stop()


@pytest.fixture
async def shimmed(token: tokens.TokenSetup, tmp_path: Path) -> AsyncIterator[Host]:
    """Return a host whose module can be made to hang, and counts logins."""
    setup = tokens.shim(tmp_path, token)
    with setup.exported():
        host = Host(setup=setup, tmp=tmp_path)
        yield host
        for fault in ("hang-login", "hang-sign"):
            setup.stop(fault)
        await host.stop()


def shim_of(host: Host) -> tokens.Shim:
    """Return the host's shim."""
    assert isinstance(host.setup, tokens.Shim)
    return host.setup


def request(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Return a certificate request for one name, DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nf.example")])
    algorithm = hashes.SHA256() if signs_hashes(key) else None
    built = x509.CertificateSigningRequestBuilder().subject_name(name)
    return built.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


def signs_hashes(key: CertificateIssuerPrivateKeyTypes) -> bool:
    """Say whether the key wants to be told a hash."""
    return isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))


def pkcs11_tool(
    setup: tokens.TokenSetup, *arguments: str, pin: str = tokens.PIN
) -> None:
    """Do something to the token from another process."""
    tokens.require("pkcs11-tool")
    login = ("--module", setup.module, "--token-label", "nf", "--login", "--pin", pin)
    subprocess.run(
        ["pkcs11-tool", *login, *arguments],
        check=True,
        capture_output=True,
        timeout=tokens.PATIENCE,
    )


async def eventually(true: Callable[[], bool]) -> None:
    """Wait, for at most two seconds, until a real thread has got somewhere."""
    async with asyncio.timeout(2):
        while not true():
            await asyncio.sleep(0.01)
