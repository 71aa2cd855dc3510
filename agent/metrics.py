"""Renders a status view and the counters as Prometheus text or OpenMetrics.

It knows metric names (standards: instants as `_timestamp_seconds`, bounded labels) and
content negotiation. It does not know where the view comes from. Importing it loads
prometheus_client, so importers do it late.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest as plain_text
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics

from agent.counters import Counters
from agent.gauges import (
    accounts,
    bootstrap,
    cas,
    clocks,
    gauge,
    hooks,
    nfs,
    profiles,
    series,
)
from agent.records.job import Severity
from agent.records.tags import PHASES
from agent.shapes import (
    AuditView,
    CertificateView,
    State,
    StatusView,
    TrustView,
)

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the Prometheus text format."""

OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Content type of OpenMetrics 1.0."""

_LEAVING: Final = frozenset({State.ENDING, State.ENDED})
"""States of certificates whose network function is decommissioned."""
_BY_ENDPOINT: Final = frozenset({"deploy", "farewell"})
"""Kinds of jobs that are about an endpoint."""
MAX_ACCEPT: Final = 4096
"""Characters of an Accept field that are looked at."""


def render(view: StatusView, counters: Counters, accept: str) -> tuple[str, bytes]:
    """Return content type and body for the Accept field of a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(view, counters))
    if accepts_open_metrics(accept):
        body: bytes = open_metrics(registry)  # type: ignore[no-untyped-call]  # as shipped
        return OPEN_METRICS, body
    return PLAIN, plain_text(registry)


def accepts_open_metrics(accept: str) -> bool:
    """Tell whether OpenMetrics 1.0 is wanted at least as much as plain text.

    Plain text is the answer to everything that is not understood.
    """
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for choice in accept[:MAX_ACCEPT].split(","):
        kind, *rest = (part.strip().lower() for part in choice.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        usable = kind == "text/plain" or parameters.get("version", "1.0.0") == "1.0.0"
        if kind in weights and usable:
            weights[kind] = max(weights[kind], _weight(parameters.get("q", "1")))
    wanted = weights["application/openmetrics-text"]
    return wanted > 0 and wanted >= weights["text/plain"]


def _weight(text: str) -> float:
    # RFC 9110 section 12.4.2: at most three decimals; everything else weighs nothing.
    return float(text) if re.fullmatch(r"[01](\.\d{0,3})?", text, re.ASCII) else 0.0


class _Collector:
    """Turns one view into families, once."""

    def __init__(self, view: StatusView, counters: Counters) -> None:
        """Show this view and these counts."""
        self._view = view
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """Yield every family, also those without a series."""
        yield InfoMetricFamily(
            "nfcertd_build",
            "Version of the daemon.",
            value={"version": self._view.version},
        )
        yield from self._process()
        yield from _certificates(self._view.certificates)
        yield from _endpoints(self._view.certificates)
        yield from _jobs(self._view.certificates)
        yield from self._others()
        yield from _lists(self._view.trust)
        yield from hooks(self._view.hooks)
        yield from nfs(self._view.nfs)
        yield from series(self._view.certificates)
        yield from self._counted()

    def _process(self) -> Iterator[Metric]:
        config = self._view.config
        alone: dict[str, tuple[str, float | bool | datetime | None]] = {
            "nfcertd_start_timestamp_seconds": (
                "When the daemon started.",
                self._view.started,
            ),
            "nfcertd_config_last_reload_success": (
                "Whether the last configuration that was read is in force.",
                config.reload_ok,
            ),
            "nfcertd_config_last_reload_success_timestamp_seconds": (
                "Since when the configuration is in force.",
                config.loaded_at,
            ),
            **_audit(self._view.audit),
        }
        for name, (text, value) in alone.items():
            yield gauge(name, text, (), [((), value)])

    def _others(self) -> Iterator[Metric]:
        view = self._view
        yield gauge(
            "nfcertd_token_up",
            "Whether the token answered at the last contact.",
            ("token",),
            [((token.name,), token.up) for token in view.tokens],
        )
        yield from cas(view.cas)
        yield from clocks(view.cas)
        yield gauge(
            "nfcertd_account_valid",
            "Whether the account is registered.",
            ("account", "ca"),
            [((account.name, account.ca), account.valid) for account in view.accounts],
        )
        yield from accounts(view.accounts)
        yield from bootstrap(view.bootstrap)
        yield gauge(
            "nfcertd_alarms",
            "Alarms that stand.",
            ("severity",),
            [
                ((level,), sum(alarm.severity == level for alarm in view.alarms))
                for level in Severity
            ],
        )

    def _counted(self) -> Iterator[Metric]:
        families = {
            "nfcertd_acme_requests": (
                "ACME requests by class of status; none where no answer came.",
                ("ca", "code", "resource"),
            ),
            "nfcertd_acme_errors": ("Failures by type.", ("ca", "type")),
            "nfcertd_pki_events": (
                "Entries of the audit trail, in the words of CMP.",
                ("event",),
            ),
        }
        for name, (text, labels) in families.items():
            family = CounterMetricFamily(name, text, labels=labels)
            for key, value in self._counters.series(name).items():
                family.add_metric([label for _, label in key], value)
            yield family
        yield self._durations("nfcertd_acme_request_duration_seconds")

    def _durations(self, name: str) -> Metric:
        family = SummaryMetricFamily(
            name, "How long ACME requests took.", labels=("ca",), unit="seconds"
        )
        sums = self._counters.series(f"{name}_sum")
        for key, number in self._counters.series(f"{name}_count").items():
            values = [label for _, label in key]
            family.add_metric(values, int(number), sums.get(key, 0.0))
        return family


def _audit(
    audit: AuditView,
) -> dict[str, tuple[str, float | bool | datetime | None]]:
    return {
        "nfcertd_audit_up": (
            "Whether entries of the audit trail can be written.",
            audit.enabled and audit.broken_since is None,
        ),
        "nfcertd_audit_checkpoint_timestamp_seconds": (
            "When the audit trail was last vouched for by a signature.",
            audit.checkpoint_at,
        ),
    }


_ABOUT_CERTIFICATES: Final[
    Mapping[str, tuple[str, Callable[[CertificateView], float | datetime | None]]]
] = {
    "nfcertd_certificate_not_after_timestamp_seconds": (
        "When the newest certificate ends.",
        lambda one: one.not_after,
    ),
    "nfcertd_certificate_not_before_timestamp_seconds": (
        "When the newest certificate begins.",
        lambda one: one.not_before,
    ),
    "nfcertd_certificate_renew_at_timestamp_seconds": (
        "When it is renewed.",
        lambda one: one.renew_at,
    ),
    "nfcertd_ari_window_start_timestamp_seconds": (
        "When the renewal window begins that the CA suggests.",
        lambda one: one.suggestion.start if one.suggestion else None,
    ),
    "nfcertd_ari_window_end_timestamp_seconds": (
        "When the renewal window ends that the CA suggests.",
        lambda one: one.suggestion.end if one.suggestion else None,
    ),
    "nfcertd_certificate_issued": (
        "Whether there is a certificate; says nothing about who serves it.",
        lambda one: one.issued,
    ),
    "nfcertd_certificate_deployed": (
        "Whether every endpoint was proven to use the newest certificate.",
        lambda one: one.deployed,
    ),
    "nfcertd_certificate_stand_in": (
        "Whether it is ordered from another CA than the first of its list.",
        lambda one: bool(one.stand_in),
    ),
    "nfcertd_certificate_refused": (
        "Whether a certificate that breaks its profile waits for an operator.",
        lambda one: one.refused is not None,
    ),
    "nfcertd_certificate_held": (
        "Whether an operator holds it.",
        lambda one: one.held,
    ),
    "nfcertd_certificate_revoked": (
        "Whether the newest certificate is known to be revoked.",
        lambda one: bool(one.revoked),
    ),
    "nfcertd_certificate_status_checked_timestamp_seconds": (
        "When its CA was last heard to say whether it is revoked.",
        lambda one: one.status_checked_at,
    ),
    "nfcertd_certificate_status_unknown": (
        "Whether the last attempt to hear that failed.",
        lambda one: bool(one.status_failure),
    ),
}


def _certificates(shown: tuple[CertificateView, ...]) -> Iterator[Metric]:
    for name, (text, value) in _ABOUT_CERTIFICATES.items():
        rows = [((one.name,), value(one)) for one in shown]
        yield gauge(name, text, ("certificate",), rows)
    orders = CounterMetricFamily(
        "nfcertd_certificate_orders", "Orders, ever.", labels=("certificate", "ca")
    )
    states = StateSetMetricFamily(
        "nfcertd_certificate_state", "Its state in one word.", labels=("certificate",)
    )
    for one in shown:
        orders.add_metric((one.name, one.ca), one.orders)
        states.add_metric([one.name], {s.value: s is one.state for s in State})
    yield orders
    yield states
    yield profiles(shown)


_ABOUT_LISTS: Final[
    Mapping[str, tuple[str, Callable[[TrustView], float | datetime | None]]]
] = {
    "nfcertd_trust_version": (
        "Numbers the sets of roots that were ever trusted.",
        lambda one: one.version,
    ),
    "nfcertd_trust_published": (
        "Whether consumers read the newest version.",
        lambda one: one.version == one.published,
    ),
    "nfcertd_trust_sequence": (
        "Number of the signed list in force; 0 for other sources.",
        lambda one: one.sequence,
    ),
    "nfcertd_trust_roots": ("Roots that are trusted.", lambda one: one.count),
    "nfcertd_trust_pending_removals": (
        "Roots that are missing from the source, or in their overlap.",
        lambda one: one.pending,
    ),
    "nfcertd_trust_failures": (
        "Fetches in a row that brought nothing.",
        lambda one: one.failures,
    ),
    "nfcertd_trust_fetched_timestamp_seconds": (
        "When the source was last heard.",
        lambda one: one.fetched_at,
    ),
    "nfcertd_trust_next_fetch_timestamp_seconds": (
        "When the source is asked next.",
        lambda one: one.fetch_at,
    ),
    "nfcertd_trust_expires_timestamp_seconds": (
        "When the signed list in force ends.",
        lambda one: one.expires,
    ),
}


def _lists(shown: tuple[TrustView, ...]) -> Iterator[Metric]:
    for name, (text, value) in _ABOUT_LISTS.items():
        rows = [((one.name, one.source), value(one)) for one in shown]
        yield gauge(name, text, ("trust", "source"), rows)


def _endpoints(shown: tuple[CertificateView, ...]) -> Iterator[Metric]:
    labels = ("certificate", "endpoint")
    # Of one that leaves nobody expects that it serves: no series, hence no alert.
    staying = [one for one in shown if one.state not in _LEAVING]
    pairs = [((one.name, e.name), e) for one in staying for e in one.endpoints]
    yield gauge(
        "nfcertd_endpoint_deployed",
        "Whether the endpoint was proven to use the newest certificate.",
        labels,
        [(key, endpoint.deployed) for key, endpoint in pairs],
    )
    yield gauge(
        "nfcertd_endpoint_proven_timestamp_seconds",
        "When it was last proven what the endpoint uses.",
        labels,
        [(key, endpoint.proven_at) for key, endpoint in pairs],
    )
    yield gauge(
        "nfcertd_endpoint_issued_to_served_seconds",
        "From the issuance to the proof that it is served.",
        labels,
        [(key, endpoint.issued_to_served) for key, endpoint in pairs],
    )


def _jobs(shown: tuple[CertificateView, ...]) -> Iterator[Metric]:
    labels = ("certificate", "job", "endpoint")
    family = StateSetMetricFamily(
        "nfcertd_job_phase", "How far a job has come.", labels=labels
    )
    failures: dict[tuple[str, str, str], float] = {}
    phases: dict[tuple[str, str, str], set[str]] = {}
    for one in shown:
        for job in one.jobs:
            kind, _, about = job.slot.partition(" ")
            # The id of a key to retire must not become a label: ids never end.
            key = (one.name, kind, about if kind in _BY_ENDPOINT else "")
            phases.setdefault(key, set()).add(job.phase)
            failures[key] = max(failures.get(key, 0), job.failures)
    for key, reached in phases.items():
        known = PHASES.get(key[1], ())
        family.add_metric(list(key), {phase: phase in reached for phase in known})
    yield family
    yield gauge(
        "nfcertd_job_failures",
        "Failed attempts in a row.",
        labels,
        failures.items(),
    )
