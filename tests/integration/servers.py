"""The ACME servers that the daemon is run against, each with what it offers.

One is ours; the others were written by people who read the same standards. A scene is
pointed at one of them, and a test asks its directory whether it has what is needed.
"""

import json
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from tests.ca import Config
from tests.ca.issuing import Profile
from tests.ca.jose import b64decode
from tests.integration.scene import Scene, scene
from tests.parts.acme2certifier import Options, acme2certifier
from tests.parts.fetched import fetched, not_fetched
from tests.parts.pebble import Pebble, PebbleOptions, names, pebble, pebble_missing
from tests.parts.process import free_port

OURS: Final = "the test ca"
PEBBLE: Final = "debian's pebble"
NEWER: Final = "the newer pebble"
A2C: Final = "acme2certifier"
SERVERS: Final = (OURS, PEBBLE, NEWER, A2C)
EAB: Final = ("nf-eab-0001", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
"""Identifier and MAC key, base64url, of an external account."""
PROFILES: Final = {"nf": "for network functions", "web": "for web servers"}
"""Offered by every server that knows of profiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a test wants of a server.

    Attributes:
        dns: Address of a DNS server on port 53 that it is to ask; empty for one that
            leads all names to the daemon.
        bound: Whether accounts have to be bound to an external one.
        life: Lifetime of certificates, where that can be chosen.
    """

    dns: str = ""
    bound: bool = False
    life: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs, and the host beside it.

    Attributes:
        name: One of `SERVERS`.
        scene: The host; its configuration names this server.
        directory: What its directory says.
        pebble: The server, where it is a Pebble.
    """

    name: str
    scene: Scene
    directory: Mapping[str, object]
    pebble: Pebble | None = None

    def needs(self, *members: str) -> None:
        """Skip the test where the directory, or its `meta`, lacks something."""
        meta = self.directory.get("meta")
        offered = {*self.directory, *(meta if isinstance(meta, dict) else {})}
        lacking = [member for member in members if member not in offered]
        if lacking:
            pytest.skip(f"{self.name} does not offer {', '.join(lacking)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a server is and what the configuration says of it."""

    directory_url: str
    tls_root: str
    issuing_root: str
    changes: Mapping[str, str] = field(default_factory=dict)
    pebble: Pebble | None = None


def why_not(name: str) -> str:
    """Say why a server cannot be run here, or nothing."""
    if name == OURS:
        return ""
    absent = pebble_missing()
    if name == PEBBLE or absent:
        return absent
    if name == NEWER:
        return not_fetched("pebble")
    if os.geteuid() != 0:
        return f"{name} validates on port 80: needs root"
    return _taken() or not_fetched("acme2certifier")


def _taken() -> str:
    """Say which of the ports is taken that cannot be chosen, or nothing."""
    for port in (53, 80):
        with socket.socket() as probe:
            try:
                probe.bind(("127.250.250.250", port))
            except OSError as error:
                return f"port {port} of loopback cannot be had: {error.strerror}"
    return ""


@contextmanager
def hosted(name: str, home: Path, wish: Wish, *tables: str) -> Iterator[Server]:
    """Run a server, and a host that is configured for it.

    Args:
        name: One of `SERVERS`; the test is skipped where it cannot be run.
        home: An empty directory.
        wish: What is wanted of it.
        tables: What the configuration has beside its base.
    """
    if reason := why_not(name):
        pytest.skip(reason)
    beside = home / "scene"
    beside.mkdir()
    with scene(beside, _ours(wish)) as host, _RUNNERS[name](home, host, wish) as place:
        (beside / "transport.pem").write_text(place.tls_root)
        (beside / "issuing.pem").write_text(place.issuing_root)
        host.configure(*tables)
        text = host.config.read_text()
        text = text.replace(host.ca.directory_url, place.directory_url)
        for old, new in place.changes.items():
            text = text.replace(old, new)
        if wish.bound:
            (beside / "eab").write_text(EAB[1])
            key = f'{{ kid = "{EAB[0]}", key = "file:{beside}/eab" }}'
            text = text.replace("[account.test]\n", f"[account.test]\neab = {key}\n")
        host.config.write_text(text)
        directory = _read(place.directory_url, beside / "transport.pem")
        yield Server(name=name, scene=host, directory=directory, pebble=place.pebble)


def _read(url: str, root: Path) -> dict[str, object]:
    context = ssl.create_default_context(cafile=str(root))
    with urllib.request.urlopen(url, timeout=10, context=context) as reply:
        found: dict[str, object] = json.loads(reply.read(1 << 20))
    return found


def _ours(wish: Wish) -> Config:
    """Return the switches of the test CA."""
    kid, key = EAB
    bound = {kid: b64decode(key, "key")} if wish.bound else {}
    return Config(
        dns=(wish.dns, 53) if wish.dns else None,
        eab_keys=bound,
        eab_required=wish.bound,
        profile=Profile(lifetime=wish.life),
        profiles={profile: Profile(lifetime=wish.life) for profile in PROFILES},
        renewal_info=True,
    )


@contextmanager
def _our_ca(home: Path, host: Scene, wish: Wish) -> Iterator[_Place]:
    del home, wish
    yield _Place(
        directory_url=host.ca.directory_url,
        tls_root=host.ca.transport_root_pem.decode(),
        issuing_root=host.ca.issuing_root_pem.decode(),
    )


@contextmanager
def _a_pebble(
    home: Path, host: Scene, wish: Wish, programs: str = "", **more: object
) -> Iterator[_Place]:
    kid, key = EAB
    bound = {
        "externalAccountBindingRequired": True,
        "externalAccountMACKeys": {kid: key},
    }
    options = PebbleOptions(
        http_port=free_port(),
        nonce_reject=5,
        validity=wish.life,
        dns=f"{wish.dns}:53" if wish.dns else "",
        programs=programs,
        settings={**(bound if wish.bound else {}), **more},
    )
    with pebble(home, options) as server:
        yield _Place(
            directory_url=server.directory_url,
            tls_root=server.ca_pem.read_text(),
            issuing_root=server.issuing_roots(),
            changes={
                f"{host.address}:8080": f"127.0.0.1:{server.http_port}",
                "[account.test]\n": "[account.test]\nterms_agreed = true\n",
            },
            pebble=server,
        )


def _newer_pebble(
    home: Path, host: Scene, wish: Wish
) -> AbstractContextManager[_Place]:
    seconds = int(wish.life.total_seconds())
    profiles = {
        name: {"description": text, "validityPeriod": seconds}
        for name, text in PROFILES.items()
    }
    programs = str(fetched("pebble") / "usr/bin")
    return _a_pebble(home, host, wish, programs, profiles=profiles)


@contextmanager
def _acme2certifier(home: Path, host: Scene, wish: Wish) -> Iterator[_Place]:
    where = f"{host.address}:53"
    asked = nullcontext(wish.dns) if wish.dns else names(home, where, host.address)
    with asked as dns:
        options = Options(
            dns=dns.partition(":")[0],
            library=fetched("acme2certifier"),
            eab_keys=dict([EAB]) if wish.bound else {},
            profiles=PROFILES,
        )
        with acme2certifier(home, options) as server:
            contact = 'contact = ["mailto:ops@example.org"]'
            yield _Place(
                directory_url=server.directory_url,
                tls_root=server.ca_pem.read_text(),
                issuing_root=server.issuing_root,
                changes={
                    f"{host.address}:8080": f"{host.address}:80",
                    "[account.test]\n": f"[account.test]\n{contact}\n",
                },
            )


_RUNNERS: Final[
    Mapping[str, Callable[[Path, Scene, Wish], AbstractContextManager[_Place]]]
] = {
    OURS: _our_ca,
    PEBBLE: _a_pebble,
    NEWER: _newer_pebble,
    A2C: _acme2certifier,
}
