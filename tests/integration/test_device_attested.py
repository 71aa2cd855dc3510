"""device-attest-01 on a real daemon: keys of a token, and a maker who vouches for them.

The token is SoftHSM2. A real HSM's attestation comes from its maker; here a maker of
the tests signs it, and the CA judges chain, serial number, key and signature.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from tests.ca import Config
from tests.integration.scene import (
    PATIENCE,
    Scene,
    is_root,
    scene,
    token_table,
)
from tests.integration.tokens import PIN, TokenSetup, softhsm
from tests.parts.maker import PROGRAM, Maker, told
from tests.parts.token import tool_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(tool_missing()), reason=tool_missing()),
    pytest.mark.skipif(not is_root(), reason="a program must be root's to be run"),
]
SERIAL = 4711
DEVICES = frozenset({"dns", "permanent-identifier", "hardware-module"})
IN_TOKEN = 'token = "hsm"'


class Attested(NamedTuple):
    """A scene with a token and a maker that the CA believes."""

    scene: Scene
    token: TokenSetup
    maker: Maker
    home: Path

    def configure(self, what: str, key: str = IN_TOKEN, names: str = "") -> None:
        """Write a certificate whose device is attested."""
        self.scene.configure(
            token_table(self.token),
            f'\n[certificate.web]\nca = "test"\nkey = {{ {key} }}\n{names}\n'
            f"[certificate.web.attestation]\n{what}\n",
        )

    @property
    def program(self) -> str:
        """Return the setting that has the maker's program asked."""
        return f'command = ["{sys.executable}", "-P", "{PROGRAM}", "{self.home}"]'

    @property
    def challenges(self) -> list[str]:
        """Return the types of all challenges that are valid, in their order."""
        orders = self.scene.ca.orders
        found = [c for o in orders for a in o.authorizations for c in a.challenges]
        return [c.type for c in found if c.status == "valid"]


@contextmanager
def attested(tmp_path: Path, *, believed: bool = True) -> Iterator[Attested]:
    """Make a scene whose CA believes the maker, or another one."""
    maker, token = Maker(SERIAL), softhsm(tmp_path / "token")
    root = maker.root if believed else Maker(SERIAL).root
    config = Config(device_makers=(root,), identifier_types=DEVICES)
    maker.settle(tmp_path / "maker")
    with scene(tmp_path, config, token=token, speed=20) as place:
        yield Attested(place, token, maker, tmp_path / "maker")


def others(leaf: x509.Certificate) -> list[x509.OtherName]:
    """Return the names of a certificate that are of no usual kind."""
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [name for name in names if isinstance(name, x509.OtherName)]


def test_each_new_key_is_attested_beside_a_proven_name(tmp_path: Path) -> None:
    """The name by http-01, the device by its maker's program, at every renewal.

    The program is told the key; the certificate keeps the device to itself.
    """
    with attested(tmp_path) as place:
        place.configure(
            f'permanent_identifier = "{SERIAL}"\n{place.program}',
            names='names = ["web.example"]',
        )
        with place.scene.daemon() as daemon:
            daemon.settle_deployed("web")
            daemon.ask("renew", "web")
            daemon.settle_deployed("web", 2)
        first, second = (issued.leaf for issued in place.scene.ca.certificates)
        assert sorted(place.challenges) == ["device-attest-01"] * 2 + ["http-01"] * 2
        runs = told(place.home)
    assert first.public_key() != second.public_key()
    assert not others(first)
    assert [run["NFCERTD_IDENTIFIER"] for run in runs] == [str(SERIAL)] * 2
    assert runs[0]["NFCERTD_KEY_ID"] != runs[1]["NFCERTD_KEY_ID"]
    for run in runs:
        assert run["NFCERTD_KEY_URI"].startswith("pkcs11:token=nf;id=%")
        assert run["NFCERTD_IDENTIFIER_TYPE"] == "permanent-identifier"


def test_a_device_alone_can_be_named_in_the_certificate(tmp_path: Path) -> None:
    """By its hardware module, where the request asks for it."""
    with attested(tmp_path) as place:
        place.configure(
            f'hardware_module = "{SERIAL}/1.2.3.4"\nin_request = true\n{place.program}'
        )
        with place.scene.daemon() as daemon:
            daemon.settle_deployed("web")
        [name] = others(place.scene.ca.certificates[0].leaf)
    assert name.type_id.dotted_string == "1.3.6.1.5.5.7.8.4"
    assert name.value == bytes.fromhex("300b06032a03040404") + b"4711"


def test_an_adopted_key_is_attested_by_a_file(tmp_path: Path) -> None:
    """As a maker delivers it with the hardware."""
    with attested(tmp_path) as place:
        public = _make_key(place.token)
        chain = tmp_path / "attestation.pem"
        chain.write_bytes(place.maker.chain(public))
        place.configure(
            f'permanent_identifier = "{SERIAL}"\ncertificate = "{chain}"',
            f'{IN_TOKEN}, adopt = "pkcs11:id=%01", rotate = "never"',
            names='names = ["web.example"]',
        )
        with place.scene.daemon() as daemon:
            daemon.settle_deployed("web")
        leaf = place.scene.ca.certificates[0].leaf
    kind = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert leaf.public_key().public_bytes(*kind) == public.public_bytes(*kind)


def test_what_attests_another_key_is_never_presented(tmp_path: Path) -> None:
    """The CA sees no answer; the alarm says what is wrong."""
    with attested(tmp_path) as place:
        chain = tmp_path / "attestation.pem"
        stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
        chain.write_bytes(place.maker.chain(stranger))
        place.configure(
            f'permanent_identifier = "{SERIAL}"\ncertificate = "{chain}"',
            f'{IN_TOKEN}, rotate = "never"',
        )
        with place.scene.daemon() as daemon:
            status = daemon.wait(lambda s: s.alarms("web"), PATIENCE)
        assert "another key" in status.alarms("web")["issue-failing"]["cause"]
        assert place.scene.ca.log.of("challenge") == []


@pytest.mark.parametrize("serial", [SERIAL, SERIAL + 1])
def test_a_ca_that_does_not_believe_it_says_so(tmp_path: Path, serial: int) -> None:
    """An unknown maker, or another device than the one that was ordered."""
    with attested(tmp_path, believed=serial != SERIAL) as place:
        place.configure(f'permanent_identifier = "{serial}"\n{place.program}')
        with place.scene.daemon() as daemon:
            status = daemon.settle(lambda s: s.alarms("web"))
        cause = status.alarms("web")["issue-failing"]["cause"]
        assert ("another device" if serial != SERIAL else "believes") in cause
        assert not place.scene.ca.certificates


def _make_key(token: TokenSetup) -> ec.EllipticCurvePublicKey:
    """Make a key in the token as its owner would, and return its public half."""
    base = ["pkcs11-tool", "--module", token.module, "--login", "--pin", PIN]
    make = [*base, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "01"]
    read = [*base, "--read-object", "--type", "pubkey", "--id", "01"]
    environment = {**token.env, "PATH": "/usr/bin:/bin"}
    for argv in (make, [*read, "--output-file", f"{token.pin_file}.der"]):
        subprocess.run(
            argv, env=environment, check=True, capture_output=True, timeout=PATIENCE
        )
    found = load_der_public_key(Path(f"{token.pin_file}.der").read_bytes())
    assert isinstance(found, ec.EllipticCurvePublicKey)
    return found
