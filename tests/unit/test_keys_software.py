"""Software keys in files, and the routing to them."""

import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent import ports
from agent.files import FileError
from agent.keys import jws, public
from agent.keys.errors import KeyMissingError, KeyPolicyError, TokenAbsentError
from agent.keys.software import FileKeys
from agent.keys.store import Keys, Surroundings
from agent.records.keys import FILE_STORE, KeyRecord, KeyState, KeyType
from tests.fakes.clock import START, FakeClock
from tests.integration.tokens import MemoryLedger

TYPES: tuple[KeyType, ...] = ("ec-p256", "ec-p384", "rsa-2048", "ed25519")


def record(number: int = 1, key_type: KeyType = "ec-p256") -> KeyRecord:
    """Return the record of a software key that is not made yet."""
    return KeyRecord(
        id=f"{number:032x}",
        store=FILE_STORE,
        type=key_type,
        label=f"nfcertd/0badcafe/web/{number}",
        number=number,
        state=KeyState.CHOSEN,
        created=START,
    )


def request(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Return a certificate request, DER."""
    ed = isinstance(key, ed25519.Ed25519PrivateKey)
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = built.sign(key, None if ed else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("key_type", TYPES)
async def test_a_file_key_is_made_once_and_signs(
    tmp_path: Path, key_type: KeyType
) -> None:
    """Each type signs in the shape of JWS and signs requests; `make` is idempotent."""
    store: ports.Keys = FileKeys(tmp_path / "keys")
    key = record(1, key_type)
    made = await store.make(key)
    assert await store.make(key) == made
    half = public.load(made.public)
    assert public.type_of(half) == key_type
    signature = await store.sign(key, b"data")
    assert jws.verifies(half, signature, b"data", jws.hash_for(half))
    csr = x509.load_der_x509_csr(await store.use(key, request))
    assert csr.is_signature_valid


async def test_files_are_private_and_pem_is_the_only_way_out(tmp_path: Path) -> None:
    """Directory 0700, file 0600; `private_pem` gives the same key as PKCS#8."""
    files = FileKeys(tmp_path / "keys")
    made = await files.make(record())
    (path,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    pem = files.private_pem(record())
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----")
    loaded = serialization.load_pem_private_key(pem, None).public_key()
    assert public.encode(loaded) == made.public  # type: ignore[arg-type]  # an EC key


async def test_destroying_is_idempotent(tmp_path: Path) -> None:
    """The file goes; a second time, or before the first key, nothing happens."""
    files = FileKeys(tmp_path / "keys")
    await files.destroy(record())
    await files.make(record())
    await files.destroy(record())
    await files.destroy(record())
    with pytest.raises(KeyMissingError):
        files.private_pem(record())


async def test_a_made_key_is_never_replaced(tmp_path: Path) -> None:
    """A recorded key whose file is gone, or is another one, is reported."""
    files = FileKeys(tmp_path / "keys")
    made = await files.make(record())
    used = msgspec.structs.replace(record(), public=made.public)
    await files.destroy(used)
    with pytest.raises(KeyMissingError):
        await files.make(used)
    await files.make(record())
    with pytest.raises(KeyMissingError):
        await files.sign(used, b"data")
    with pytest.raises(KeyPolicyError):
        await files.destroy(msgspec.structs.replace(used, adopted=True))


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----"])
async def test_a_damaged_file_is_an_error_of_ours(
    tmp_path: Path, content: bytes
) -> None:
    """What is not PKCS#8 is refused and not overwritten."""
    files = FileKeys(tmp_path)
    path = tmp_path / f"{record().id}.pem"
    path.write_bytes(content)
    with pytest.raises(KeyMissingError):
        await files.make(record())
    assert path.read_bytes() == content


async def test_a_directory_that_cannot_be_made_is_an_error_of_ours(
    tmp_path: Path,
) -> None:
    """OSErrors are mapped at this border."""
    (tmp_path / "keys").write_bytes(b"")
    with pytest.raises(FileError):
        await FileKeys(tmp_path / "keys").make(record())


async def test_the_store_routes_by_record(tmp_path: Path) -> None:
    """Software keys need no token; a token that is not configured is absent."""
    files = FileKeys(tmp_path / "keys")
    keys = Keys({}, surroundings(files, lambda _: b""))
    port: ports.Keys = keys
    await port.make(record())
    assert await port.sign(record(), b"data")
    assert await port.use(record(), request)
    await port.destroy(record())
    assert keys.status() == {}
    with pytest.raises(TokenAbsentError):
        await port.make(msgspec.structs.replace(record(), store="hsm"))
    await keys.close()


def surroundings(files: FileKeys, read: Callable[[str], bytes]) -> Surroundings:
    """Return what key stores need, without a real token."""
    return Surroundings(
        clock=FakeClock(), ledger=MemoryLedger(), read_secret=read, files=files
    )
