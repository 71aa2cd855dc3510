"""The metrics say what the view says, in two formats, within bounds."""

import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open,
)
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from agent.counters import MAX_SERIES, OTHER, Counters
from agent.metrics import OPEN_METRICS, PLAIN, accepts_open_metrics, render
from agent.shapes import StatusView
from tests.fakes.views import NOW, deployed, missing, status

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def fleet() -> StatusView:
    """Return a view with something well and something sick."""
    return status(deployed(), missing(), sick=True)


@pytest.fixture
def counters() -> Counters:
    """Return counters that heard of a few requests."""
    counted = Counters()
    counted.request("operator", "newOrder", 201, 0.5)
    counted.request("operator", "newOrder", 429, 0.25)
    counted.request("operator", "directory", 0, 30)
    counted.error("operator", "acme:rateLimited")
    return counted


def samples(view: StatusView, counters: Counters, accept: str = "") -> dict[str, float]:
    """Return every series by its text, as a scraper parses it."""
    _, body = render(view, counters, accept)
    parse = parse_open if accept else parse_plain
    found = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


@pytest.mark.parametrize("accept", ["", PROMETHEUS_2])
def test_both_formats_say_the_same(
    fleet: StatusView, counters: Counters, accept: str
) -> None:
    """Instants are instants, issued is not deployed, states are sets."""
    found = samples(fleet, counters, accept)
    state = "nfcertd_certificate_state"
    ends = "nfcertd_certificate_not_after_timestamp_seconds"
    expected = {
        "nfcertd_build_info{version=0.1.0}": 1,
        f"{ends}{{certificate=amf1-sbi}}": NOW.timestamp() + 60 * 86400,
        "nfcertd_certificate_issued{certificate=amf1-sbi}": 1,
        "nfcertd_certificate_issued{certificate=smf1}": 0,
        "nfcertd_endpoint_deployed{certificate=amf1-sbi,endpoint=}": 1,
        "nfcertd_endpoint_deployed{certificate=smf1,endpoint=edge}": 0,
        "nfcertd_token_up{token=hsm}": 0,
        "nfcertd_account_valid{account=operator,ca=operator}": 1,
        "nfcertd_alarms{severity=major}": 1,
        "nfcertd_alarms{severity=critical}": 0,
        "nfcertd_config_last_reload_success{}": 0,
        "nfcertd_acme_requests_total{ca=operator,code=2xx,resource=newOrder}": 1,
        "nfcertd_acme_requests_total{ca=operator,code=none,resource=directory}": 1,
        "nfcertd_acme_errors_total{ca=operator,type=rateLimited}": 1,
        "nfcertd_acme_request_duration_seconds_sum{ca=operator}": 30.75,
        f"{state}{{certificate=smf1,{state}=missing}}": 1,
        f"{state}{{certificate=smf1,{state}=held}}": 0,
        "nfcertd_job_failures{certificate=smf1,endpoint=,job=issue}": 3,
        "nfcertd_job_phase{certificate=smf1,endpoint=,job=issue,"
        "nfcertd_job_phase=answering}": 1,
        "nfcertd_job_phase{certificate=smf1,endpoint=,job=issue,"
        "nfcertd_job_phase=downloading}": 0,
    }
    assert expected.items() <= found.items()


def test_what_is_not_known_has_no_series(fleet: StatusView, counters: Counters) -> None:
    """A certificate that does not exist has no end; zero would be 1970."""
    assert not any(
        "timestamp" in name and "smf1" in name and "proven" not in name
        for name in samples(fleet, counters)
    )


def test_a_key_to_retire_is_no_label(fleet: StatusView, counters: Counters) -> None:
    """Ids, serials and urls never become labels."""
    assert not any(
        secret in name
        for name in samples(fleet, counters)
        for secret in ("0a0b", "03:af", "https://", "too many orders")
    )


@pytest.mark.parametrize(
    ("accept", "open_metrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", False),
        ("APPLICATION/OpenMetrics-Text;Q=0.5", True),
        ("application/openmetrics-text;q=banana", False),
        (";;;===,,," * 1000, False),
    ],
)
def test_the_accept_field_decides(accept: str, *, open_metrics: bool) -> None:
    """RFC 9110 section 12.5.1; plain text is the answer to the rest."""
    assert accepts_open_metrics(accept) is open_metrics


def test_the_content_type_names_the_version(
    fleet: StatusView, counters: Counters
) -> None:
    """Prometheus 3 refuses a missing or unknown content type."""
    assert render(fleet, counters, "")[0] == PLAIN
    kind, body = render(fleet, counters, PROMETHEUS_3)
    assert kind == OPEN_METRICS
    assert body.endswith(b"# EOF\n")


def test_a_counter_has_a_bounded_number_of_series() -> None:
    """What a CA invents ends in one common series; nothing is lost from the sum."""
    counters = Counters()
    for number in range(MAX_SERIES * 2):
        counters.count("c", ca=f"ca{number}")
    series = counters.series("c")
    assert len(series) == MAX_SERIES + 1
    assert series[(("ca", OTHER),)] == MAX_SERIES
    assert sum(series.values()) == MAX_SERIES * 2


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("acme:badCSR", "badCSR"),
        ("acme:https://evil.example/x", OTHER),
        ("acme:invented", OTHER),
        ("transport", "transport"),
        ("x" * 100, OTHER),
    ],
)
def test_error_types_are_a_closed_set(kind: str, label: str) -> None:
    """A type that a CA invents is not a label of its own."""
    counters = Counters()
    counters.error("operator", kind)
    assert list(counters.series("nfcertd_acme_errors")) == [
        (("ca", "operator"), ("type", label))
    ]


def test_names_and_texts_pass_the_linter(fleet: StatusView, counters: Counters) -> None:
    """`promtool check metrics` has nothing to say, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=render(fleet, counters, "")[1],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
