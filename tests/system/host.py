"""What stands around the daemon in the booted machine: CA, TLS endpoint, token, users.

It writes files into the machine before it boots. It does not know what happens there.
"""

import compileall
import shutil
from pathlib import Path
from typing import Final

from tests.integration.tokens import SOFTHSM_MODULES
from tests.parts.authority import make_server
from tests.parts.nginx import ENGINE, engine
from tests.system.booted import REPOSITORY, BootedSystem

NAME: Final = "amf1.5gc.mnc012.mcc345.3gppnetwork.org"
PIN: Final = "1234"

UNITS: Final = {
    "ca": """[Service]
Type=notify
RuntimeDirectory=ca
ExecStart=/usr/bin/nfcertd-python /opt/nfcertd/tests/system/authority.py /run/ca 14000
""",
    "web": """[Service]
Type=exec
Environment=OPENSSL_CONF=/etc/web/openssl.cnf
ExecStart=/usr/sbin/nginx -e /etc/web/error.log -c /etc/web/nginx.conf
""",
}

USERS: Final = """g web -
u alice - "Nobody in particular"
u reader - "May look"
m reader nfcertd-read
u admin - "May operate"
m admin nfcertd-admin
u worker - "Reads keys for the endpoint"
m worker web
"""

# Workers run as the daemon's user because SoftHSM2 makes its files for one user only; a
# real HSM serves any. The first certificates take the place of the placeholder.
NGINX: Final = """daemon off;
user nfcertd softhsm;
worker_processes 1;
pid /run/web.pid;
env OPENSSL_CONF;
events { worker_connections 64; }
http {
    access_log off;
    ssl_certificate /etc/web/server.pem;
    ssl_certificate_key /etc/web/server.key;
    server {
        listen 127.0.0.1:443 ssl;
        include /var/lib/nfcertd/live/in-token/nginx.con[f];
    }
    server {
        listen 127.0.0.1:8443 ssl;
        include /var/lib/nfcertd/live/in-file/nginx.con[f];
    }
}
"""

CONFIG: Final = f"""[token.hsm]
module = "MODULE"
token = "pkcs11:token=nf"
pin = "credential:hsm-pin"

[ca.operator]
directory = "https://127.0.0.1:14000/directory"
roots = "/run/ca/transport-root.pem"
chain_roots = "/run/ca/issuing-root.pem"

[account.operator]
ca = "operator"
key = {{ token = "hsm", type = "ec-p256" }}

[certificate.in-token]
names = ["{NAME}"]
ca = "operator"
key = {{ token = "hsm", type = "ec-p256" }}
grace = "0s"
[[certificate.in-token.endpoint]]
reload = {{ unit = "web.service" }}
template = "nginx-engine"
pin_source = "file:/etc/web/hsm.pin"
verify = {{ connect = "127.0.0.1:443" }}

[certificate.in-file]
names = ["{NAME}"]
ca = "operator"
key = {{ file = true }}
group = "web"
[[certificate.in-file.endpoint]]
reload = {{ unit = "web.service" }}
verify = {{ connect = "127.0.0.1:8443" }}
"""

THIRD: Final = f"""
[certificate.third]
names = ["{NAME}"]
ca = "operator"
key = {{ token = "hsm", type = "ec-p256" }}
"""

OURS: Final = """[Service]
SupplementaryGroups=web
"""

IMPATIENT: Final = """[Service]
WatchdogSec=2s
RestartSec=500ms
"""


def furnish(machine: BootedSystem, scratch: Path) -> None:
    """Put the daemon, its surroundings and the story into a machine."""
    machine.install()
    for name in ("__init__.py", "ca", "system"):
        _copy(machine, f"tests/{name}")
    # A package brings them along, and the daemon may not write them.
    compileall.compile_dir(machine.root / "opt/nfcertd/agent", quiet=2)
    for name, text in UNITS.items():
        machine.write(f"etc/systemd/system/{name}.service", text)
    for name in ("softhsm", "credentials"):
        machine.drop_in(name)
    machine.write("etc/systemd/system/nfcertd.service.d/web.conf", OURS)
    machine.write("etc/sysusers.d/users.conf", USERS)
    machine.write("etc/nfcertd/credentials/hsm-pin", PIN, 0o600)
    machine.write("probe/impatient.conf", IMPATIENT)
    signal = REPOSITORY / "systemd/nfcertd.service.d/signal.conf"
    machine.write("probe/signal.conf", signal.read_text())
    _configure(machine)
    _endpoint(machine, scratch)


def module() -> str:
    """Return the path of SoftHSM2's module, empty where it is not installed."""
    return next((path for path in SOFTHSM_MODULES if Path(path).exists()), "")


def _configure(machine: BootedSystem) -> None:
    first = CONFIG.replace("MODULE", module())
    machine.configure(first)
    machine.write("probe/good.toml", first + THIRD)
    machine.write("probe/bad.toml", first + 'names = ["x"]\n')


def _endpoint(machine: BootedSystem, scratch: Path) -> None:
    files = make_server(scratch, ("placeholder.invalid",))
    machine.write("etc/web/server.pem", files.certificate.read_text())
    machine.write("etc/web/server.key", files.key.read_text(), 0o600)
    # Without a final newline: OpenSSL's engine would take that for a part of the PIN.
    machine.write("etc/web/hsm.pin", PIN, 0o600)
    machine.write(
        "etc/web/openssl.cnf", ENGINE.format(engine=engine(), module=module())
    )
    machine.write("etc/web/nginx.conf", NGINX)


def _copy(machine: BootedSystem, name: str) -> None:
    source, target = REPOSITORY / name, machine.root / "opt/nfcertd" / name
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignored)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
