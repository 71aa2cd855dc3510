"""Keys in a real SoftHSM2 token: made, used, adopted, destroyed."""

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from agent import ports
from agent.keys import jws, public
from agent.keys.errors import (
    AmbiguousError,
    KeyMissingError,
    KeyPolicyError,
)
from agent.records.keys import KeyType
from tests.integration.softhsm_host import (
    Host,
    host,
    pkcs11_tool,
    record,
    request,
    shimmed,
    token,
)

__all__ = ["host", "shimmed", "token"]

pytestmark = pytest.mark.integration


TYPES: tuple[KeyType, ...] = (
    "ec-p256",
    "ec-p384",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "ed25519",
)


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
