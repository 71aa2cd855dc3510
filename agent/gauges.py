"""Gauges for Prometheus, and those of CAs; `agent.metrics` renders them.

Importing it loads prometheus_client.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from agent.shapes import CaView

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
