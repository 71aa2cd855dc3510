"""A maker of hardware: it attests keys, in the test process and as a program.

    python -P maker.py HOME

reads a public key (PEM) on standard input, and prints its attestation certificate and
the one that issued it. It notes in HOME what it was told. What a real maker puts into
silicon is done with a key in a file here; it has no means to see where a key is. `-P`
keeps its neighbours from standing in for modules of Python's own.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
SERIAL: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.7")
START, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
PROGRAM: Final = str(Path(__file__).resolve())


class Maker:
    """A root, an issuer below it, and what they say of keys.

    Attributes:
        root: What a CA believes.
    """

    def __init__(self, serial: int) -> None:
        """Make a maker of one device."""
        self._serial = serial
        self._root_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        root = _builder("Maker Root", "Maker Root", self._root_key.public_key())
        self.root = root.sign(self._root_key, hashes.SHA256())
        issuer = _builder("Maker CA", "Maker Root", self._key.public_key())
        self.issuer = issuer.sign(self._root_key, hashes.SHA256())

    def attest(
        self, key: PublicKey, *, ended: bool = False, serial: int | None = None
    ) -> x509.Certificate:
        """Return the attestation certificate of a key."""
        number = self._serial if serial is None else serial
        return _attested(self._key, key, number, START.replace(year=2001), ended=ended)

    def chain(self, key: PublicKey, *, ended: bool = False) -> bytes:
        """Return what an operator gets for a key, PEM."""
        certificates = (self.attest(key, ended=ended), self.issuer)
        return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)

    def settle(self, home: Path) -> None:
        """Let the program attest in our name."""
        home.mkdir()
        (home / "issuer.pem").write_bytes(self.issuer.public_bytes(Encoding.PEM))
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (home / "issuer.key").write_bytes(key)
        (home / "serial").write_text(str(self._serial))


def told(home: Path) -> list[dict[str, str]]:
    """Return what the program was told, once for each run."""
    lines = (home / "told").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _attested(
    by: ec.EllipticCurvePrivateKey,
    key: PublicKey,
    serial: int,
    end: datetime,
    *,
    ended: bool,
) -> x509.Certificate:
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    number = x509.UnrecognizedExtension(SERIAL, bytes([2, len(octets)]) + octets)
    return (
        _builder("Attested", "Maker CA", key, end if ended else END, ca=False)
        .add_extension(number, critical=False)
        .sign(by, hashes.SHA256())
    )


def _builder(
    subject: str, issuer: str, key: PublicKey, end: datetime = END, *, ca: bool = True
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def main() -> None:
    """Attest the key on standard input."""
    home = Path(sys.argv[1])
    key = load_pem_public_key(sys.stdin.buffer.read())
    by = load_pem_private_key((home / "issuer.key").read_bytes(), None)
    assert isinstance(key, PublicKey)
    assert isinstance(by, ec.EllipticCurvePrivateKey)
    with (home / "told").open("a") as notes:
        notes.write(json.dumps(dict(os.environ)) + "\n")
    serial = int((home / "serial").read_text())
    leaf = _attested(by, key, serial, END, ended=False)
    print("the device is", serial)
    print(leaf.public_bytes(Encoding.PEM).decode(), end="")
    print((home / "issuer.pem").read_text(), end="")


if __name__ == "__main__":
    main()
