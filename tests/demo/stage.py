"""The parts on which the demo plays: token, CA, and the files that connect them.

It knows who runs as whom. The token belongs to one user, the daemon is another, nginx's
workers are a third; what they share is a socket with a group.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.tokens import PIN, TokenSetup, softhsm, tpm_simulator
from tests.parts.daemon import USER, Program, installed
from tests.parts.nginx import Site, nginx_missing
from tests.parts.p11kit import Export, Exported, exported, p11kit_missing
from tests.parts.pebble import Pebble, pebble, pebble_missing
from tests.parts.process import Identity, free_port, missing
from tests.parts.token import TokenTool, give

NAME: Final = "amf1.5gc.mnc012.mcc345.3gppnetwork.org"
"""The name in the certificate; Pebble's DNS server answers 127.0.0.1 for it."""
CERTIFICATE: Final = "demo"
WORKERS: Final = "www-data"
OWNER: Final = Identity(uid=64122, gid=64122)
"""As whom the token's only process runs."""
CONFIG: Final = """\
[agent]
state = "{home}/state"
runtime = "{home}/run"
health = "127.0.0.1:{health}"
clock = "assume"

[http-01]
listen = ["127.0.0.1:{http}"]

[token.demo]
module = "{module}"
token = "pkcs11:token=nf"
pin = "file:{home}/nfcertd.pin"

[ca.pebble]
directory = "{directory}"
roots = "{transport}"
chain_roots = "{home}/issuing-root.pem"

[account.pebble]
ca = "pebble"
terms_agreed = true
key = {{ token = "demo", type = "ec-p256" }}

[certificate.{certificate}]
names = ["{name}"]
ca = "pebble"
key = {{ {key} }}
grace = "0s"

[[certificate.{certificate}.endpoint]]
reload = {{ pidfile = "{home}/nginx/nginx.pid" }}
template = "{template}"
{pin}
verify = {{ connect = "127.0.0.1:{tls}", within = "10s" }}
"""
IN_TOKEN: Final = {
    "key": 'token = "demo", type = "ec-p256"',
    "template": "nginx-engine",
}
IN_FILE: Final = {
    "key": 'file = true, type = "ec-p256"',
    "template": "nginx",
}
SECOND: Final = """
[certificate.in-tpm]
names = ["{name}"]
ca = "pebble"
key = {{ token = "demo", type = "ec-p256" }}
"""
"""With a TPM: a certificate whose key is in it, and which no endpoint serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs before nfcertd does.

    Attributes:
        home: Directory with all files of the demo.
        tpm: True where the token is a TPM's.
        ca: The ACME server.
        token: The token as pkcs11-tool sees it, through the exporter.
        exported: The exporter, through which nfcertd and nginx use the token.
        program: The installed daemon with its configuration.
        port: TLS port of the nginx that is still to be started.
    """

    home: Path
    tpm: bool
    ca: Pebble
    token: TokenTool
    exported: Exported
    program: Program
    port: int

    @property
    def live(self) -> Path:
        """Return the link to the publication that nginx includes."""
        return self.home / "state" / "live" / CERTIFICATE

    @property
    def site(self) -> Site:
        """Return what nginx serves: whatever nfcertd publishes."""
        in_token = not self.tpm
        return Site(
            snippet=self.live / "nginx.conf",
            ports=(self.port,),
            module=self.exported.module if in_token else "",
            environment=self.exported.environment if in_token else {},
            worker=WORKERS,
        )


def lacking(*, tpm: bool) -> str:
    """Say in one line what the demo needs and does not find, or nothing."""
    if os.geteuid() != 0:
        return "missing: root (the demo runs its parts as several users)"
    programs = ["openssl", "softhsm2-util", "pkcs11-tool", "setpriv"]
    if tpm:
        programs += ["swtpm", "swtpm_setup", "tpm2-abrmd", "tpm2_ptool", "dbus-daemon"]
    return (
        missing(*programs)
        or nginx_missing(engine_too=True)
        or p11kit_missing()
        or pebble_missing()
    )


@contextmanager
def stage(home: Path, *, tpm: bool) -> Iterator[Stage]:
    """Start token, exporter and CA, and write the configuration."""
    with token_of(home, tpm=tpm) as there, pebble(home) as ca:
        port = free_port()
        config = _configure(home, ca, there, port, tpm=tpm)
        yield Stage(
            home=home,
            tpm=tpm,
            ca=ca,
            token=TokenTool(
                module=there.module, environment=there.environment, pin=PIN
            ),
            exported=there,
            program=installed(home, config, there.environment),
            port=port,
        )


@contextmanager
def token_of(home: Path, *, tpm: bool) -> Iterator[Exported]:
    """Make a token, and export it to the group of nginx's workers."""
    if tpm:
        # The simulator's bus serves one user, ours, so that its exporter is root.
        with tpm_simulator(home) as there, exported(home, _export(there)) as shared:
            yield shared
    else:
        setup = softhsm(home)
        give(home / "tokens", OWNER)
        with exported(home, _export(setup, OWNER)) as shared:
            yield shared


def _export(setup: TokenSetup, owner: Identity | None = None) -> Export:
    return Export(
        module=setup.module,
        uri=setup.uri,
        environment=setup.env,
        group=workers(),
        owner=owner,
    )


def _configure(
    home: Path, ca: Pebble, there: Exported, port: int, *, tpm: bool
) -> Path:
    """Write the daemon's configuration, and what it names."""
    furnish(home)
    (home / "issuing-root.pem").write_text(ca.issuing_roots())
    values: Mapping[str, object] = {
        "home": home,
        "health": free_port(),
        "http": ca.http_port,
        "module": there.module,
        "directory": ca.directory_url,
        "transport": ca.ca_pem,
        "certificate": CERTIFICATE,
        "name": NAME,
        "tls": port,
        "pin": "" if tpm else f'pin_source = "file:{home}/nginx.pin"',
        **(IN_FILE if tpm else IN_TOKEN),
    }
    text = CONFIG.format(**values) + (SECOND.format(**values) if tpm else "")
    config = home / "nfcertd.toml"
    config.write_text(text)
    return config


def furnish(home: Path) -> None:
    """Make the daemon's directories, and the files with the PIN for it and nginx."""
    for name, mode in (("state", 0o711), ("run", 0o755)):
        directory = home / name
        directory.mkdir()
        directory.chmod(mode)
        os.chown(directory, USER.uid, USER.gid)
    _write_pin(home / "nfcertd.pin", USER.uid)
    _write_pin(home / "nginx.pin", 0)


def daemon_identity() -> Identity:
    """Return as whom nfcertd runs: a member of the socket's group that may signal.

    CAP_KILL is what the drop-in `signal.conf` grants on a host without D-Bus.
    """
    return Identity(
        uid=USER.uid, gid=USER.gid, groups=(workers(),), capabilities=("kill",)
    )


def _write_pin(path: Path, uid: int) -> None:
    """Write the PIN to a file of a user, who alone may read it."""
    # Without a final newline: OpenSSL's engine would take that for a part of the PIN.
    path.touch(mode=0o600)
    path.write_text(PIN)
    os.chown(path, uid, -1)


def workers() -> int:
    """Return the group of nginx's workers, which may use the exported token."""
    return pwd.getpwnam(WORKERS).pw_gid
