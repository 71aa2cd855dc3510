"""The workshop: procedures and clients of the configuration in force.

It knows which CA a certificate belongs to and which procedure performs which effect.
It does not know when anything is done.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from agent.acme.errors import NotOfferedError, RenewalInfoError
from agent.client import ABOUT, AcmeClient, Observer, Pace, Transport
from agent.clock import Clock
from agent.config.authorities import Ca
from agent.config.endpoints import Endpoint
from agent.config.model import Config
from agent.config.token_authority import authority_of
from agent.config.trust import Trust, list_of
from agent.errors import AgentError
from agent.jobs import (
    account,
    certificate,
    deploy,
    renewal_info,
    request,
    retire,
    revoke,
    trust,
)
from agent.jobs.context import Context
from agent.jobs.issue import effects as issue
from agent.jobs.issue.steps import is_presenting
from agent.jobs.references import kept
from agent.jobs.revoking import account_of
from agent.jobs.status import AskStatus, Heard
from agent.jobs.step import Performed
from agent.pemfiles import Anchors, read_roots
from agent.ports import (
    Keys,
    Preflight,
    Prober,
    Publisher,
    Retriever,
    RootsPublisher,
    Signaller,
    Solver,
)
from agent.procedures.account import AccountProcedure
from agent.procedures.deploy import Deploying, DeployProcedure
from agent.procedures.issue import IssueProcedure, Ordering
from agent.procedures.renewal_info import RenewalInfoProcedure
from agent.procedures.request import RequestProcedure
from agent.procedures.revocation import RevokeProcedure
from agent.procedures.status import StatusProcedure, asking_about
from agent.records.certificate import CertificateRecord, IssueJob, Slot
from agent.records.others import AccountRecord
from agent.records.trust import TrustRecord
from agent.renewal.disposition import kind_of
from agent.trail.exchange import About


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


@dataclass(frozen=True, slots=True)
class _Bench:
    """One CA: its table, its client, its procedures."""

    table: Ca
    roots: str | None
    client: AcmeClient
    issue: IssueProcedure
    account: AccountProcedure
    revoke: RevokeProcedure
    renewal_info: RenewalInfoProcedure


class Workshop:
    """Performs effects; satisfies `agent.work.Performer`."""

    def __init__(self, tools: Tools) -> None:
        """Take the tools; `configure` comes before the first effect."""
        self._tools = tools
        self._config = Config()
        self._benches: dict[str, _Bench] = {}
        self._replaced: list[_Bench] = []
        self._deploy = DeployProcedure(
            tools.publisher, tools.signaller, tools.prober, tools.clock
        )
        self._status = StatusProcedure(tools.retriever, tools.clock)
        self._request = RequestProcedure(tools.keys)
        self._anchors = Anchors(tools.trusted)

    def configure(self, config: Config) -> None:
        """Take a new configuration; CAs whose table is unchanged keep their clients.

        What is under way at the others ends as it began, and is cleared away later.
        """
        self._config = config
        for name in list(self._benches):
            if config.ca.get(name) != self._benches[name].table:
                self._replaced.append(self._benches.pop(name))

    async def for_certificate(  # noqa: PLR0911 -- one arm a kind
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: certificate.Effect,
        context: Context,
    ) -> certificate.Outcome:
        """Perform an effect of a certificate's job.

        Raises:
            AgentError: It failed.
        """
        match effect:
            case retire.DestroyKey(identity):
                await self._tools.keys.destroy(record.key(identity))
                return Performed()
            case retire.PruneAfter():
                return await self._prune(record, context)
            case revoke.Revoke():
                return await self._revoke(record, effect, context)
            case request.MakeRequestKey() | request.SignRequest():
                return await self._request.perform(effect, record, context)
            case AskStatus():
                return await self._ask_status(record, effect, context)
            case (
                deploy.Publish()
                | deploy.LookBefore()
                | deploy.Swap()
                | deploy.Tell()
                | deploy.Watch()
                | deploy.Prune()
            ):
                endpoint = context.endpoint(slot.name) or Endpoint(name=slot.name)
                about = Deploying(
                    record=record, config=context.config, endpoint=endpoint
                )
                keep = kept(record, context, self._tools.clock.now())
                return await self._deploy.perform(effect, about, keep)
            case renewal_info.AskRenewalInfo():
                return await self._ask(record, effect)
            case _:
                return await self._issue(record, effect, context)

    async def for_account(
        self, record: AccountRecord, effect: account.Effect
    ) -> account.Outcome:
        """Perform an effect of an account's job.

        Raises:
            AgentError: It failed.
        """
        table = self._config.account[record.name]
        bench = await self._bench(table.ca)
        about = About(subject=record.name, transaction=record.url)
        with self._noting(table.ca, about):
            return await bench.account.perform(effect, record, table)

    async def for_list(
        self, record: TrustRecord, effect: trust.Effect, table: Trust
    ) -> trust.Outcome:
        """Perform an effect of a list's job.

        Raises:
            AgentError: It failed.
        """
        # Late: most daemons follow no list.
        from agent.procedures.trust import TrustProcedure  # noqa: PLC0415

        tools = self._tools
        lists = TrustProcedure(tools.reach, tools.roots, tools.clock)
        return await lists.perform(effect, record, table)

    async def settle(self, record: CertificateRecord) -> None:
        """Take down what is presented for a certificate that has moved on."""
        if not is_presenting(record.issue):
            for bench in [*self._benches.values(), *self._replaced]:
                await bench.issue.finished(record.name)

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

    async def _issue(
        self, record: CertificateRecord, effect: issue.Effect, context: Context
    ) -> certificate.Outcome:
        bench = await self._bench(context.ca)
        job, account = record.issue, context.account
        if job is None or account is None:
            raise LookupError(record.name)
        ordering = Ordering(
            wish=context.wish,
            challenge=context.config.challenge,
            anchors=lambda: self._anchors.of(bench.table),
            issuers=lambda: self._anchors.issuers(bench.table),
            account=account,
            key=record.key(job.phase.key),
            preferred=context.config.chain or "",
            must_staple=context.config.must_staple,
            authority=authority_of(
                self._config.token_authority, context.config.token_authority
            ),
        )
        if isinstance(effect, issue.CreateOrder):
            challenged = record.challenged == context.directory
            await self._tools.preflight.check(
                record.name, context.config, ordering.key, challenged=challenged
            )
        with self._noting(context.ca, _about(record, context, job)):
            return await bench.issue.perform(record.name, effect, ordering)

    async def _revoke(
        self, record: CertificateRecord, effect: revoke.Revoke, context: Context
    ) -> Performed:
        issued = next(i for i in record.issued if i.fingerprint == effect.fingerprint)
        table = self._config.ca.get(issued.ca)
        if table is None or table.directory != issued.directory:
            raise NotOfferedError(
                f"the ca {issued.ca}, which issued it, is no longer configured so",
                hint="configure it again, or ask its operator to revoke it",
            )
        bench = await self._bench(issued.ca)
        account = account_of(issued, context)
        at_account = account.url if account else ""
        about = About(subject=record.name, transaction=at_account)
        with self._noting(issued.ca, about):
            signer = bench.revoke.signer(record, issued, effect, account)
            return await bench.revoke.perform(effect, issued, signer)

    async def _ask(
        self, record: CertificateRecord, effect: renewal_info.AskRenewalInfo
    ) -> renewal_info.Informed:
        current = record.current
        if current is None:
            raise LookupError(record.name)
        table = self._config.ca.get(current.ca)
        if table is None or table.directory != current.directory:
            raise RenewalInfoError(f"the ca {current.ca} is no longer configured so")
        bench = await self._bench(current.ca)
        about = About(subject=record.name, transaction=current.order)
        with self._noting(current.ca, about):
            return await bench.renewal_info.perform(effect, current.not_after)

    async def _ask_status(
        self, record: CertificateRecord, effect: AskStatus, context: Context
    ) -> Heard:
        issued = record.issued_as(effect.fingerprint)
        table = None if issued is None else self._config.ca.get(issued.ca)
        anchors = () if table is None else await self._anchors.of(table)
        asking = asking_about(record, effect, context, anchors)
        return await self._status.perform(effect, asking)

    @contextmanager
    def _noting(self, ca: str, about: About) -> Iterator[None]:
        token = ABOUT.set(about)
        try:
            yield
        except AgentError as error:
            self._tools.observer.error(ca, kind_of(error))
            raise
        finally:
            ABOUT.reset(token)

    async def _prune(self, record: CertificateRecord, context: Context) -> Performed:
        keep = kept(record, context, self._tools.clock.now())
        await self._tools.publisher.prune(record.name, keep)
        return Performed()

    async def _bench(self, name: str) -> _Bench:
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

    def _equip(self, name: str, table: Ca, roots: str | None) -> _Bench:
        tools = self._tools
        client = AcmeClient(
            name=name,
            directory_url=table.directory,
            transport=tools.connect(table, roots),
            clock=tools.clock,
            observer=tools.observer,
            pace=Pace(tools.clock, table.requests_per_second),
        )
        return _Bench(
            table,
            roots,
            client,
            IssueProcedure(client, tools.keys, tools.solvers, tools.clock),
            AccountProcedure(client, tools.keys, tools.read_secret),
            RevokeProcedure(client, tools.keys),
            RenewalInfoProcedure(client),
        )


def _about(record: CertificateRecord, context: Context, job: IssueJob) -> About:
    """Return what an order's requests are for, in the words of the audit trail."""
    current, account = record.current, context.account
    order = getattr(job.phase, "order", None)
    at_account = "" if account is None else account.url
    return About(
        subject=record.name,
        update=current is not None and current.directory == context.directory,
        transaction=at_account if order is None else order.url,
    )
