"""The workshop: procedures and clients of the configuration in force.

It knows which CA a certificate belongs to and which procedure performs which effect.
It does not know when anything is done.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agent.acme.errors import NotOfferedError, RenewalInfoError
from agent.benches import Bench, Benches, Tools
from agent.client import ABOUT
from agent.config.endpoints import Endpoint
from agent.config.hook import Hook
from agent.config.model import Config
from agent.config.token_authority import authority_of
from agent.config.trust import Trust
from agent.errors import AgentError
from agent.jobs import (
    abandon,
    account,
    certificate,
    deploy,
    farewell,
    hooks,
    renewal_info,
    retire,
    revoke,
    series,
    trust,
)
from agent.jobs.abandon import owner_of
from agent.jobs.context import Context, account_of
from agent.jobs.issue import effects as issue
from agent.jobs.issue.steps import is_presenting
from agent.jobs.references import kept
from agent.jobs.status import AskStatus, Heard
from agent.jobs.step import Performed
from agent.pemfiles import Anchors
from agent.procedures.deploy import DeployProcedure
from agent.procedures.hook import HookProcedure
from agent.procedures.issue import Ordering
from agent.procedures.request import RequestProcedure
from agent.procedures.status import StatusProcedure, asking_about
from agent.procedures.watching import Deploying, Watcher
from agent.records.certificate import CertificateRecord, IssueJob
from agent.records.hook import HookRecord
from agent.records.keys import KeyRecord
from agent.records.others import AccountRecord
from agent.records.slots import Slot
from agent.records.trust import TrustRecord
from agent.renewal.disposition import kind_of
from agent.trail.exchange import About

Perform = Callable[
    [CertificateRecord, Slot, Any, Context], Awaitable[certificate.Outcome]
]
"""Performs the effects of one kind of job; the slot decides the effect's type."""


class Workshop:
    """Performs effects; satisfies `agent.manager.EveryPerformer`."""

    def __init__(self, tools: Tools) -> None:
        """Take the tools; `configure` comes before the first effect."""
        self._tools = tools
        self._config = Config()
        self._benches = Benches(tools)
        self._watcher = Watcher(tools.prober, tools.clock)
        self._deploy = DeployProcedure(tools.publisher, tools.signaller, self._watcher)
        self._status = StatusProcedure(tools.retriever, tools.clock)
        self._request = RequestProcedure(tools.keys)
        self._anchors = Anchors(tools.trusted)
        self._by_kind: Mapping[str, Perform] = {
            "issue": lambda r, _, e, c: self._issue(r, e, c),
            "deploy": self._deployment,
            "retire": lambda r, _, e, c: self._retire(r, e, c),
            "revoke": lambda r, _, e, c: self._revoke(r, e, c),
            "csr": lambda r, _, e, c: self._request.perform(e, r, c),
            "status": lambda r, _, e, c: self._ask_status(r, e, c),
            "abandon": lambda r, _, e, c: self._abandon(r, e, c),
            "series": self._series,
            "farewell": self._farewell,
            "end": lambda r, _, __, ___: self._clear(r),
            "renewal-info": lambda r, _, e, __: self._ask(r, e),
        }

    def configure(self, config: Config) -> None:
        """Take a new configuration; CAs whose table is unchanged keep their clients.

        What is under way at the others ends as it began, and is cleared away later.
        """
        self._config = config
        self._benches.configure(config)

    async def for_certificate(
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
        perform = self._by_kind[slot.kind]
        return await perform(record, slot, effect, context)

    async def for_account(
        self, record: AccountRecord, effect: account.Effect
    ) -> account.Outcome:
        """Perform an effect of an account's job.

        Raises:
            AgentError: It failed.
        """
        table = self._config.account[record.name]
        bench = await self._benches.at(table.ca)
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

    async def for_hook(
        self, record: HookRecord, effect: hooks.Deliver, table: Hook
    ) -> hooks.Outcome:
        """Run a hook's program.

        Raises:
            AgentError: It failed.
        """
        return await HookProcedure(self._tools.programs).perform(effect, record, table)

    async def settle(self, record: CertificateRecord) -> None:
        """Take down what is presented for a certificate that has moved on."""
        if not is_presenting(record.issue):
            await self._benches.settle(record.name)

    async def rest(self) -> None:
        """Close idle connections; nothing is under way."""
        await self._benches.rest()

    async def aclose(self) -> None:
        """Take down everything presented and close every connection."""
        await self._benches.aclose()

    async def _issue(
        self, record: CertificateRecord, effect: issue.Effect, context: Context
    ) -> certificate.Outcome:
        bench = await self._benches.at(context.ca)
        job, account = record.issue, context.account
        if job is None or account is None:
            raise LookupError(record.name)
        key = record.key(job.phase.key)
        ordering = self._ordering(bench, context, account, key)
        if isinstance(effect, issue.CreateOrder):
            challenged = record.challenged == context.directory
            await self._tools.preflight.check(
                record.name, context.config, ordering.key, challenged=challenged
            )
        with self._noting(context.ca, _about(record, context, job)):
            return await bench.issue.perform(record.name, effect, ordering)

    def _ordering(
        self, bench: Bench, context: Context, account: AccountRecord, key: KeyRecord
    ) -> Ordering:
        return Ordering(
            wish=context.wish,
            challenge=context.config.challenge,
            anchors=lambda: self._anchors.of(bench.table),
            issuers=lambda: self._anchors.issuers(bench.table),
            account=account,
            key=key,
            preferred=context.config.chain or "",
            must_staple=context.config.must_staple,
            authority=authority_of(
                self._config.token_authority, context.config.token_authority
            ),
            attestation=context.config.attestation,
        )

    async def _series(
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: series.Effect,
        context: Context,
    ) -> series.Outcome:
        # Late: few certificates are renewed by their CA.
        from agent.procedures.series import (  # noqa: PLC0415
            SeriesProcedure,
            as_ordered,
        )

        known = record.series[slot.name].phase.series
        account = series.account_of(known, context)
        table = self._config.ca.get(known.ca)
        if account is None or table is None or table.directory != known.directory:
            raise NotOfferedError(
                f"the ca {known.ca}, which renews it, is no longer configured so",
                hint="configure it again; the series ends by itself",
            )
        bench = await self._benches.at(known.ca)

        def ordering() -> Ordering:
            key = record.key(known.key)
            asked = self._ordering(bench, context, account, key)
            return as_ordered(asked, known, record.current)

        fetching = SeriesProcedure(bench.client, self._tools.keys, bench.issue)
        about = About(subject=record.name, update=True, transaction=known.order)
        with self._noting(known.ca, about):
            return await fetching.perform(effect, account, ordering)

    async def _deployment(
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: deploy.Effect,
        context: Context,
    ) -> deploy.Outcome:
        endpoint = context.endpoint(slot.name) or Endpoint(name=slot.name)
        about = Deploying(record=record, config=context.config, endpoint=endpoint)
        keep = kept(record, context, self._tools.clock.now())
        return await self._deploy.perform(effect, about, keep)

    async def _farewell(
        self,
        record: CertificateRecord,
        slot: Slot,
        effect: farewell.Effect,
        context: Context,
    ) -> farewell.Outcome:
        # Late: most functions are never decommissioned.
        from agent.procedures.farewell import FarewellProcedure  # noqa: PLC0415

        tools = self._tools
        endpoint = context.endpoint(slot.name) or Endpoint(name=slot.name)
        about = Deploying(record=record, config=context.config, endpoint=endpoint)
        leaving = FarewellProcedure(tools.publisher, tools.signaller, self._watcher)
        return await leaving.perform(effect, about)

    async def _clear(self, record: CertificateRecord) -> Performed:
        await self._tools.publisher.clear(record.name)
        return Performed()

    async def _retire(
        self, record: CertificateRecord, effect: retire.Effect, context: Context
    ) -> Performed:
        if isinstance(effect, retire.DestroyKey):
            await self._tools.keys.destroy(record.key(effect.key))
            return Performed()
        return await self._prune(record, context)

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
        bench = await self._benches.at(issued.ca)
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
        bench = await self._benches.at(current.ca)
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

    async def _abandon(
        self, record: CertificateRecord, effect: abandon.Deactivate, context: Context
    ) -> Performed:
        if record.abandon is None:
            raise LookupError(record.name)
        phase = record.abandon.phase
        table, account = self._config.ca.get(phase.ca), owner_of(phase, context)
        gone = table is None or table.directory != phase.directory
        if gone or account is None:
            # Nobody is left who could be asked: they expire by themselves.
            return Performed()
        bench = await self._benches.at(phase.ca)
        about = About(subject=record.name, transaction=phase.account)
        with self._noting(phase.ca, about):
            return await bench.abandon.perform(effect, account)

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
