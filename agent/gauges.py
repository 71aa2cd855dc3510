"""Gauges for Prometheus, of CAs, accounts and profiles; `agent.metrics` renders them.

Importing it loads prometheus_client.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from agent.sba.findings import Level
from agent.shapes import (
    AccountView,
    BootstrapView,
    CaView,
    CertificateView,
    HookView,
    NfState,
    NfView,
)

Rows = Iterable[tuple[tuple[str, ...], float | bool | datetime | None]]
"""Label values and a value each; None leaves the series out."""


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """Return a family; rows without a value have no series, instants are seconds."""
    unit = "seconds" if name.endswith("_seconds") else ""
    family = GaugeMetricFamily(name, text, labels=labels, unit=unit)
    for values, value in rows:
        if value is not None:
            number = value.timestamp() if isinstance(value, datetime) else float(value)
            family.add_metric(values, number)
    return family


def cas(shown: tuple[CaView, ...]) -> Iterator[Metric]:
    """Yield whether CAs work, and what they ask for."""
    yield gauge(
        "nfcertd_ca_up",
        "Whether the CA works, as far as the last requests have shown.",
        ("ca",),
        [((ca.name,), ca.up) for ca in shown],
    )
    yield gauge(
        "nfcertd_ca_not_before_timestamp_seconds",
        "When the CA is asked again; no series where it may be asked now.",
        ("ca",),
        [((ca.name,), ca.not_before) for ca in shown],
    )
    yield gauge(
        "nfcertd_account_limited_timestamp_seconds",
        "Until when an account orders nothing, because the CA has limited it.",
        ("account", "ca"),
        [((x.account, ca.name), x.until) for ca in shown for x in ca.limits],
    )


def clocks(shown: tuple[CaView, ...]) -> Iterator[Metric]:
    """Yield how far the clocks of CAs are from ours."""
    yield gauge(
        "nfcertd_ca_clock_skew_seconds",
        "How far the CA's clock was ahead of ours at its last answer.",
        ("ca",),
        [((ca.name,), ca.skew) for ca in shown],
    )


def hooks(shown: tuple[HookView, ...]) -> Iterator[Metric]:
    """Yield what waits for hooks, and what became of the rest."""
    values: dict[str, tuple[str, Callable[[HookView], float | datetime | None]]] = {
        "nfcertd_hook_queued": (
            "Events that wait for the hook.",
            lambda one: one.queued,
        ),
        "nfcertd_hook_failures": (
            "Runs in a row that failed.",
            lambda one: one.failures,
        ),
        "nfcertd_hook_oldest_timestamp_seconds": (
            "When the first event that waits was noticed.",
            lambda one: one.oldest,
        ),
        "nfcertd_hook_delivered_timestamp_seconds": (
            "When the hook took an event.",
            lambda one: one.delivered_at,
        ),
    }
    for name, (text, value) in values.items():
        rows = [((one.name,), value(one)) for one in shown]
        yield gauge(name, text, ("hook",), rows)
    delivered = CounterMetricFamily(
        "nfcertd_hook_delivered_total",
        "Events that the hook took, ever.",
        labels=("hook",),
    )
    dropped = CounterMetricFamily(
        "nfcertd_hook_dropped_total",
        "Events that were given up, ever.",
        labels=("hook",),
    )
    for one in shown:
        delivered.add_metric((one.name,), one.delivered)
        dropped.add_metric((one.name,), one.dropped)
    yield delivered
    yield dropped


def series(shown: tuple[CertificateView, ...]) -> Iterator[Metric]:
    """Yield what is told of series that a CA renews by itself; one a certificate.

    One that is being cancelled brings nothing more, whenever it would have ended.
    """
    going = [(one, [s for s in one.series if s.state == "open"]) for one in shown]
    newest = [(one, there[-1]) for one, there in going if there]
    yield gauge(
        "nfcertd_series_end_timestamp_seconds",
        "Until when the CA renews the certificate by itself (RFC 8739).",
        ("certificate",),
        [((one.name,), last.end) for one, last in newest],
    )
    yield gauge(
        "nfcertd_series_fetch_timestamp_seconds",
        "When the next certificate of the series is fetched.",
        ("certificate",),
        [((one.name,), last.fetch_at) for one, last in newest],
    )
    yield gauge(
        "nfcertd_series_failures",
        "Looks for the next certificate of the series that failed, in a row.",
        ("certificate",),
        [((one.name,), last.failures) for one, last in newest],
    )


def nfs(shown: tuple[NfView, ...]) -> Iterator[Metric]:
    """Yield the state of each network function, and since when it ends."""
    yield gauge(
        "nfcertd_nf_state",
        "Whether the network function is in this state.",
        ("nf", "state"),
        [((one.name, s), one.state is s) for one in shown for s in NfState],
    )
    yield gauge(
        "nfcertd_nf_decommission_asked_timestamp_seconds",
        "When an operator asked for the end of the network function.",
        ("nf",),
        [((one.name,), one.asked_at) for one in shown],
    )


def accounts(shown: tuple[AccountView, ...]) -> Iterator[Metric]:
    """Yield what is told of accounts."""
    labels = ("account", "ca")
    instants = (
        ("key_created", "When the account key in force was chosen."),
        ("roll_at", "When the account key is old enough to be replaced."),
    )
    for field, text in instants:
        rows = [((one.name, one.ca), getattr(one, field)) for one in shown]
        yield gauge(f"nfcertd_account_{field}_timestamp_seconds", text, labels, rows)
    failures: dict[tuple[str, ...], float] = {}
    for one in shown:
        for job in one.jobs:
            # The id of a key to retire must not become a label: ids never end.
            key = (one.name, one.ca, job.slot.partition(" ")[0])
            failures[key] = max(failures.get(key, 0), job.failures)
    name, text = "nfcertd_account_job_failures", "Failed attempts in a row."
    yield gauge(name, text, (*labels, "job"), failures.items())


def bootstrap(view: BootstrapView | None) -> Iterator[Metric]:
    """Yield which bootstrap bundle is in force, and what waits for one."""
    one = [] if view is None else [view]
    yield gauge(
        "nfcertd_bootstrap_sequence",
        "Number of the bootstrap bundle in force, 0 before the first.",
        (),
        [((), view.sequence) for view in one],
    )
    yield gauge(
        "nfcertd_bootstrap_waiting_certificates",
        "Certificates that wait for the bootstrap bundle.",
        (),
        [((), len(view.waiting)) for view in one],
    )


def profiles(shown: tuple[CertificateView, ...]) -> Metric:
    """Return how far certificates differ from their profile."""
    return gauge(
        "nfcertd_certificate_profile_findings",
        "Rules of its profile that the newest certificate, used or refused, breaks.",
        ("certificate", "level"),
        [row for one in shown for row in _findings(one)],
    )


def _findings(one: CertificateView) -> Rows:
    found = one.findings if one.refused is None else one.refused.findings
    for level in (Level.ERROR, Level.WARN):
        yield (one.name, level.value), sum(f.level is level for f in found)
