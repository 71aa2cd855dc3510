"""The parts of the 5G demo: OAM, an operator's CA, a list of roots, two functions.

It knows who runs as whom, and what connects them. The functions share a host, a daemon
and a token; each has an nginx of its own as its service-based interface. The files of
the host say what runs on it; whom it trusts and who it is, bundles of OAM say.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.ca import SBA, Config, TestCA
from tests.demo.stage import WORKERS, furnish, token_of
from tests.integration.tokens import PIN
from tests.oam import Oam, Script
from tests.oam.host import BOOTSTRAP, Host, Tables, binding, token_endpoint
from tests.parts.daemon import USER, Program, installed
from tests.parts.lists import ListServer, list_server
from tests.parts.looped import looped
from tests.parts.nginx import Site
from tests.parts.p11kit import Exported
from tests.parts.process import free_port
from tests.parts.token import TokenTool

HOME: Final = "5gc.mnc012.mcc345.3gppnetwork.org"
INSTANCES: Final = {
    "amf1": "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
    "smf1": "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10",
}
HOST: Final = "nf-host-17"
"""As whom OAM knows the host."""
KID: Final = "host-17"
MAC_KEY: Final = b"what the CA has given OAM for the account of this host"
CONFIG: Final = """\
[agent]
state = "{home}/state"
runtime = "{home}/run"
health = "127.0.0.1:{health}"
clock = "assume"

{bootstrap}
[token.hsm]
module = "{module}"
token = "pkcs11:token=nf"
pin = "file:{home}/nfcertd.pin"

[audit]
key = {{ token = "hsm" }}
checkpoint = "10s"
"""
CERTIFICATE: Final = """
[certificate.{name}]
nf = "{name}"
ca = "operator"
challenge = "tkauth-01"
key = {{ token = "hsm" }}
trust = ["sba"]
grace = "3s"

[[certificate.{name}.endpoint]]
reload = {{ pidfile = "{home}/{name}/nginx/nginx.pid" }}
template = "nginx-engine"
pin_source = "file:{home}/nginx.pin"
verify_peers = true
verify = {{ connect = "127.0.0.1:{port}", within = "10s" }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A network function of the demo.

    Attributes:
        name: Its table, and that of its certificate.
        kind: Its NF type.
        uuid: Its NF instance id.
        port: Where its interface listens.
    """

    name: str
    kind: str
    uuid: str
    port: int

    @property
    def fqdn(self) -> str:
        """Return its name."""
        return f"{self.name}.{HOME}"

    @property
    def uri(self) -> str:
        """Return what its certificates name it by."""
        return f"urn:uuid:{self.uuid}"

    @property
    def table(self) -> Tables:
        """Return it as a bundle names it."""
        return {
            "instance_id": self.uuid,
            "types": [self.kind],
            "fqdn": self.fqdn,
            "country": "DE",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Everything that runs before nfcertd does.

    Attributes:
        home: Directory with all files of the demo.
        ca: The operator's CA.
        oam: The token authority.
        lists: Who hands out the list of trusted roots, by EST.
        host: The host, as OAM knows it.
        token: The token as pkcs11-tool sees it.
        exported: The exporter, through which all use the token.
        program: The installed daemon with its configuration.
        amf: The first function.
        smf: The second one.
        token_authority: OAM as a bundle names it.
    """

    home: Path
    ca: TestCA
    oam: Oam
    lists: ListServer
    host: Host
    token: TokenTool
    exported: Exported
    program: Program
    amf: Function
    smf: Function
    token_authority: Tables = field(repr=False)

    def live(self, name: str) -> Path:
        """Return the directory that a link of the daemon points to now."""
        return (self.home / "state" / "live" / name).resolve()

    def site(self, function: Function) -> Site:
        """Return what the interface of a function serves.

        It answers with the certificate of whoever asks, so that the asker can see as
        whom it was accepted.
        """
        return Site(
            snippet=self.home / "state" / "live" / function.name / "nginx.conf",
            ports=(function.port,),
            module=self.exported.module,
            environment=self.exported.environment,
            worker=WORKERS,
            answer="$ssl_client_escaped_cert",
        )

    def roots(self) -> tuple[x509.Certificate, ...]:
        """Return the old root of the operator's CA, and the new one."""
        pems = (self.ca.issuing_root_pem, *self.ca.alternate_root_pems)
        return tuple(x509.load_pem_x509_certificate(pem) for pem in pems)

    def bundle(self, sequence: int, roots: tuple[x509.Certificate, ...]) -> Path:
        """Write a bundle of OAM that trusts some roots of the CA; return its file."""
        tables = {
            "ca": {
                "operator": {
                    "directory": self.ca.directory_url,
                    "roots": self.ca.transport_root_pem.decode(),
                    "chain_roots": "".join(
                        root.public_bytes(Encoding.PEM).decode() for root in roots
                    ),
                }
            },
            "account": {"operator": {"ca": "operator", "eab": binding(KID, MAC_KEY)}},
            "nf": {one.name: one.table for one in (self.amf, self.smf)},
            "token-authority": {"oam": self.token_authority},
            "trust": {
                "sba": {
                    "est": self.lists.est,
                    "roots": self.lists.anchors.read_text(),
                    "interval": "1h",
                    "delay": "1s",
                    "overlap": "12s",
                }
            },
        }
        message = self.host.message(tables, sequence, datetime.now(UTC))
        file = self.home / f"bundle-{sequence}.jws"
        file.write_text(self.host.sealed(message))
        return file


@contextmanager
def network(home: Path) -> Iterator[Network]:
    """Start token, OAM, list and CA, and install the host."""
    amf, smf = (
        Function(name=name, kind=name[:3].upper(), uuid=uuid, port=free_port())
        for name, uuid in INSTANCES.items()
    )
    script = Script(accounts={HOST: _attested(amf, smf)})
    with ExitStack() as stack:
        there = stack.enter_context(token_of(home, tpm=False))
        (home / "oam").mkdir()
        oam = stack.enter_context(looped(Oam(home / "oam", script), "oam"))
        ca = stack.enter_context(looped(TestCA(_believing(oam)), "test ca"))
        lists = stack.enter_context(list_server(home / "lists"))
        host = Host.made(HOST)
        written = _install(home, host, there, (amf, smf))
        made = Network(
            home=home,
            ca=ca,
            oam=oam,
            lists=lists,
            host=host,
            token=TokenTool(
                module=there.module, environment=there.environment, pin=PIN
            ),
            exported=there,
            program=installed(home, written, there.environment),
            amf=amf,
            smf=smf,
            token_authority=token_endpoint(oam, HOST, oam.client("nf-host")),
        )
        lists.cacerts = made.roots()[:1]
        yield made


def _attested(*functions: Function) -> set[tuple[str, str]]:
    """Return what OAM knows of this host: the functions' ids and names."""
    return {
        pair
        for function in functions
        for pair in (("NfInstanceId", function.uuid), ("dns", function.fqdn))
    }


def _believing(oam: Oam) -> Config:
    """Return a CA that wants a binding for its one account, and believes OAM."""
    return Config(
        token_authorities=(oam.token_root,),
        identifier_types=frozenset({"dns", "NfInstanceId"}),
        profile=SBA,
        alternate_chains=1,
        eab_keys={KID: MAC_KEY},
        eab_required=True,
        eab_once=True,
    )


def _install(
    home: Path, host: Host, there: Exported, functions: tuple[Function, ...]
) -> Path:
    """Write what the image of the host has, and return its configuration."""
    furnish(home)
    host.install(home, USER.uid)
    text = CONFIG.format(
        home=home,
        health=free_port(),
        bootstrap=BOOTSTRAP.format(home=home),
        module=there.module,
    )
    for one in functions:
        (home / one.name).mkdir()
        text += CERTIFICATE.format(home=home, name=one.name, port=one.port)
    config = home / "nfcertd.toml"
    config.write_text(text)
    return config
