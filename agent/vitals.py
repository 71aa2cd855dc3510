"""How the daemon fares, for everybody who asks: status, health, readiness, metrics."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent import __version__
from agent.auditing import Auditor
from agent.cells import Cells
from agent.clock import Clock
from agent.config.model import Config
from agent.counters import Counters
from agent.health import Verdict
from agent.hookviews import hook_view
from agent.jobs.alarms import account_alarms, ca_alarms, token_alarms
from agent.jobs.context import Context
from agent.jobs.hooks import hook_alarms
from agent.keys.ports import TokenStatus
from agent.listviews import trust_view
from agent.loading import Loaded
from agent.manager import Manager
from agent.nfviews import Known, nf_views
from agent.records.authority import CaRecord
from agent.records.certificate import CertificateRecord
from agent.records.job import Severity
from agent.records.keys import KeyRecord
from agent.renewal.breaker import of_directory
from agent.shapes import (
    AccountView,
    AlarmView,
    AuditView,
    BootstrapView,
    CaView,
    CertificateView,
    ConfigView,
    HookView,
    KeyView,
    NfView,
    PlanView,
    State,
    StatusView,
    TokenView,
    TrustView,
)
from agent.views import (
    account_key_views,
    account_view,
    alarm_views,
    ca_view,
    certificate_view,
    key_view,
    key_views,
)

WELL: Final = frozenset({State.DEPLOYED, State.HELD})
"""States that need nobody while the newest certificate is deployed."""
_GONE: Final = frozenset({State.UNMANAGED, State.ENDING, State.ENDED})
"""States of certificates that nobody expects to be served."""
_SEVERITIES: Final = {"bootstrap-signer": Severity.WARNING}
_DISBELIEVED: Final = "nothing is begun, because the wall clock may not be believed"


@dataclass(slots=True)
class Loading:
    """The configuration in force, and how the last attempt to replace it went."""

    loaded: Loaded
    loaded_at: datetime
    reload_at: datetime | None = None
    problems: tuple[str, ...] = ()

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self.loaded.config


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What is read beside the records.

    Attributes:
        tokens: Returns the status of every token.
        auditor: Whose trail is shown.
        counters: What has happened since the start.
        audit_key: Returns the key that signs checkpoints, None where there is none.
    """

    tokens: Callable[[], Mapping[str, TokenStatus]]
    auditor: Auditor
    counters: Counters
    audit_key: Callable[[], KeyRecord | None]


class Vitals:
    """Snapshots of the daemon; satisfies `agent.health.Vitals`."""

    def __init__(
        self,
        cells: Cells,
        manager: Manager,
        loading: Loading,
        *,
        clock: Clock,
        install: str,
        instruments: Instruments,
    ) -> None:
        """Look at these parts; nothing is copied before somebody asks."""
        self._cells = cells
        self._manager = manager
        self._loading = loading
        self._clock = clock
        self._instruments = instruments
        self._tokens = instruments.tokens
        self._install = install
        self._started = clock.now()
        self._auditor = instruments.auditor
        self.counters = instruments.counters

    def status(self) -> StatusView:
        """Return the whole snapshot."""
        now, loading = self._clock.now(), self._loading
        contexts = self._manager.contexts()
        return StatusView(
            version=__version__,
            install=self._install,
            started=self._started,
            now=now,
            config=ConfigView(
                loaded_at=loading.loaded_at,
                reload_ok=not loading.problems,
                reload_at=loading.reload_at,
                problems=loading.problems,
            ),
            certificates=tuple(
                self._certificate(record, contexts.get(name), now)
                for name, record in sorted(self._records(contexts).items())
            ),
            cas=self._cas(now),
            accounts=self._accounts(now),
            tokens=self._token_views(),
            alarms=self.alarms(),
            audit=self._audit(),
            trust=self.trust(with_roots=False),
            hooks=self._hooks(now),
            nfs=self._nfs(contexts, now),
            bootstrap=bootstrap_view(loading.loaded),
        )

    def trust(self, *, with_roots: bool) -> tuple[TrustView, ...]:
        """Return every configured list of trusted roots."""
        now, tables = self._clock.now(), self._loading.config.trust
        return tuple(
            trust_view(cell.record, tables[name], now, with_roots=with_roots)
            for name, cell in sorted(self._cells.trusts.items())
            if name in tables
        )

    def _hooks(self, now: datetime) -> tuple[HookView, ...]:
        tables = self._loading.config.hook
        return tuple(
            hook_view(cell.record, tables[name], now)
            for name, cell in sorted(self._cells.hooks.items())
            if name in tables
        )

    def _nfs(
        self, contexts: Mapping[str, Context], now: datetime
    ) -> tuple[NfView, ...]:
        cells = self._cells
        known = Known(
            nfs={name: cell.record for name, cell in cells.nfs.items()},
            certificates={n: cell.record for n, cell in cells.certificates.items()},
            accounts={name: cell.record for name, cell in cells.accounts.items()},
        )
        return nf_views(self._loading.config, known, contexts, now)

    def keys(self) -> tuple[KeyView, ...]:
        """Return every key that a record of ours knows."""
        now, contexts = self._clock.now(), self._manager.contexts()
        found = [
            view
            for name, cell in sorted(self._cells.certificates.items())
            for view in key_views(cell.record, contexts.get(name), now)
        ]
        for _, account in sorted(self._cells.accounts.items()):
            found += account_key_views(account.record)
        audit = self._instruments.audit_key()
        if audit is not None:
            use = "checkpoints of the audit trail"
            found.append(key_view(audit, "audit", referenced=True, use=use))
        return tuple(found)

    def accounts(self) -> frozenset[str]:
        """Return the names of the accounts that are configured and have a record."""
        return frozenset(
            self._loading.config.account.keys() & self._cells.accounts.keys()
        )

    def healthz(self) -> Verdict:
        """Tell whether the scheduler makes progress; nothing of the world matters."""
        if self._manager.overdue():
            return Verdict(ok=False, lines=("a due job has not been started",))
        return Verdict(ok=True)

    def readyz(self) -> Verdict:
        """Tell whether every certificate is deployed, and every token and CA well."""
        view, idle = self.status(), self._manager.idle_accounts()
        lines = [
            f"certificate {c.name} is {c.state}"
            for c in view.certificates
            if not (c.deployed and c.state in WELL) and c.state not in _GONE
        ]
        lines += [f"token {t.name}: {t.reason}" for t in view.tokens if not t.up]
        lines += [
            f"account {a.name} is not valid"
            for a in view.accounts
            if not a.valid and a.name not in idle
        ]
        lines += [
            f"alarm {a.subject} {a.id}: {a.cause}"
            for a in view.alarms
            if a.severity is not Severity.WARNING
        ]
        return Verdict(ok=not lines, lines=tuple(lines))

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of a scrape."""
        from agent.metrics import render  # noqa: PLC0415 -- loaded by the first scrape

        return render(self.status(), self.counters, accept)

    def summary(self) -> str:
        """Return one line for `systemctl status`."""
        view = self.status()
        deployed = sum(c.deployed for c in view.certificates)
        parts = [f"{deployed} of {len(view.certificates)} certificates deployed"]
        ends = [c.not_after for c in view.certificates if c.not_after is not None]
        if ends:
            parts.append(f"earliest end {min(ends):%Y-%m-%d %H:%M}Z")
        if view.alarms:
            parts.append(f"{len(view.alarms)} alarms")
        if not view.config.reload_ok:
            parts.append("new configuration refused, see nfcertd status")
        return "; ".join(parts)

    def _records(self, contexts: Iterable[str]) -> dict[str, CertificateRecord]:
        """Return every record; what is configured has one before it is durable."""
        cells = self._cells
        found = {name: cell.record for name, cell in cells.certificates.items()}
        for name in (*contexts, *self._loading.loaded.waiting):
            if name not in found and f"certificate {name}" not in cells.quarantined:
                found[name] = CertificateRecord(name=name)
        return found

    def _certificate(
        self, record: CertificateRecord, context: Context | None, now: datetime
    ) -> CertificateView:
        view = certificate_view(record, context, now)
        lacks = self._loading.loaded.waiting.get(record.name)
        if lacks is None:
            return view
        text = f"wait for the bootstrap bundle, there is no {lacks} yet"
        plan = PlanView(next=text, at=None, rule="")
        return replace(view, state=State.WAITING, plan=plan)

    def _known_cas(self) -> list[CaRecord]:
        """Return what is remembered of each configured CA, as it is configured now."""
        found = []
        for name, table in sorted(self._loading.config.ca.items()):
            cell = self._cells.authorities.get(name)
            fresh = CaRecord(name=name, directory=table.directory)
            known = fresh if cell is None else cell.record
            found.append(of_directory(known, table.directory))
        return found

    def _cas(self, now: datetime) -> tuple[CaView, ...]:
        skews = self.counters.skews
        return tuple(ca_view(ca, now, skews.get(ca.name)) for ca in self._known_cas())

    def _accounts(self, now: datetime) -> tuple[AccountView, ...]:
        config = self._loading.config
        return tuple(
            account_view(
                cell.record,
                config.account[name].ca,
                self._manager.account_context(name),
                now,
            )
            for name, cell in sorted(self._cells.accounts.items())
            if name in config.account
        )

    def _token_views(self) -> tuple[TokenView, ...]:
        return tuple(
            TokenView(
                name=name,
                up=status.up,
                reason=status.reason,
                serial=status.serial,
                pin=self._cells.pin(name).status,
            )
            for name, status in sorted(self._tokens().items())
        )

    def _audit(self) -> AuditView:
        trail = self._auditor.trail
        number, _, checkpoint = trail.head
        return AuditView(
            enabled=self._auditor.settings.enabled,
            entries=number,
            checkpoint_at=checkpoint,
            broken_since=trail.broken_since,
        )

    def _alarms_of_certificates(self) -> Iterator[AlarmView]:
        for name, cell in sorted(self._cells.certificates.items()):
            if name in self._loading.config.certificate:
                yield from alarm_views("certificate", name, cell.record.alarms)

    def _alarms_of_others(self, now: datetime) -> Iterator[AlarmView]:
        config, cells = self._loading.config, self._cells
        for name, account in sorted(cells.accounts.items()):
            over = account.record.closed_with and account.record.closed
            if name in config.account and not over:
                yield from alarm_views("account", name, account_alarms(account.record))
        for name, token in sorted(cells.tokens.items()):
            if name in config.token:
                yield from alarm_views("token", name, token_alarms(token.record, now))
        for name, trust in sorted(cells.trusts.items()):
            if name in config.trust:
                yield from alarm_views("trust", name, trust.record.alarms)
        yield from self._alarms_of_cas(now)
        for name in sorted(config.hook.keys() & cells.hooks.keys()):
            alarms = hook_alarms(cells.hooks[name].record)
            yield from alarm_views("hook", name, alarms)

    def alarms(self) -> tuple[AlarmView, ...]:
        """Return every alarm that stands."""
        now = self._clock.now()
        return (
            *self._alarms_of_certificates(),
            *self._alarms_of_others(now),
            *self._standing(now),
        )

    def _standing(self, now: datetime) -> Iterator[AlarmView]:
        """Yield the alarms that no record holds: they stand while their cause does."""
        for subject, reason in self._cells.quarantined.items():
            yield _standing("record-quarantined", subject, reason, now)
        causes = {
            "state": self._manager.store_failure,
            "clock": _DISBELIEVED if self._manager.clock_held else "",
            "audit": self._auditor.trouble,
            "bootstrap": self._loading.loaded.trouble,
            "bootstrap-signer": self._loading.loaded.unsigned,
        }
        for slug, cause in causes.items():
            if cause:
                yield _standing(slug, "nfcertd", cause, now)

    def _alarms_of_cas(self, now: datetime) -> Iterator[AlarmView]:
        for ca in self._known_cas():
            skew = self.counters.skews.get(ca.name, 0.0)
            yield from alarm_views("ca", ca.name, ca_alarms(ca, now, skew))


def _standing(slug: str, subject: str, cause: str, now: datetime) -> AlarmView:
    return AlarmView(
        id=slug,
        kind="nfcertd" if subject == "nfcertd" else "record",
        subject=subject,
        severity=_SEVERITIES.get(slug, Severity.CRITICAL),
        cause=cause,
        action="",
        raised=now,
    )


def bootstrap_view(loaded: Loaded) -> BootstrapView | None:
    """Return the bundle in force; None where the configuration wants none."""
    if loaded.config.bootstrap is None:
        return None
    known = loaded.bundle
    if known is None:
        return BootstrapView(trouble=loaded.trouble, waiting=loaded.waiting)
    return BootstrapView(
        sequence=known.sequence,
        issued=known.issued,
        expires=known.expires,
        taken=known.taken,
        signer=known.signer,
        tables=() if loaded.made is None else tuple(loaded.made.overlay.tables()),
    )
