"""The tools of the procedures, made from concrete adapters.

A new challenge type, endpoint or key store is wired here, and nowhere else.
"""

import asyncio
import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from agent import systemd
from agent.audit import Trail
from agent.auditing import Auditor
from agent.benches import Tools
from agent.client import Observer
from agent.clock import Clock
from agent.config.attestation import CHALLENGE
from agent.config.authorities import Ca, ClientIdentity, allowed_hosts
from agent.config.model import Config
from agent.config.token_authority import TokenAuthority
from agent.config.tokens import Token
from agent.config.trail import Audit
from agent.config.trust import Trust
from agent.config.units import duration
from agent.counters import Counters
from agent.endpoints.probe import Probe
from agent.endpoints.process import PidfileTarget
from agent.endpoints.signaller import Signals
from agent.endpoints.unit import UnitTarget
from agent.files import read_bounded
from agent.keys.store import Keys
from agent.ports import Solver
from agent.preflight import Preflight, Ready
from agent.programs import succeed
from agent.publication.directories import Publications
from agent.publication.roots import Roots
from agent.retrieval import Retriever
from agent.solvers.deviceattest01 import DeviceAttest01
from agent.solvers.dns01.solver import Dns01
from agent.solvers.dnspersist01 import DnsPersist01
from agent.solvers.http01 import Http01
from agent.solvers.tkauth01 import TkAuth01
from agent.solvers.tlsalpn01.solver import TlsAlpn01
from agent.solvers.tpm import Tpm
from agent.transport import HttpsTransport, Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What tools are made of.

    Attributes:
        state: The state directory.
        environ: Environment variables; those of socket activation are consumed.
        clock: Where time comes from.
        config: Returns the configuration in force.
        keys: All key stores.
        read_secret: Resolves a reference of the configuration to a secret.
        trusted: Returns the roots of a list, PEM; empty where it has no version.
        observer: Hears of every request to a CA.
    """

    state: Path
    environ: MutableMapping[str, str]
    clock: Clock
    config: Callable[[], Config]
    keys: Keys
    read_secret: Callable[[str], bytes]
    trusted: Callable[[str], str]
    observer: Observer


def make_auditor(
    state: Path, clock: Clock, settings: Audit, counters: Counters
) -> Auditor:
    """Return who writes the audit trail; every entry is counted.

    Raises:
        AuditError: Its directory cannot be used.
    """
    trail = Trail(state / "audit", clock, size=settings.max_octets, keep=settings.keep)
    if settings.enabled:
        trail.open()
    return Auditor(
        trail, settings, lambda word: counters.count("nfcertd_pki_events", event=word)
    )


def make_tools(stock: Stock) -> Tools:
    """Return the tools of one daemon; nothing is contacted.

    Raises:
        AgentError: The state directory cannot be used.
    """
    publications = Publications(
        stock.state,
        lambda name: stock.config().token[name].token,
        stock.keys.files.private_pem,
    )
    publications.prepare()
    signals = Signals(stock.clock, UnitTarget(), PidfileTarget())
    solvers, ready = _solvers(stock)
    return Tools(
        keys=stock.keys,
        solvers=solvers,
        publisher=publications,
        signaller=signals,
        retriever=Retriever(),
        prober=Probe(stock.clock),
        preflight=Preflight(stock.state, stock.keys, ready, signals.find),
        clock=stock.clock,
        observer=stock.observer,
        read_secret=stock.read_secret,
        connect=partial(_connect, stock),
        reach=_reach,
        roots=Roots(stock.state),
        trusted=stock.trusted,
        programs=succeed,
    )


def _solvers(stock: Stock) -> tuple[dict[str, Solver], dict[str, Ready]]:
    """Return a solver for each challenge type, and what looks before its orders."""
    sockets = systemd.listen_fds(stock.environ, os.getpid())
    config = stock.config()
    http01 = Http01(config.http01, sockets.get("http-01", ()))
    tls_alpn01 = TlsAlpn01(
        config.tlsalpn01, stock.clock, sockets.get("tls-alpn-01", ())
    )
    dns01 = Dns01(lambda: stock.config().dns01, stock.read_secret, stock.clock)
    solvers: dict[str, Solver] = {
        "http-01": http01,
        "tls-alpn-01": tls_alpn01,
        "dns-01": dns01,
        "dns-account-01": dns01.for_accounts(),
        "dns-persist-01": DnsPersist01(
            lambda: stock.config().dnspersist01, dns01, stock.clock
        ),
    }
    solvers["tkauth-01"] = TkAuth01(
        lambda: stock.config().token_authority,
        partial(_reach_authority, stock),
        stock.read_secret,
        stock.clock,
    )
    solvers[CHALLENGE] = _attester(stock)
    ready: dict[str, Ready] = {
        "http-01": http01.ready,
        "tls-alpn-01": tls_alpn01.ready,
        "dns-01": dns01.ready,
        "dns-account-01": dns01.ready,
    }
    return solvers, ready


def _attester(stock: Stock) -> DeviceAttest01:
    def token(name: str) -> Token:
        return stock.config().token[name]

    tpm = Tpm(stock.keys.accepted_pin, stock.read_secret, stock.environ)
    return DeviceAttest01(token, tpm, stock.clock)


def _connect(stock: Stock, table: Ca, roots: str | None) -> HttpsTransport:
    client = table.client
    return HttpsTransport(
        Peer(
            hosts=allowed_hosts(table),
            roots=roots,
            timeout=duration(table.timeout),
            identity=None if client is None else lambda: _identity(stock, client),
            proxy=table.proxy,
        )
    )


def _reach(table: Trust, roots: str | None) -> HttpsTransport:
    host = urlsplit(table.signed or table.est or "").netloc.lower()
    timeout = duration(table.timeout)
    return HttpsTransport(Peer(hosts=frozenset({host}), roots=roots, timeout=timeout))


async def _reach_authority(
    stock: Stock, table: TokenAuthority, url: str
) -> HttpsTransport:
    """Return the way to a token authority; its anchors are read at each use."""
    roots = await asyncio.to_thread(read_bounded, Path(table.roots))
    client = table.client
    return HttpsTransport(
        Peer(
            hosts=frozenset({urlsplit(url).netloc.lower()}),
            roots=roots.decode("ascii", "ignore"),
            timeout=duration(table.timeout),
            identity=None if client is None else lambda: _identity(stock, client),
        )
    )


def _identity(stock: Stock, client: ClientIdentity) -> bytes:
    """Return our certificate and its key for mutual TLS, PEM; read at each use."""
    certificate = read_bounded(Path(client.certificate))
    return certificate + b"\n" + stock.read_secret(client.key) + b"\n"
