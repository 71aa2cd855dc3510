"""The daemon says of itself what is so: health, readiness, alarms, one line."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent import __version__
from agent.jobs.register import begin
from agent.jobs.step import Moment
from agent.keys.ports import TokenStatus
from agent.manager import OVERDUE
from agent.records.authority import CaRecord, Limit
from agent.records.certificate import CertificateRecord, EndpointRecord, IssueJob
from agent.records.codec import Record
from agent.records.job import Alarm, Disposition, Failure, Severity
from agent.records.keys import PinRecord, PinStatus
from agent.records.others import AccountRecord, TokenRecord
from agent.records.phases import KeyMade
from tests.fakes.clock import START
from tests.fakes.patient import Patient
from tests.fakes.subjects import LIFE, account, config, deployed, token_table

UP = TokenStatus(up=True, reason="", hung_since=None, serial="1234")
DOWN = TokenStatus(up=False, reason="no token matches", hung_since=None, serial="")


def served(name: str = "web") -> CertificateRecord:
    """Return a certificate whose publication is deployed."""
    proven = EndpointRecord(live=1, proven=1, by="wire")
    return replace(deployed(name), endpoints={"": proven})


def unregistered() -> AccountRecord:
    """Return an account whose registration has failed for good."""
    record = begin(account(url=""), None, Moment(now=START, draw=0.5, token="0" * 32))
    failure = Failure(
        kind="acme:unauthorized",
        message="the ca refused",
        hint="ask",
        at=START,
        disposition=Disposition.NEEDS_OPERATOR,
    )
    assert record.register is not None
    return replace(record, register=replace(record.register, failure=failure))


def alarmed(severity: Severity) -> CertificateRecord:
    """Return a deployed certificate with an alarm."""
    alarm = Alarm(severity=severity, cause="it fails", action="look", raised=START)
    return replace(served(), alarms={"issue-failing": alarm})


def test_a_daemon_that_is_well_is_ready() -> None:
    """Everything deployed, tokens up, accounts valid: no line at all."""
    patient = Patient(served(), account())
    patient.tokens["hsm"] = UP
    assert patient.reasons == ()
    assert patient.vitals.healthz().ok


@pytest.mark.parametrize(
    ("records", "reasons"),
    [
        ((account(),), ("certificate web is missing",)),
        ((deployed(), account()), ("certificate web is deploying",)),
        (
            (served(), unregistered()),
            (
                "account test is not valid",
                "alarm test register-failing: the ca refused",
            ),
        ),
        (
            (alarmed(Severity.MAJOR), account()),
            ("alarm web issue-failing: it fails",),
        ),
        ((alarmed(Severity.WARNING), account()), ()),
        ((replace(served(), held=True), account()), ()),
        ((replace(deployed(), held=True), account()), ("certificate web is held",)),
        ((served(), served("removed"), account()), ()),
        (
            (served(), replace(alarmed(Severity.CRITICAL), name="removed"), account()),
            (),
        ),
    ],
)
def test_readiness_names_every_reason(
    records: tuple[Record, ...], reasons: tuple[str, ...]
) -> None:
    """What was removed from the configuration is no reason, nor is a mere warning."""
    assert Patient(*records).reasons == reasons


def test_a_token_that_is_down_is_a_reason() -> None:
    """With the words of its last contact."""
    patient = Patient(served(), account())
    patient.tokens["hsm"] = DOWN
    assert patient.reasons == ("token hsm: no token matches",)


def test_a_certificate_that_ended_is_a_reason() -> None:
    """Deployed or not."""
    patient = Patient(served(), account())
    patient.clock.advance(LIFE)
    assert patient.reasons == ("certificate web is expired",)


def test_what_the_daemon_itself_suffers_is_an_alarm() -> None:
    """A full disk, a clock that is not believed, a record that cannot be read."""
    patient = Patient(served(), account())
    patient.manager.store_failure = "cannot write the record: no space left"
    patient.manager.clock_held = True
    patient.cells.quarantined["certificate x"] = "the record is corrupt"
    view = patient.vitals.status()
    assert {(a.subject, a.id) for a in view.alarms} == {
        ("nfcertd", "state"),
        ("nfcertd", "clock"),
        ("certificate x", "record-quarantined"),
    }
    assert {a.severity for a in view.alarms} == {Severity.CRITICAL}
    assert len(patient.reasons) == 3
    assert patient.vitals.healthz().ok


def test_a_signer_that_left_is_a_warning_and_no_reason() -> None:
    """What it signed stays in force; only who looks at alarms hears of it."""
    patient = Patient(served(), account())
    patient.loading.loaded = patient.loading.loaded._replace(unsigned="nobody signs")
    [alarm] = patient.vitals.status().alarms
    assert (alarm.subject, alarm.id) == ("nfcertd", "bootstrap-signer")
    assert (alarm.severity, alarm.cause) == (Severity.WARNING, "nobody signs")
    assert patient.reasons == ()


@pytest.mark.parametrize(
    ("status", "alarm"),
    [
        (PinStatus.REFUSED, ["pin-refused"]),
        (PinStatus.LOCKED, ["pin-locked"]),
        (PinStatus.ACCEPTED, []),
    ],
)
def test_a_pin_that_needs_somebody_is_an_alarm(
    status: PinStatus, alarm: list[str]
) -> None:
    """Only of a token that is configured."""
    record = TokenRecord(name="hsm", pin=PinRecord(status=status))
    known = Patient(record, table=config(token={"hsm": token_table()}))
    known.tokens["hsm"] = UP
    view = known.vitals.status()
    assert [a.id for a in view.alarms] == alarm
    assert [(t.name, t.pin, t.serial) for t in view.tokens] == [("hsm", status, "1234")]
    assert Patient(record, table=config()).vitals.status().alarms == ()


def test_health_is_the_scheduler_and_nothing_else() -> None:
    """A due job that nobody starts is the only thing that is not healthy."""
    patient = Patient()
    assert patient.vitals.healthz().ok
    patient.clock.advance(OVERDUE + timedelta(seconds=1))
    verdict = patient.vitals.healthz()
    assert not verdict.ok
    assert verdict.lines == ("a due job has not been started",)


@pytest.mark.parametrize(
    ("records", "line"),
    [
        ((), "0 of 1 certificates deployed"),
        (
            (served(),),
            "1 of 1 certificates deployed; earliest end 2026-04-01 00:00Z",
        ),
        (
            (alarmed(Severity.WARNING),),
            "1 of 1 certificates deployed; earliest end 2026-04-01 00:00Z; 1 alarms",
        ),
    ],
)
def test_one_line_for_systemctl(records: tuple[Record, ...], line: str) -> None:
    """Counts, the earliest end, and what needs somebody."""
    assert Patient(*records).vitals.summary() == line


def test_a_refused_configuration_is_in_the_line() -> None:
    """The daemon goes on with the old one, and does not hide it."""
    patient = Patient(served())
    patient.loading.problems = ("certificate.x: no such ca",)
    assert patient.vitals.summary().endswith(
        "new configuration refused, see nfcertd status"
    )
    assert not patient.vitals.status().config.reload_ok


def test_the_view_has_every_certificate() -> None:
    """Configured ones before their first record, and those that were removed."""
    patient = Patient(served("removed"), table=config("new"))
    view = patient.vitals.status()
    assert [(c.name, c.state) for c in view.certificates] == [
        ("new", "missing"),
        ("removed", "unmanaged"),
    ]
    assert (view.version, view.install) == (__version__, "0" * 16)
    assert list(patient.cells.certificates) == ["removed"]


def test_a_record_in_quarantine_is_not_shown_as_missing() -> None:
    """Its alarm says what is the matter."""
    patient = Patient()
    patient.cells.quarantined["certificate web"] = "the record is corrupt"
    assert patient.vitals.status().certificates == ()


def test_accounts_that_are_not_configured_are_not_shown() -> None:
    """Their keys are, for nothing is destroyed."""
    patient = Patient(replace(account(), name="removed"))
    assert patient.vitals.status().accounts == ()
    keys = patient.vitals.keys()
    assert [(k.subject, k.use) for k in keys] == [("removed", "account")]


def test_keys_say_what_they_are_for() -> None:
    """Those of certificates first, then those of accounts."""
    job = IssueJob(id="j", phase=KeyMade(key=f"{2:032x}"), reason="due", created=START)
    record = served()
    second = replace(record.keys[0], id=f"{2:032x}", number=2)
    record = replace(record, keys=(*record.keys, second), issue=job)
    keys = Patient(record, account()).vitals.keys()
    assert [(k.use, k.referenced) for k in keys] == [
        ("certificate", True),
        ("next or previous certificate", True),
        ("account", True),
    ]


def test_a_scrape_has_a_content_type_and_a_body() -> None:
    """Whatever is accepted."""
    kind, body = Patient(served()).vitals.metrics("")
    assert kind.startswith("text/plain")
    assert b"nfcertd_" in body


def test_a_ca_that_does_not_work_is_a_reason() -> None:
    """And shown with what it said; a limit and a clock are only warnings."""
    url = "https://test.example/directory"
    failure = Failure(
        kind="transport",
        message="no answer",
        at=START,
        disposition=Disposition.BACK_OFF,
    )
    limit = Limit(until=START + timedelta(hours=1), failure=failure)
    sick = CaRecord(
        name="test", directory=url, failures=5, failure=failure, limits={"test": limit}
    )
    patient = Patient(served(), account(), sick)
    patient.vitals.counters.skew("test", -90.4)
    assert patient.reasons == ("alarm test ca-down: 5 errors in a row: no answer",)
    status = patient.vitals.status()
    [ca] = status.cas
    assert (ca.up, ca.reason, ca.skew) == (False, "no answer", -90.4)
    assert [one.account for one in ca.limits] == ["test"]
    causes = {alarm.id: alarm.cause for alarm in status.alarms}
    assert causes["ca-clock"] == "its clock is 90 s behind ours"
    assert causes["limit-test"].startswith("no orders before 2026-01-01T01:00:00Z")
    patient.vitals.counters.skew("test", 59.0)
    assert "ca-clock" not in {alarm.id for alarm in patient.vitals.status().alarms}


def test_what_is_remembered_of_another_directory_is_not_shown() -> None:
    """A CA that was exchanged begins anew."""
    old = CaRecord(name="test", directory="https://old.example/dir", failures=9)
    [ca] = Patient(served(), account(), old).vitals.status().cas
    assert ca.up
