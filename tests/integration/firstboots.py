"""A host on which only a token, an endpoint and a certificate are configured.

All else comes from OAM: the parts of a bundle are read from the CA and the token
authority that it is about. It imports nothing of `agent`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.ca import SBA, Config, TestCA
from tests.integration.scene import HTTP_PORT, Scene, scene, token_table
from tests.integration.served import TlsServer, table, tls_server
from tests.integration.tokens import TokenSetup, softhsm
from tests.oam import Oam, Script
from tests.oam.host import BOOTSTRAP, Host, Tables, binding, token_endpoint
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

{bootstrap}
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
SUFFIXES: Final = ("pem", "key")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBoot:
    """Everything that a first boot takes.

    Attributes:
        place: The scene; its CA wants a binding for every account.
        oam: The token authority.
        endpoint: Where the certificate is to be served.
        host: The host as OAM knows it.
    """

    place: Scene
    oam: Oam
    endpoint: TlsServer
    host: Host

    def tables(self, sequence: int, ca: TestCA | None = None) -> Tables:
        """Return a payload about the CA of the scene, or another one."""
        chosen = ca or self.place.ca
        tables = {
            "ca": {
                "operator": {
                    "directory": chosen.directory_url,
                    "roots": chosen.transport_root_pem.decode(),
                    "chain_roots": chosen.issuing_root_pem.decode(),
                    "timeout": "5s",
                }
            },
            "account": {"operator": {"ca": "operator", "eab": bound_by("nf-17")}},
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
        return self.host.message(tables, sequence, self.place.clock.now())

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
        return self.host.sealed(made)

    def _authority(self) -> Tables:
        # One for all bundles: what changes in one is what a test changes.
        certificate, key = (self.place.home / "oam" / f"nf-host.{x}" for x in SUFFIXES)
        if not certificate.exists():
            self.oam.client("nf-host")
        return token_endpoint(self.oam, ACCOUNT, (certificate, key))


def bound_by(kid: str) -> Tables:
    """Return a binding to one of the accounts that the CA knows."""
    return binding(kid, KIDS[kid])


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
        host = Host.made(INSTANCE)
        _install(place, token, host)
        yield FirstBoot(place=place, oam=authority, endpoint=server, host=host)


def bound(authority: Oam) -> Config:
    """Return a CA that wants a binding, once each, and believes the authority."""
    return Config(
        token_authorities=(authority.token_root,),
        identifier_types=frozenset({"dns", "NfInstanceId"}),
        profile=SBA,
        eab_keys=KIDS,
        eab_required=True,
        eab_once=True,
    )


def _install(place: Scene, token: TokenSetup, host: Host) -> None:
    """Write what an image has: nothing of the CA, of OAM, or of the NF."""
    home = place.home
    host.install(home, os.getuid())
    place.config.write_text(
        FILES.format(
            home=home,
            bootstrap=BOOTSTRAP.format(home=home),
            uid=os.getuid(),
            address=place.address,
            port=HTTP_PORT,
            token=token_table(token),
            endpoint=table(home / "endpoint", place.address),
        )
    )
