"""A host on which only a token, an endpoint and a certificate are configured.

All else comes from OAM: the parts of a bundle are read from the CA and the token
authority that it is about. It imports nothing of `agent`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.ca import Config, TestCA
from tests.ca.issuing import ExtraNames, Profile
from tests.integration.scene import HTTP_PORT, Scene, scene, token_table
from tests.integration.served import TlsServer, table, tls_server
from tests.integration.tokens import TokenSetup, softhsm
from tests.oam import Oam, Script
from tests.oam import bundle as oam
from tests.parts.looped import looped

INSTANCE: Final = "nf-host-17"
ACCOUNT: Final = "nf-17"
UUID: Final = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
NAME: Final = "amf1.5gc.mnc012.mcc345.3gppnetwork.org"
KIDS: Final = {"nf-17": b"the first mac key of the account", "nf-18": b"the second one"}
FILES: Final = """\
[agent]
state = "{home}/state"
runtime = "{home}/run"
health = ""
clock = "assume"
destroy_uids = [{uid}]

[http-01]
listen = ["{address}:{port}"]

[bootstrap]
signer = ["{home}/oam-signer.pem"]
instance = "file:{home}/instance"
decrypt = "file:{home}/bootstrap-key"
account_key = {{ token = "hsm" }}
{token}
[certificate.amf1-sbi]
nf = "amf1"
ca = "operator"
challenge = "tkauth-01"
key = {{ file = true }}
grace = "0s"
[[certificate.amf1-sbi.endpoint]]
{endpoint}
"""
PROFILE: Final = Profile(
    extra_names=ExtraNames.KEEP,
    critical_names=True,
    copy_subject=True,
    copied_extensions=frozenset({"1.3.6.1.5.5.7.1.34"}),
    crl_url="http://ca.example/operator.crl",
)
SUFFIXES: Final = ("pem", "key")
Tables = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBoot:
    """Everything that a first boot takes.

    Attributes:
        place: The scene; its CA wants a binding for every account.
        oam: The token authority.
        endpoint: Where the certificate is to be served.
        signer: The key of OAM that signs bundles.
        host: The host's own key.
    """

    place: Scene
    oam: Oam
    endpoint: TlsServer
    signer: ed25519.Ed25519PrivateKey
    host: x25519.X25519PrivateKey

    def tables(self, sequence: int, ca: TestCA | None = None) -> Tables:
        """Return a payload about the CA of the scene, or another one."""
        now, chosen = self.place.clock.now(), ca or self.place.ca
        return {
            "version": 1,
            "instance": INSTANCE,
            "sequence": sequence,
            "issued": now.isoformat(),
            "expires": (now + timedelta(days=7)).isoformat(),
            "ca": {
                "operator": {
                    "directory": chosen.directory_url,
                    "roots": chosen.transport_root_pem.decode(),
                    "chain_roots": chosen.issuing_root_pem.decode(),
                    "timeout": "5s",
                }
            },
            "account": {"operator": {"ca": "operator", "eab": binding("nf-17")}},
            "nf": {
                "amf1": {
                    "instance_id": UUID,
                    "types": ["AMF"],
                    "fqdn": NAME,
                    "country": "DE",
                }
            },
            "token-authority": {"oam": self._authority()},
        }

    def bundle(
        self,
        sequence: int = 1,
        edit: Callable[[Tables], object] | None = None,
        ca: TestCA | None = None,
    ) -> str:
        """Return a signed bundle, with something in it changed by `edit`."""
        made = self.tables(sequence, ca)
        if edit is not None:
            edit(made)
        return oam.bundle(made, self.signer, self.host.public_key())

    def _authority(self) -> Tables:
        # One for all bundles: what changes in one is what a test changes.
        certificate, key = (self.place.home / "oam" / f"nf-host.{x}" for x in SUFFIXES)
        if not certificate.exists():
            self.oam.client("nf-host")
        return {
            "url": self.oam.url(ACCOUNT),
            "roots": self.oam.roots.read_text(),
            "client": {
                "certificate": certificate.read_text(),
                "key": {"secret": key.read_text()},
            },
        }


def binding(kid: str) -> Tables:
    """Return a binding, its MAC key as a secret that is still to be encrypted."""
    return {"kid": kid, "key": {"secret": oam.b64(KIDS[kid])}}


@contextmanager
def first_boot(home: Path) -> Iterator[FirstBoot]:
    """Install a host in an empty directory; it waits for its first bundle."""
    token = softhsm(home)
    names = {("NfInstanceId", UUID), ("dns", NAME)}
    script = Script(life=7 * 24 * 3600, accounts={ACCOUNT: names})
    (home / "oam").mkdir()
    with (
        looped(Oam(home / "oam", script), "oam") as authority,
        scene(home, bound(authority), token=token, speed=20) as place,
        tls_server(
            home / "endpoint", place.state / "live/amf1-sbi", place.address
        ) as server,
    ):
        script.now = lambda: place.clock().timestamp()
        signer = ed25519.Ed25519PrivateKey.generate()
        host = x25519.X25519PrivateKey.generate()
        _install(place, token, signer, host)
        yield FirstBoot(
            place=place, oam=authority, endpoint=server, signer=signer, host=host
        )


def bound(authority: Oam) -> Config:
    """Return a CA that wants a binding, once each, and believes the authority."""
    return Config(
        token_authorities=(authority.token_root,),
        identifier_types=frozenset({"dns", "NfInstanceId"}),
        profile=PROFILE,
        eab_keys=KIDS,
        eab_required=True,
        eab_once=True,
    )


def _install(
    place: Scene,
    token: TokenSetup,
    signer: ed25519.Ed25519PrivateKey,
    host: x25519.X25519PrivateKey,
) -> None:
    """Write what an image has: nothing of the CA, of OAM, or of the NF."""
    home = place.home
    public = signer.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    (home / "oam-signer.pem").write_bytes(public)
    (home / "instance").write_text(f"{INSTANCE}\n")
    (home / "bootstrap-key").touch(mode=0o600)
    (home / "bootstrap-key").write_bytes(
        host.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    place.config.write_text(
        FILES.format(
            home=home,
            uid=os.getuid(),
            address=place.address,
            port=HTTP_PORT,
            token=token_table(token),
            endpoint=table(home / "endpoint", place.address),
        )
    )
