"""Views of a small fleet, for those who render them."""

from datetime import UTC, datetime, timedelta

from agent.records.job import Disposition, Failure, Severity
from agent.shapes import (
    AccountView,
    AlarmView,
    AuditView,
    CaView,
    CertificateView,
    ConfigView,
    EndpointView,
    JobView,
    LimitView,
    PlanView,
    State,
    StatusView,
    TokenView,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""The instant of every view."""

FAILURE = Failure(
    kind="acme:rateLimited",
    message="rateLimited: too many orders",
    at=NOW,
    disposition=Disposition.WAIT_UNTIL,
)
"""Why an order failed."""


def endpoint(name: str = "", *, deployed: bool = True) -> EndpointView:
    """Return an endpoint that serves the newest publication, or not yet."""
    return EndpointView(
        name=name,
        live=2,
        proven=2 if deployed else 1,
        proven_at=NOW - timedelta(days=1),
        by="wire",
        deployed=deployed,
        addresses={"192.0.2.4:443": "served"},
        issued_to_served=0.75 if deployed else None,
    )


def job(slot: str, phase: str, failure: Failure | None = None) -> JobView:
    """Return a job that waits for an hour."""
    return JobView(
        slot=slot,
        phase=phase,
        reason="due",
        next="wait",
        at=NOW + timedelta(hours=1),
        failures=0 if failure is None else 3,
        failure=failure,
        running=False,
        crashes=0,
    )


def deployed(name: str = "amf1-sbi") -> CertificateView:
    """Return a certificate that is as it should be."""
    return CertificateView(
        name=name,
        names=(f"{name}.example",),
        ca="operator",
        state=State.DEPLOYED,
        issued=True,
        deployed=True,
        serial="03:af",
        fingerprint="ab" * 32,
        not_before=NOW - timedelta(days=30),
        not_after=NOW + timedelta(days=60),
        renew_at=NOW + timedelta(days=30),
        rule="two thirds of its life",
        publication=2,
        orders=2,
        endpoints=(endpoint(),),
        jobs=(),
        plan=PlanView(
            next="renew", at=NOW + timedelta(days=30), rule="two thirds of its life"
        ),
        held=False,
    )


def missing(name: str = "smf1") -> CertificateView:
    """Return a certificate that could not be had yet."""
    return CertificateView(
        name=name,
        names=(f"{name}.example",),
        ca="operator",
        state=State.MISSING,
        issued=False,
        deployed=False,
        serial="",
        fingerprint="",
        not_before=None,
        not_after=None,
        renew_at=None,
        rule="",
        publication=0,
        orders=3,
        endpoints=(endpoint("edge", deployed=False),),
        jobs=(job("issue", "answering", FAILURE), job("retire 0a0b", "condemned")),
        plan=PlanView(
            next="issue: wait", at=NOW + timedelta(hours=1), rule="after 3 failures"
        ),
        held=False,
    )


def alarm() -> AlarmView:
    """Return an alarm that a person must look at."""
    return AlarmView(
        id="issue-failing",
        subject="smf1",
        severity=Severity.MAJOR,
        cause="no certificate since 2 h",
        action="look at the ca",
        raised=NOW - timedelta(hours=2),
    )


def limit() -> LimitView:
    """Return a limit that an account has met."""
    return LimitView(
        account="operator", until=NOW + timedelta(hours=1), message="too many orders"
    )


def ca(*, sick: bool) -> CaView:
    """Return a CA that works, or one that does not and that limits an account."""
    return CaView(
        name="operator",
        up=not sick,
        failures=5 if sick else 0,
        reason="no answer" if sick else "",
        not_before=NOW + timedelta(minutes=5) if sick else None,
        limits=(limit(),) if sick else (),
    )


def _account() -> AccountView:
    return AccountView(
        name="operator",
        ca="operator",
        url="https://ca/1",
        valid=True,
        failure=None,
        state="valid",
        key=f"{99:032x}",
        key_store="hsm",
        key_created=NOW - timedelta(days=30),
        contact=("mailto:pki@operator.example",),
        roll_at=NOW + timedelta(days=60),
        jobs=(),
    )


def status(*certificates: CertificateView, sick: bool = False) -> StatusView:
    """Return a view of these certificates, with a token and an alarm if `sick`."""
    return StatusView(
        version="0.1.0",
        install="0123456789abcdef",
        started=NOW - timedelta(hours=5),
        now=NOW,
        config=ConfigView(
            loaded_at=NOW - timedelta(hours=5),
            reload_ok=not sick,
            reload_at=NOW - timedelta(hours=1) if sick else None,
            problems=("certificate.x: no such ca",) if sick else (),
        ),
        certificates=certificates,
        cas=(ca(sick=sick),),
        accounts=(_account(),),
        tokens=(
            TokenView(
                name="hsm",
                up=not sick,
                reason="no token matches" if sick else "",
                serial="1234",
                pin="accepted",
            ),
        ),
        alarms=(alarm(),) if sick else (),
        audit=AuditView(enabled=True, entries=17, checkpoint_at=NOW, broken_since=None),
    )
