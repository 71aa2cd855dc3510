"""Keys in a real SoftHSM2 token, also when it is taken away or its module hangs."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)
from cryptography.x509.oid import NameOID

from agent.clock import SystemClock
from agent.files import read_secret
from agent.keys import jws, public
from agent.keys.errors import (
    AmbiguousError,
    KeyMissingError,
    KeyPolicyError,
    PinMissingError,
    PinRefusedError,
    TokenAbsentError,
    TokenHungError,
)
from agent.keys.software import FileKeys
from agent.keys.store import Keys, Surroundings
from agent.procedures import ports
from agent.records.keys import KeyRecord, KeyState, KeyType, PinStatus
from tests.fakes.clock import START
from tests.integration import tokens

pytestmark = pytest.mark.integration

TYPES: tuple[KeyType, ...] = (
    "ec-p256",
    "ec-p384",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "ed25519",
)


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


@pytest.mark.parametrize("key_type", TYPES)
async def test_a_made_key_signs_requests_and_tokens(
    host: Host, key_type: KeyType
) -> None:
    """Each key type is made, signs a JWS, and signs a request that verifies."""
    keys = host.start()
    port: ports.Keys = keys
    key = record(1, key_type)
    made = await port.make(key)
    half = public.load(made.public)
    assert public.type_of(half) == key_type
    signature = await port.sign(key, b"data")
    assert jws.verifies(half, signature, b"data", jws.hash_for(half))
    csr = x509.load_der_x509_csr(await port.use(key, request))
    assert csr.is_signature_valid
    assert public.encode(csr.public_key()) == made.public  # type: ignore[arg-type]  # one of ours
    assert made.token_serial == keys.status()["hsm"].serial != ""


async def test_making_twice_gives_the_same_key(host: Host) -> None:
    """A second `make`, also after a restart, finds the key by its id."""
    first = await host.start().make(record())
    assert await host.running[0].make(record()) == first
    await host.stop()
    assert await host.start().make(record()) == first
    assert len(await host.running[0].list_keys("hsm")) == 1


async def test_half_a_key_is_cleaned_up_and_made_again(host: Host) -> None:
    """A crash that left only the public half does not block the key's id."""
    keys = host.start()
    made = await keys.make(record())
    pkcs11_tool(host.setup, "--delete-object", "--type", "privkey", "--id", record().id)
    await host.stop()
    again = await host.start().make(record())
    assert again.public != made.public
    (listed,) = await host.running[0].list_keys("hsm")
    assert (listed.private, listed.public) == (True, True)


async def test_a_key_that_was_in_use_is_never_made_again(host: Host) -> None:
    """`make` on a made key says that it is missing instead of replacing it."""
    keys = host.start()
    made = await keys.make(record())
    used = msgspec.structs.replace(record(), public=made.public)
    assert (await keys.make(used)).public == made.public
    await keys.destroy(used)
    with pytest.raises(KeyMissingError):
        await keys.make(used)
    assert await keys.list_keys("hsm") == ()


@pytest.mark.parametrize("relax", [(), ("sensitive", "never-extractable", "local")])
async def test_an_extractable_key_is_refused_and_destroyed(
    host: Host, relax: tuple[str, ...]
) -> None:
    """Whoever made it and whatever is relaxed: an extractable key is not kept."""
    generate = ("--keypairgen", "--key-type", "EC:prime256v1", "--extractable")
    pkcs11_tool(host.setup, *generate, "--id", record().id)
    keys = host.start(relax=relax)
    with pytest.raises(KeyPolicyError, match="extractable"):
        await keys.make(record())
    assert await keys.list_keys("hsm") == ()
    assert await keys.make(record())


async def test_destroying_succeeds_where_nothing_exists(host: Host) -> None:
    """`destroy` is idempotent, and the key is gone after it."""
    keys = host.start()
    await keys.make(record())
    await keys.destroy(record())
    await keys.destroy(record())
    with pytest.raises(KeyMissingError):
        await keys.sign(record(), b"data")


async def test_what_is_not_ours_is_not_destroyed(host: Host) -> None:
    """Adopted keys and tokens with `destroy = "never"` are left alone."""
    keys = host.start()
    await keys.make(record())
    with pytest.raises(KeyPolicyError):
        await keys.destroy(msgspec.structs.replace(record(), adopted=True))
    keys.configure({"hsm": host.setup.table(destroy="never")})
    with pytest.raises(KeyPolicyError):
        await keys.destroy(record())
    assert len(await keys.list_keys("hsm")) == 1


async def test_listing_tells_id_label_type_and_halves(host: Host) -> None:
    """`nfcertd keys` and the search for orphans see what is on the token."""
    keys = host.start()
    await keys.make(record(1))
    await keys.make(record(2, "rsa-2048"))
    listed = sorted(await keys.list_keys("hsm"), key=lambda key: key.id)
    assert [(key.id, key.label, key.type) for key in listed] == [
        (record(1).id, record(1).label, "ec-p256"),
        (record(2).id, record(2).label, "rsa-2048"),
    ]
    assert all(key.private and key.public for key in listed)


async def test_a_foreign_key_is_adopted_by_label_or_id(host: Host) -> None:
    """A key made by pkcs11-tool is found by its URI and signs; two are too many."""
    generate = ("--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs")
    pkcs11_tool(host.setup, *generate, "--id", "0a0b")
    keys = host.start()
    adopted = await keys.adopt("hsm", "pkcs11:object=theirs")
    assert adopted == await keys.adopt("hsm", "pkcs11:id=%0a%0b;type=private")
    assert adopted.id == "0a0b"
    assert adopted.token_serial == keys.status()["hsm"].serial
    used = msgspec.structs.replace(
        record(), id=adopted.id, public=adopted.public, adopted=True
    )
    half = public.load(adopted.public)
    signature = await keys.sign(used, b"data")
    assert jws.verifies(half, signature, b"data", hashes.SHA256())
    with pytest.raises(KeyMissingError):
        await keys.adopt("hsm", "pkcs11:object=nobodys")
    pkcs11_tool(host.setup, *generate, "--id", "0c0d")
    with pytest.raises(AmbiguousError):
        await keys.adopt("hsm", "pkcs11:object=theirs")


async def test_a_token_taken_away_and_put_back_works_again(host: Host) -> None:
    """Absence is an error of its own; return needs no restart; one login each time."""
    keys = host.start()
    await keys.make(record())
    tokens_dir, away = host.tmp / "tokens", host.tmp / "away"
    shutil.move(tokens_dir, away)
    for _ in range(2):
        with pytest.raises(TokenAbsentError):
            await keys.sign(record(), b"data")
        with pytest.raises(TokenAbsentError):
            await keys.check("hsm")
    status = keys.status()["hsm"]
    assert (status.up, status.hung_since) == (False, None)
    assert status.reason
    shutil.move(away, tokens_dir)
    assert (await keys.check("hsm")).up
    assert await keys.sign(record(), b"data")
    assert host.ledger.load("hsm").status is PinStatus.ACCEPTED


async def test_an_absent_token_is_noticed_while_making_and_listing(host: Host) -> None:
    """An empty answer of a vanished token is not taken for an empty token."""
    keys = host.start()
    await keys.check("hsm")
    shutil.move(host.tmp / "tokens", host.tmp / "away")
    with pytest.raises(TokenAbsentError):
        await keys.make(record())
    with pytest.raises(TokenAbsentError):
        await keys.list_keys("hsm")
    with pytest.raises(TokenAbsentError):
        await keys.destroy(record())


async def test_a_token_initialised_anew_has_lost_its_keys(host: Host) -> None:
    """A wiped token reports the key as missing and makes new ones."""
    keys = host.start()
    made = await keys.make(record())
    used = msgspec.structs.replace(record(), public=made.public)
    tokens.softhsm_init(host.setup, "--token", "nf", "--label", "nf")
    with pytest.raises(KeyMissingError):
        await keys.sign(used, b"data")
    await keys.make(record(2))
    assert await keys.sign(record(2), b"data")


async def test_a_wrong_pin_costs_one_login_ever(shimmed: Host) -> None:
    """Neither calls nor restarts try a refused PIN again; a new PIN is tried once."""
    shim = shim_of(shimmed)
    tokens.write_pin(shim.pin_file, "9999")
    for _ in range(3):
        keys = shimmed.start()
        for _ in range(2):
            with pytest.raises(PinRefusedError):
                await keys.check("hsm")
        await shimmed.stop()
    assert shim.logins == 1
    tokens.write_pin(shim.pin_file, tokens.PIN)
    keys = shimmed.start()
    await keys.make(record())
    assert (await keys.check("hsm")).up
    assert shim.logins == 2
    assert shimmed.ledger.load("hsm").status is PinStatus.ACCEPTED


async def test_the_attempt_is_durable_before_and_after_the_login(shimmed: Host) -> None:
    """The ledger sees ATTEMPTING, then the outcome, and never the PIN."""
    tokens.write_pin(shim_of(shimmed).pin_file, "9999")
    with pytest.raises(PinRefusedError) as caught:
        await shimmed.start().check("hsm")
    assert [record.status for record in shimmed.ledger.history] == [
        PinStatus.ATTEMPTING,
        PinStatus.REFUSED,
    ]
    assert "9999" not in f"{caught.value}{shimmed.ledger.history}"


async def test_an_interrupted_attempt_is_tried_once_more(shimmed: Host) -> None:
    """After a crash in C_Login: no flag, one more try; then none until the PIN changes.

    The crash is a ledger that still says ATTEMPTING, as a killed process leaves it.
    """
    shim = shim_of(shimmed)
    await shimmed.start().check("hsm")
    await shimmed.stop()
    attempting = shimmed.ledger.history[0]
    shimmed.ledger.records["hsm"] = attempting
    assert (await shimmed.start().check("hsm")).up
    assert shimmed.ledger.load("hsm").crashed_attempts == 0
    await shimmed.stop()
    shimmed.ledger.records["hsm"] = msgspec.structs.replace(
        attempting, crashed_attempts=1
    )
    with pytest.raises(PinRefusedError):
        await shimmed.start().check("hsm")
    assert shim.logins == 2


async def test_a_worn_pin_is_not_tried_after_a_crash(shimmed: Host) -> None:
    """CKF_USER_PIN_COUNT_LOW beside ATTEMPTING means that our attempt was wrong."""
    shim = shim_of(shimmed)
    await shimmed.start().check("hsm")
    await shimmed.stop()
    shimmed.ledger.records["hsm"] = shimmed.ledger.history[0]
    with pytest.raises(subprocess.CalledProcessError):
        pkcs11_tool(shimmed.setup, "--list-objects", pin="0000")
    logins = shim.logins
    with pytest.raises(PinRefusedError):
        await shimmed.start().check("hsm")
    assert shim.logins == logins
    await shimmed.running[0].token("hsm").forget_pin()
    assert (await shimmed.running[0].check("hsm")).up


async def test_a_pin_that_cannot_be_read_is_no_attempt(shimmed: Host) -> None:
    """A missing PIN file is named, and the token is left alone."""
    shim = shim_of(shimmed)
    shim.pin_file.unlink()
    with pytest.raises(PinMissingError):
        await shimmed.start().check("hsm")
    assert shim.logins == 0


async def test_a_hung_signature_fails_everybody_at_once(shimmed: Host) -> None:
    """Queued and later calls fail fast while it hangs; its return cures the module."""
    shim = shim_of(shimmed)
    keys = shimmed.start(deadline="300ms")
    await keys.make(record())
    shim.start("hang-sign")
    outcomes: list[str] = []

    async def sign() -> None:
        try:
            await keys.sign(record(), b"data")
        except TokenHungError as error:
            outcomes.append(error.kind)

    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(sign())
    await sign()
    assert outcomes == ["token.hung"] * 4
    status = keys.status()["hsm"]
    assert not status.up
    assert status.hung_since is not None
    shim.stop("hang-sign")
    await eventually(lambda: keys.status()["hsm"].hung_since is None)
    assert await keys.sign(record(), b"data")
    assert shim.logins == 2


async def test_a_hung_login_settles_when_it_returns(shimmed: Host) -> None:
    """The outcome of a login that nobody waits for still reaches the ledger."""
    shim = shim_of(shimmed)
    keys = shimmed.start(deadline="300ms")
    shim.start("hang-login")
    with pytest.raises(TokenHungError):
        await keys.check("hsm")
    assert shimmed.ledger.load("hsm").status is PinStatus.ATTEMPTING
    shim.stop("hang-login")
    await eventually(lambda: keys.status()["hsm"].hung_since is None)
    assert (await keys.check("hsm")).up
    assert [record.status for record in shimmed.ledger.history][:2] == [
        PinStatus.ATTEMPTING,
        PinStatus.ACCEPTED,
    ]


async def test_a_cancelled_call_leaves_the_module_usable(shimmed: Host) -> None:
    """A caller that is cancelled while its call runs delays the next, no more."""
    shim = shim_of(shimmed)
    keys = shimmed.start()
    await keys.make(record())
    shim.start("hang-sign")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await keys.sign(record(), b"data")
    shim.stop("hang-sign")
    assert await keys.sign(record(), b"data")
    assert shim.logins == 1


async def test_a_token_without_pin_is_never_logged_in(shimmed: Host) -> None:
    """No PIN in the configuration, no C_Login."""
    keys = shimmed.start(pin=None)
    assert (await keys.check("hsm")).up
    assert shim_of(shimmed).logins == 0


async def test_two_tokens_of_one_module_live_side_by_side(host: Host) -> None:
    """One thread serves both; an absent one does not log the other out."""
    second = tokens.softhsm(host.tmp, "second")
    keys = host.start()
    absent = host.setup.table(token="pkcs11:token=absent")
    keys.configure({"hsm": host.setup.table(), "two": second.table(), "three": absent})
    await keys.make(record())
    await keys.make(msgspec.structs.replace(record(), store="two"))
    saved = len(host.ledger.history)
    for _ in range(3):
        with pytest.raises(TokenAbsentError):
            await keys.check("three")
        assert await keys.sign(record(), b"data")
    assert len(host.ledger.history) <= saved + 2
    assert keys.status()["hsm"].serial != keys.status()["two"].serial


async def test_a_key_object_dies_with_its_call(host: Host) -> None:
    """A key object that escapes from `use` no longer signs, and never gives itself."""
    keys = host.start()
    await keys.make(record())
    escaped: list[CertificateIssuerPrivateKeyTypes] = []

    def work(key: CertificateIssuerPrivateKeyTypes) -> bytes:
        escaped.append(key)
        return b""

    await keys.use(record(), work)
    (key,) = escaped
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    with pytest.raises(KeyPolicyError):
        key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(KeyPolicyError):
        key.private_numbers()


async def test_token_keys_also_sign_prehashed_data(host: Host) -> None:
    """`cryptography` may hand over a digest instead of the data."""
    keys = host.start()
    made = public.load((await keys.make(record())).public)
    digest = jws.digest(hashes.SHA256(), b"data")
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()))

    def work(key: CertificateIssuerPrivateKeyTypes) -> bytes:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.sign(digest, algorithm)

    assert isinstance(made, ec.EllipticCurvePublicKey)
    made.verify(await keys.use(record(), work), b"data", ec.ECDSA(hashes.SHA256()))


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
