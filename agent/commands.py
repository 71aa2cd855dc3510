"""What operators ask of the running daemon; satisfies the port of `agent.control`."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from agent import __version__, demands
from agent.byhand import ByHand
from agent.cells import Cell, Cells
from agent.control.verbs import Peer, Request
from agent.decommissioning import Decommissions
from agent.demands import CommandError, confirmed
from agent.errors import AgentError
from agent.jobs.account_changes import begin_deactivation
from agent.jobs.envelope import QUARANTINE_AFTER, pardoned
from agent.jobs.farewell import acknowledged
from agent.jobs.lifecycle import edited_jobs, released
from agent.jobs.refusal import KIND as REFUSED
from agent.jobs.refusal import accepted
from agent.jobs.trust import accept, hurried
from agent.keys.store import Keys
from agent.manager import Manager
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.job import Job
from agent.records.others import AccountRecord
from agent.records.slots import jobs
from agent.records.trust import TrustRecord
from agent.vitals import Vitals

Answer = dict[str, object]
P = TypeVar("P")
_DEMANDS: Final = frozenset(
    {"revoke", "replace", "decommission", "account-roll", "account-deactivate"}
)

_OF_ENDS: Final = frozenset({"ack", "release"})
"""What can be said of a certificate whose network function ends: that an endpoint has
stopped, and that a job in quarantine may be tried again."""


class Reloader(Protocol):
    """Replaces the configuration in force."""

    def reload(self) -> tuple[str, ...]:
        """Read the files again, and return what is wrong."""
        ...

    def bootstrap(self, text: str, *, check: bool) -> Answer:
        """Take a bundle, or say what that would do; raises where it is refused."""
        ...


class Commands:
    """Answers the verbs of the control sockets."""

    def __init__(
        self,
        cells: Cells,
        manager: Manager,
        vitals: Vitals,
        *,
        keys: Keys,
        by_hand: ByHand,
        reloader: Reloader,
    ) -> None:
        """Take the parts that verbs act on."""
        self._cells = cells
        self._manager = manager
        self._vitals = vitals
        self._keys = keys
        self._by_hand = by_hand
        self._reloader = reloader
        self._decommissions = Decommissions(cells, manager)

    async def handle(  # noqa: PLR0911 -- one arm a verb
        self,
        request: Request,
        peer: Peer,  # noqa: ARG002 -- who may is decided before
    ) -> Answer:
        """Answer one verb.

        Raises:
            AgentError: It cannot be done; says why.
        """
        name = str(request.arguments.get("name", ""))
        match request.verb:
            case "status" | "plan":
                return _built(self._vitals.status())
            case "version":
                return {"version": __version__}
            case "keys":
                return await self._list_keys()
            case "config" | "reload":
                return self._configuration(request.verb)
            case "bootstrap":
                given = request.arguments
                text, check = str(given.get("bundle", "")), given.get("check") is True
                return self._reloader.bootstrap(text, check=check)
            case "csr" | "import":
                return await self._by_hand.handle(request, self._cell(name))
            case verb if verb in _DEMANDS:
                return self._demand(request, name)
            case _:
                return self._operate(request.verb, name)

    def _demand(self, request: Request, name: str) -> Answer:
        """Do what cannot be taken back, or what is asked of an account."""
        if request.verb.startswith("account-"):
            return self._change_account(name, self._account_edit(request))
        if request.verb == "decommission":
            return self._decommissions.handle(name, request.arguments)
        cell, asked = self._cell(name), request.arguments
        confirmed(name, asked)
        if request.verb == "replace" and self._manager.ends(name):
            raise CommandError(f"the nf of {name} is decommissioned")
        moment = self._manager.moment()
        if request.verb == "revoke":
            cell.change(lambda record: demands.revoke(record, asked, moment))
        else:
            context = self._manager.contexts()[name]
            cell.change(lambda record: demands.replace(record, context, asked, moment))
        self._manager.touch()
        return {"name": name, "done": request.verb}

    def _operate(self, verb: str, name: str) -> Answer:
        if verb.startswith("trust"):
            return self._lists(verb, name)
        edits: Mapping[str, Callable[[CertificateRecord], CertificateRecord]] = {
            "renew": self._renew,
            "hold": lambda record: replace(record, held=True),
            "release": _release,
            "ack": self._acknowledge,
            "accept": self._accept,
        }
        if verb not in edits:
            raise CommandError(f"{verb} is not possible in this version")
        cell = self._cell(name)
        if verb not in _OF_ENDS and self._manager.ends(name):
            raise CommandError(f"the nf of {name} is decommissioned")
        cell.change(edits[verb])
        if verb == "renew":
            self._hurry_account(name)
        self._manager.touch()
        return {"name": name, "done": verb}

    def _lists(self, verb: str, name: str) -> Answer:
        """Show lists; ask a source at once; take what was refused."""
        if verb == "trust":
            lists = self._vitals.trust(with_roots=True)
            return {"lists": msgspec.to_builtins(lists)}
        cell = self._cells.trusts.get(name)
        configured = {view.name for view in self._vitals.trust(with_roots=False)}
        if cell is None or name not in configured:
            known = ", ".join(sorted(configured)) or "none"
            raise CommandError(f"there is no list {name[:64]}; known: {known}")

        def edit(record: TrustRecord) -> TrustRecord:
            if verb == "trust-fetch":
                return hurried(record)
            accepted = accept(record)
            if accepted is None:
                raise CommandError(f"{name} has refused nothing that can be accepted")
            return accepted

        cell.change(edit)
        self._manager.touch()
        return {"name": name, "done": verb}

    def _renew(self, record: CertificateRecord) -> CertificateRecord:
        if record.held:
            raise CommandError(
                f"{record.name} is held", hint=f"nfcertd release {record.name} first"
            )
        if record.issue is not None and not record.issue.running:
            # One is under way: it is not repeated, only tried at once.
            return replace(record, issue=_hurried(record.issue))
        return replace(record, renew_asked=self._manager.moment().now)

    def _hurry_account(self, certificate: str) -> None:
        """Let the account that a certificate waits for be tried at once as well."""
        account = self._manager.contexts()[certificate].account
        if account is None:
            return

        def edit(record: AccountRecord) -> AccountRecord:
            return edited_jobs(replace(record, blocked=None), _hurried)

        self._cells.accounts[account.name].change(edit)

    def _account_edit(
        self, request: Request
    ) -> Callable[[AccountRecord], AccountRecord]:
        given = request.arguments
        if request.verb == "account-roll":
            return self._rolled(cancel=given.get("cancel") is True)
        confirmed(str(given.get("name", "")), given)
        return self._deactivated

    def _change_account(
        self, name: str, edit: Callable[[AccountRecord], AccountRecord]
    ) -> Answer:
        reason = self._cells.quarantined.get(f"account {name}")
        if reason is not None:
            raise CommandError(f"{name} is in quarantine: {reason}")
        known = self._vitals.accounts()
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise CommandError(f"there is no account {name[:64]}; known: {there}")
        self._cells.accounts[name].change(edit)
        self._manager.touch()
        return {"name": name, "done": "account"}

    def _rolled(self, *, cancel: bool) -> Callable[[AccountRecord], AccountRecord]:
        """Ask for a roll-over, or try one that waits at once; or ask no more."""
        asked = None if cancel else self._manager.moment().now

        def edit(record: AccountRecord) -> AccountRecord:
            _check_usable(record)
            record = replace(record, roll_asked=asked)
            return record if cancel else edited_jobs(record, _hurried)

        return edit

    def _deactivated(self, record: AccountRecord) -> AccountRecord:
        if record.closed and _is_quarantined(record):
            # What is left of it to do: keys that are to be destroyed.
            return released(record)
        _check_usable(record)
        if record.deactivate is not None:
            # One is under way: it is not repeated, only tried at once.
            return edited_jobs(record, _hurried)
        return begin_deactivation(record, self._manager.moment())

    def _acknowledge(self, record: CertificateRecord) -> CertificateRecord:
        """Accept on an operator's word what could not be proven over the wire."""
        if record.farewell:
            after = acknowledged(record, self._manager.moment())
            if after == record:
                raise CommandError(
                    f"{record.name} is still published for its endpoints",
                    hint="see nfcertd status for what keeps it from being withdrawn",
                )
            return after
        if not record.publications:
            raise CommandError(f"{record.name} has no certificate yet")
        newest = record.publications[-1].number
        known = {
            name: replace(endpoint, by="operator", proven_at=self._manager.moment().now)
            if endpoint.proven == newest
            else endpoint
            for name, endpoint in record.endpoints.items()
        }
        waiting = [n for n, e in known.items() if _unserved(e, newest)]
        if waiting:
            raise CommandError(f"{record.name} is not deployed yet; see nfcertd status")
        return replace(record, endpoints=known)

    def _accept(self, record: CertificateRecord) -> CertificateRecord:
        """Publish on an operator's word what was refused because of its profile."""
        context = self._manager.contexts()[record.name]
        return accepted(record, context, self._manager.moment().now)

    def _cell(self, name: str) -> Cell[CertificateRecord]:
        reason = self._cells.quarantined.get(f"certificate {name}")
        if reason is not None:
            raise CommandError(f"{name} is in quarantine: {reason}")
        # Configured is enough: before its first step it has no record yet.
        configured = self._manager.contexts()
        cell = self._cells.certificate(name) if name in configured else None
        if cell is None:
            known = ", ".join(sorted(configured)) or "none"
            raise CommandError(f"there is no certificate {name[:64]}; known: {known}")
        return cell

    async def _list_keys(self) -> Answer:
        """Return keys of ours, and objects in tokens that no record knows.

        An orphan is ours by its label and in no record: it is only ever reported.
        """
        ours = self._vitals.keys()
        known = {key.id for key in ours}
        orphans: list[object] = []
        problems: list[str] = []
        for token in self._keys.tokens:
            try:
                found = await self._keys.list_keys(token)
            except AgentError as error:
                problems.append(f"token {token}: {error}")
                continue
            prefix = self._manager.label_prefix
            orphans += [
                {"token": token, "id": key.id, "label": key.label, "type": key.type}
                for key in found
                if key.label.startswith(prefix) and key.id not in known
            ]
        return {
            "keys": msgspec.to_builtins(ours),
            "orphans": orphans,
            "problems": problems,
        }

    def _configuration(self, verb: str) -> Answer:
        if verb == "reload":
            problems = self._reloader.reload()
            if problems:
                raise CommandError(f"not reloaded: {'; '.join(problems)}")
        return _built(self._vitals.status().config)


def _check_usable(record: AccountRecord) -> None:
    if record.closed:
        raise CommandError(f"{record.name} is {record.closed} for good")
    if not record.url:
        raise CommandError(f"{record.name} is not registered yet")


def _is_quarantined(record: AccountRecord) -> bool:
    return any(job.crashes >= QUARANTINE_AFTER for job in jobs(record).values())


def _hurried(job: Job[P], /) -> Job[P]:
    """Return a job without its wait, unless the CA asked for patience."""
    # A poll keeps the CA's pace as well: there is nothing to hurry but the CA.
    failure = job.failure
    named = failure is not None and failure.kind != REFUSED and failure.retry_at
    asked = job.polls > 0 or bool(named)
    return pardoned(job if asked else replace(job, not_before=None))


def _release(record: CertificateRecord) -> CertificateRecord:
    return released(
        replace(record, held=False, released=record.publication_count),
    )


def _unserved(endpoint: EndpointRecord, newest: int) -> bool:
    return endpoint.proven != newest


def _built(view: msgspec.Struct) -> Answer:
    built = msgspec.to_builtins(view)
    return dict(built)
