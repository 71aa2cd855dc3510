"""The parts of the 5G demo: OAM, an operator's CA, a list of roots, two functions.

It knows who runs as whom, and what connects them. The functions share a host, a daemon
and a token; each has an nginx of its own as its service-based interface.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from tests.ca import Config, TestCA
from tests.ca.issuing import ExtraNames, Profile
from tests.demo.stage import WORKERS, token_of, workers, write_pin
from tests.integration.tokens import PIN
from tests.oam import Oam, Script
from tests.parts.daemon import USER, Program, installed
from tests.parts.lists import ListServer, list_server
from tests.parts.looped import looped
from tests.parts.nginx import Site
from tests.parts.p11kit import Exported
from tests.parts.process import Identity, free_port
from tests.parts.token import TokenTool

HOME: Final = "5gc.mnc012.mcc345.3gppnetwork.org"
ACCOUNT: Final = "nf-host-17"
"""As whom this host is known to OAM."""
INSTANCES: Final = {
    "amf1": "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
    "smf1": "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10",
}
CONFIG: Final = """\
[agent]
state = "{home}/state"
runtime = "{home}/run"
health = "127.0.0.1:{health}"
clock = "assume"

[token.hsm]
module = "{module}"
token = "pkcs11:token=nf"
pin = "file:{home}/nfcertd.pin"

[audit]
key = {{ token = "hsm" }}

[token-authority.oam]
url = "{oam}"
roots = "{oam_roots}"
client = {{ certificate = "{oam_certificate}", key = "file:{oam_key}" }}

[trust.sba]
est = "{list}"
roots = "{list_roots}"
interval = "1h"
delay = "1s"
overlap = "12s"

[ca.operator]
directory = "{directory}"
roots = "{home}/ca-tls-root.pem"
chain_roots = "trust:sba"

[account.operator]
ca = "operator"
key = {{ token = "hsm" }}
"""
NF: Final = """
[nf.{name}]
instance_id = "{uuid}"
types = ["{kind}"]
fqdn = "{fqdn}"
country = "DE"

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
BY_PROFILE: Final = Profile(
    extra_names=ExtraNames.KEEP,
    critical_names=True,
    copy_subject=True,
    copied_extensions=frozenset({"1.3.6.1.5.5.7.1.34"}),
    crl_url="http://ca.operator.example/operator.crl",
)
"""What TS 33.310 clause 6.1.3c wants of a certificate beside keys and names."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Everything that runs before nfcertd does.

    Attributes:
        home: Directory with all files of the demo.
        ca: The operator's CA.
        oam: The token authority.
        lists: Who hands out the list of trusted roots, by EST.
        token: The token as pkcs11-tool sees it.
        exported: The exporter, through which all use the token.
        program: The installed daemon with its configuration.
        amf: The first function.
        smf: The second one.
    """

    home: Path
    ca: TestCA
    oam: Oam
    lists: ListServer
    token: TokenTool
    exported: Exported
    program: Program
    amf: Function
    smf: Function

    @property
    def daemon_identity(self) -> Identity:
        """Return as whom nfcertd runs: a member of the socket's group that may signal.

        CAP_KILL is what the drop-in `signal.conf` grants on a host without D-Bus.
        """
        return Identity(
            uid=USER.uid, gid=USER.gid, groups=(workers(),), capabilities=("kill",)
        )

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


@contextmanager
def network(home: Path) -> Iterator[Network]:
    """Start token, OAM, list and CA, and write the configuration."""
    amf, smf = (
        Function(name=name, kind=name[:3].upper(), uuid=uuid, port=free_port())
        for name, uuid in INSTANCES.items()
    )
    script = Script(accounts={ACCOUNT: _attested(amf, smf)})
    with ExitStack() as stack:
        there = stack.enter_context(token_of(home, tpm=False))
        (home / "oam").mkdir()
        oam = stack.enter_context(looped(Oam(home / "oam", script), "oam"))
        config = Config(
            token_authorities=(oam.token_root,),
            identifier_types=frozenset({"dns", "NfInstanceId"}),
            profile=BY_PROFILE,
            alternate_chains=1,
        )
        ca = stack.enter_context(looped(TestCA(config), "test ca"))
        lists = stack.enter_context(list_server(home / "lists"))
        written = _configure(home, ca, oam, lists, there, (amf, smf))
        made = Network(
            home=home,
            ca=ca,
            oam=oam,
            lists=lists,
            token=TokenTool(
                module=there.module, environment=there.environment, pin=PIN
            ),
            exported=there,
            program=installed(home, written, there.environment),
            amf=amf,
            smf=smf,
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


def _configure(
    home: Path,
    ca: TestCA,
    oam: Oam,
    lists: ListServer,
    there: Exported,
    functions: tuple[Function, ...],
) -> Path:
    """Make the daemon's directories and secrets, and write its configuration."""
    for name, mode in (("state", 0o711), ("run", 0o755)):
        directory = home / name
        directory.mkdir()
        directory.chmod(mode)
        os.chown(directory, USER.uid, USER.gid)
    write_pin(home / "nfcertd.pin", USER.uid)
    write_pin(home / "nginx.pin", 0)
    (home / "ca-tls-root.pem").write_bytes(ca.transport_root_pem)
    certificate, key = oam.client("nf-host")
    os.chown(key, USER.uid, -1)
    text = CONFIG.format(
        home=home,
        health=free_port(),
        module=there.module,
        oam=oam.url(ACCOUNT),
        oam_roots=oam.roots,
        oam_certificate=certificate,
        oam_key=key,
        list=lists.est,
        list_roots=lists.anchors,
        directory=ca.directory_url,
    )
    text += "".join(_tables(home, one) for one in functions)
    config = home / "nfcertd.toml"
    config.write_text(text)
    return config


def _tables(home: Path, one: Function) -> str:
    """Make the directory of a function's interface, and return its tables."""
    (home / one.name).mkdir()
    return NF.format(
        home=home,
        name=one.name,
        uuid=one.uuid,
        kind=one.kind,
        fqdn=one.fqdn,
        port=one.port,
    )
