"""Counts of what happened since the start; bounded, whatever the world does.

It knows names, labels and numbers. It does not know Prometheus.
"""

from collections.abc import Mapping
from typing import Final

from agent.renewal.disposition import TABLE

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted by name."""

MAX_SERIES: Final = 256
"""Series of one counter; what would be one more is counted as `OTHER`."""

MAX_LABEL: Final = 64
"""Characters of a label's value; a longer one is counted as `OTHER`."""

OTHER: Final = "other"
"""The label value of everything that is not told apart."""

ACME_ERRORS: Final = frozenset(
    kind.removeprefix("acme:") for kind in TABLE if kind.startswith("acme:")
)
"""Problem types that become a label of their own; the set is open, labels are not."""


class Counters:
    """Counters by name and labels.

    Attributes:
        skews: By CA: seconds that its clock is ahead of ours, by its last answer.
    """

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._counts: dict[str, dict[Labels, float]] = {}
        self.skews: dict[str, float] = {}

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to one series of a counter; `name` has no `_total`."""
        series = self._counts.setdefault(name, {})
        key = tuple(sorted((k, _bounded(v)) for k, v in labels.items()))
        if key not in series and len(series) >= MAX_SERIES:
            key = tuple((k, OTHER) for k, _ in key)
        series[key] = series.get(key, 0.0) + by

    def series(self, name: str) -> Mapping[Labels, float]:
        """Return every series of a counter."""
        return self._counts.get(name, {})

    def request(self, ca: str, resource: str, status: int, seconds: float) -> None:
        """Note one ACME request; `status` 0 where no answer came."""
        code = f"{status // 100}xx" if status else "none"
        self.count("nfcertd_acme_requests", ca=ca, resource=resource, code=code)
        self.count("nfcertd_acme_request_duration_seconds_count", ca=ca)
        self.count("nfcertd_acme_request_duration_seconds_sum", seconds, ca=ca)

    def error(self, ca: str, kind: str) -> None:
        """Note one failure of a CA: `acme:<type>` or the kind of an error of ours."""
        token = kind.removeprefix("acme:")
        known = token in ACME_ERRORS or token == kind
        self.count("nfcertd_acme_errors", ca=ca, type=token if known else OTHER)

    def skew(self, ca: str, seconds: float) -> None:
        """Note how far a CA's clock is ahead of ours; CAs are as many as configured."""
        self.skews[ca] = seconds


def _bounded(value: str) -> str:
    return value if len(value) <= MAX_LABEL else OTHER
