"""Public keys and signatures in the encodings that modules and standards use."""

import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from agent.keys import jws, public
from agent.keys.errors import MechanismError

BARE = b"\x04" + b"\x11" * 64


@pytest.mark.parametrize(
    "value", [BARE, b"\x04\x41" + BARE, b"\x03\x42\x00" + BARE], ids=str
)
def test_points_are_read_bare_and_wrapped(value: bytes) -> None:
    """CKA_EC_POINT is an OCTET STRING, a BIT STRING or the point itself."""
    assert public.point(value, len(BARE)) == BARE


@pytest.mark.parametrize("value", [b"", BARE[:-1], b"\x04\x42" + BARE, BARE + b"\x00"])
def test_other_points_are_refused(value: bytes) -> None:
    """A wrong length or wrapping is no point."""
    with pytest.raises(ValueError, match="neither"):
        public.point(value, len(BARE))


def test_keys_of_other_kinds_are_refused() -> None:
    """Neither DSA, nor an unused curve or length, nor garbage is a key of ours."""
    other = dsa.generate_private_key(2048).public_key()
    with pytest.raises(MechanismError):
        public.load(public.encode(other))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(MechanismError):
        public.load(b"garbage")
    for key in (
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        rsa.generate_private_key(65537, 1024).public_key(),
    ):
        with pytest.raises(MechanismError):
            public.type_of(key)


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name
)
def test_raw_signatures_have_a_fixed_width(curve: ec.EllipticCurve) -> None:
    """DER and r||s are turned into each other; leading zeros stay (RFC 7518 3.4)."""
    key = ec.generate_private_key(curve)
    algorithm = jws.hash_for(key.public_key())
    for number in range(20):
        data = bytes([number])
        der = key.sign(data, ec.ECDSA(algorithm))
        raw = jws.to_raw(der, key.key_size)
        assert len(raw) == curve.key_size // 4
        assert jws.to_der(raw) == der
        assert jws.verifies(key.public_key(), raw, data, algorithm)
        assert not jws.verifies(key.public_key(), raw, data + b"x", algorithm)


def test_hashes_follow_the_curve() -> None:
    """ES384 hashes with SHA-384, everything else with SHA-256."""
    wide = ec.generate_private_key(ec.SECP384R1()).public_key()
    assert isinstance(jws.hash_for(wide), hashes.SHA384)


def test_a_host_without_a_token_does_not_load_pkcs11() -> None:
    """The binding costs memory: the store imports it with the first token."""
    program = "import sys, agent.keys.store; sys.exit('pkcs11' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
