"""Keys in a TPM: tpm2-pkcs11 in front of a simulator, through a resource manager."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.x509.oid import NameOID

from agent.clock import SystemClock
from agent.errors import AgentError
from agent.files import read_secret
from agent.keys import jws, public
from agent.keys.errors import (
    KeyMissingError,
    MechanismError,
    PinRefusedError,
    TokenAbsentError,
)
from agent.keys.software import FileKeys
from agent.keys.store import Keys, Surroundings
from agent.records.keys import KeyRecord, KeyState, KeyType, PinStatus
from tests.fakes.clock import START
from tests.integration import tokens

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tokens.TpmSetup]:
    """Return a token in a TPM simulator; starting one takes seconds."""
    with (
        tokens.tpm_simulator(tmp_path_factory.mktemp("tpm")) as setup,
        setup.exported(),
    ):
        yield setup


@pytest.fixture
def ledger() -> tokens.MemoryLedger:
    """Return an empty ledger."""
    return tokens.MemoryLedger()


@pytest.fixture
async def keys(
    tpm: tokens.TpmSetup, tmp_path: Path, ledger: tokens.MemoryLedger
) -> AsyncIterator[Keys]:
    """Return the keys of a process that uses the TPM."""
    surroundings = Surroundings(
        clock=SystemClock(),
        ledger=ledger,
        read_secret=partial(read_secret, credentials=None),
        files=FileKeys(tmp_path / "files"),
    )
    keys = Keys({"tpm": tpm.table()}, surroundings)
    yield keys
    await keys.close()


def record(number: int, key_type: KeyType = "ec-p256") -> KeyRecord:
    """Return the record of a key that is not made yet."""
    return KeyRecord(
        id=f"{number:032x}",
        store="tpm",
        type=key_type,
        label=f"nfcertd/0badcafe/web/{number}",
        number=number,
        state=KeyState.CHOSEN,
        created=START,
    )


def request(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Return a certificate request for one name, DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nf.example")])
    built = x509.CertificateSigningRequestBuilder().subject_name(name)
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048"])
async def test_a_tpm_key_is_made_used_found_and_destroyed(
    keys: Keys, key_type: KeyType
) -> None:
    """Probing finds the template that the TPM wants, and leaves nothing behind."""
    key = record(1, key_type)
    made = await keys.make(key)
    half = public.load(made.public)
    assert public.type_of(half) == key_type
    assert await keys.make(key) == made
    signature = await keys.sign(key, b"data")
    assert jws.verifies(half, signature, b"data", jws.hash_for(half))
    assert x509.load_der_x509_csr(await keys.use(key, request)).is_signature_valid
    (listed,) = await keys.list_keys("tpm")
    assert (listed.id, listed.type) == (key.id, key_type)
    assert (listed.private, listed.public) == (True, True)
    await keys.destroy(key)
    await keys.destroy(key)
    assert await keys.list_keys("tpm") == ()


@pytest.mark.parametrize("key_type", ["ed25519", "rsa-4096"])
async def test_a_key_that_the_tpm_cannot_make_says_so(
    keys: Keys, key_type: KeyType
) -> None:
    """A missing mechanism or length is an error of its own, and leaves nothing."""
    with pytest.raises(MechanismError):
        await keys.make(record(2, key_type))
    assert await keys.list_keys("tpm") == ()


async def test_a_restarted_resource_manager_is_survived(
    keys: Keys, tpm: tokens.TpmSetup
) -> None:
    """A call after the restart succeeds; while it is away the token is absent."""
    await keys.make(record(3))
    tpm.stop_manager()
    tpm.start_manager()
    assert await keys.sign(record(3), b"data")
    tpm.stop_manager()
    with pytest.raises(TokenAbsentError):
        await keys.sign(record(3), b"data")
    assert not keys.status()["tpm"].up
    tpm.start_manager()
    assert await keys.sign(record(3), b"data")
    await keys.destroy(record(3))


async def test_a_wrong_pin_is_tried_once(
    keys: Keys, tpm: tokens.TpmSetup, ledger: tokens.MemoryLedger
) -> None:
    """A TPM locks after a few wrong PINs: one attempt is all it gets."""
    tokens.write_pin(tpm.pin_file, "9999")
    try:
        for _ in range(3):
            with pytest.raises(PinRefusedError):
                await keys.check("tpm")
    finally:
        tokens.write_pin(tpm.pin_file)
    assert [kept.status for kept in ledger.history] == [
        PinStatus.ATTEMPTING,
        PinStatus.REFUSED,
    ]
    assert (await keys.check("tpm")).up


async def test_many_keys_do_not_exhaust_the_resource_manager(keys: Keys) -> None:
    """A daemon that rotates its keys for years outlives the manager's object slots."""
    for number in range(40):
        await keys.make(record(number))
        await keys.destroy(record(number))


async def test_concurrent_callers_are_served_one_by_one(keys: Keys) -> None:
    """The module is entered by one thread, whoever asks."""
    made = public.load((await keys.make(record(5))).public)
    signatures: list[bytes] = []

    async def sign(data: bytes) -> None:
        signatures.append(await keys.sign(record(5), data))

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(sign(b"data"))
    assert all(
        jws.verifies(made, signature, b"data", hashes.SHA256())
        for signature in signatures
    )
    await keys.destroy(record(5))


async def test_a_missing_key_is_not_a_missing_token(keys: Keys) -> None:
    """The token stays up when a key is not on it."""
    with pytest.raises(KeyMissingError) as caught:
        await keys.sign(record(9), b"data")
    assert isinstance(caught.value, AgentError)
    assert keys.status()["tpm"].up
