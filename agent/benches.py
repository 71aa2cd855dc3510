"""Benches: one for each CA, with its client and the procedures that are bound to it.

How they are made, replaced when a reload or a list changes what they stand on, and
cleared away. What is under way at one that is replaced ends as it began.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.client import AcmeClient, Observer, Pace, Transport
from agent.clock import Clock
from agent.config.authorities import Ca
from agent.config.model import Config
from agent.config.trust import Trust, list_of
from agent.pemfiles import Anchors, read_roots
from agent.ports import (
    Keys,
    Preflight,
    Prober,
    Programs,
    Publisher,
    Retriever,
    RootsPublisher,
    Signaller,
    Solver,
)
from agent.procedures.abandon import AbandonProcedure
from agent.procedures.account import AccountProcedure
from agent.procedures.issue import IssueProcedure
from agent.procedures.renewal_info import RenewalInfoProcedure
from agent.procedures.revocation import RevokeProcedure


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What procedures are made of, whatever the configuration says.

    Attributes:
        keys: All key stores.
        solvers: By challenge type.
        publisher: Writes publications.
        signaller: Tells endpoints.
        retriever: Fetches CRLs and OCSP responses.
        prober: Sees what they serve.
        preflight: Looks before each order.
        clock: Where time comes from.
        observer: Hears of every request to a CA.
        read_secret: Resolves a reference of the configuration to a secret.
        connect: Makes the transport to a CA from its table and its roots' PEM.
        reach: Makes the transport to the source of a list, likewise.
        roots: Publishes lists of trusted roots.
        trusted: Returns the roots of a list, PEM; empty where it has no version.
        programs: Runs programs that the configuration names.
    """

    keys: Keys
    solvers: Mapping[str, Solver]
    publisher: Publisher
    signaller: Signaller
    retriever: Retriever
    prober: Prober
    preflight: Preflight
    clock: Clock
    observer: Observer
    read_secret: Callable[[str], bytes]
    connect: Callable[[Ca, str | None], Transport]
    reach: Callable[[Trust, str | None], Transport]
    roots: RootsPublisher
    trusted: Callable[[str], str]
    programs: Programs


@dataclass(frozen=True, slots=True)
class Bench:
    """One CA: its table, its client, its procedures."""

    table: Ca
    roots: str | None
    client: AcmeClient
    issue: IssueProcedure
    account: AccountProcedure
    revoke: RevokeProcedure
    renewal_info: RenewalInfoProcedure
    abandon: AbandonProcedure


class Benches:
    """The benches of the configuration in force, and those that it replaced."""

    def __init__(self, tools: Tools) -> None:
        """Take the tools; `configure` comes before the first bench."""
        self._tools = tools
        self._anchors = Anchors(tools.trusted)
        self._config = Config()
        self._benches: dict[str, Bench] = {}
        self._replaced: list[Bench] = []

    def configure(self, config: Config) -> None:
        """Take a new configuration; a bench whose CA's table is unchanged stays."""
        self._config = config
        for name in list(self._benches):
            if config.ca.get(name) != self._benches[name].table:
                self._replaced.append(self._benches.pop(name))

    async def at(self, name: str) -> Bench:
        """Return the bench of a CA, with the newest roots of the list that it follows.

        Raises:
            AgentError: The roots of its TLS cannot be read, or there are none yet.
        """
        table = self._config.ca[name]
        bench = self._benches.get(name)
        followed = list_of(table.roots)
        if followed is not None:
            roots: str | None = self._anchors.followed(followed)
        elif bench is not None:
            return bench
        else:
            roots = await read_roots(table)
        if self._config.ca.get(name) != table:
            bench = self._equip(name, table, roots)
            self._replaced.append(bench)
            return bench
        if name in self._benches and self._benches[name].roots != roots:
            # Its list has changed; what is under way ends as it began.
            self._replaced.append(self._benches.pop(name))
        if name not in self._benches:
            # Another job may have been faster while the file was read.
            self._benches[name] = self._equip(name, table, roots)
        return self._benches[name]

    async def settle(self, name: str) -> None:
        """Take down what is presented for a certificate, also by an older bench."""
        for bench in [*self._benches.values(), *self._replaced]:
            await bench.issue.finished(name)

    async def rest(self) -> None:
        """Close idle connections; nothing is under way."""
        await self._clear_away()
        for bench in self._benches.values():
            await bench.client.rest()

    async def aclose(self) -> None:
        """Take down everything presented and close every connection."""
        self._replaced += self._benches.values()
        self._benches.clear()
        await self._clear_away()

    async def _clear_away(self) -> None:
        while self._replaced:
            bench = self._replaced.pop()
            await bench.issue.aclose()
            await bench.client.rest()

    def _equip(self, name: str, table: Ca, roots: str | None) -> Bench:
        tools = self._tools
        client = AcmeClient(
            name=name,
            directory_url=table.directory,
            transport=tools.connect(table, roots),
            clock=tools.clock,
            observer=tools.observer,
            pace=Pace(tools.clock, table.requests_per_second),
        )
        return Bench(
            table,
            roots,
            client,
            IssueProcedure(client, tools.keys, tools.solvers, tools.clock),
            AccountProcedure(client, tools.keys, tools.read_secret),
            RevokeProcedure(client, tools.keys),
            RenewalInfoProcedure(client),
            AbandonProcedure(client, tools.keys),
        )
