"""The end of a network function, part by part: farewells, accounts, words, files."""

import asyncio
import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.cli.render_nfs import consequences, rows
from agent.cli.shapes import DecommissionShape, GoesShape, NfShape
from agent.config.endpoints import Endpoint, Reload, Verify
from agent.config.nf import Nf
from agent.counters import Counters
from agent.jobs import ending, farewell, nf
from agent.jobs.account_changes import begin_deactivation
from agent.jobs.accounts import reconcile_account
from agent.jobs.certificate import next_step
from agent.jobs.context import Context
from agent.jobs.hooks import reconcile as reconcile_hook
from agent.jobs.hooks import request
from agent.jobs.issue.effects import Download, FetchOrder
from agent.jobs.news import Seen
from agent.jobs.reconcile import reconcile
from agent.jobs.step import Do, Failed, Performed, Wait
from agent.metrics import render
from agent.nfviews import narrate_nf, nf_view, waits_of
from agent.publication.directories import Publications
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.deployment import Sight, Sighting
from agent.records.ending import Ended, FarewellStage
from agent.records.hook import HookRecord
from agent.records.job import Disposition
from agent.records.nf import MAX_TOMBSTONES, NfRecord
from agent.records.others import AccountRecord
from agent.records.phases import (
    Answering,
    Downloading,
    Finalizing,
    IssuePhase,
    KeyMade,
    OrderRecord,
    Processing,
)
from agent.records.slots import Slot
from agent.shapes import NfState
from agent.subjects.nfs import Nfs
from agent.views import certificate_view
from tests.fakes.subjects import table
from tests.fakes.views import status as status_of
from tests.vectors.hooks import EVERYTHING
from tests.vectors.records import (
    ACCOUNT,
    NOW,
    account_context,
    certificate_table,
    context,
    enrolled,
    failure,
    issue_job,
    issued,
    key,
    moment,
)

UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
OTHER = "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10"
AMF = Nf(instance_id=UUID, types=("AMF",), fqdn="amf1.example")
TOLD = Endpoint(
    reload=Reload(unit="nginx.service"), verify=Verify(connect="127.0.0.1:443")
)
STOPPED_BY_OTHERS = replace(TOLD, farewell="none")
UNSEEN = Endpoint(reload=Reload(unit="nginx.service"))
ORDER = OrderRecord(url="https://ca/o", finalize="https://ca/f")
SERVED = (Sighting(address="127.0.0.1:443", sight=Sight.SERVED, at=NOW),)


def of(endpoint: Endpoint, *, ends: bool = True) -> Context:
    """Return the context of a certificate of amf1 with one endpoint."""
    given = context(certificate_table(nf="amf1", endpoint=(endpoint,)))
    return dataclasses.replace(given, ends=ends, nf=AMF)


def leaving(endpoint: Endpoint) -> CertificateRecord:
    """Return a certificate in service whose network function begins to end."""
    served = replace(
        enrolled(), endpoints={"": EndpointRecord(live=1, proven=1, proven_at=NOW)}
    )
    return reconcile(served, of(endpoint), moment())


def steps(endpoint: Endpoint, *outcomes: farewell.Outcome) -> list[str]:
    """Return what an endpoint's farewell does; it has these outcomes, one a step."""
    record, about, done = leaving(endpoint), of(endpoint), []
    for outcome in outcomes:
        job = record.farewell.get("")
        if job is None:
            break
        step = farewell.next_step(job, farewell.view_of(record, "", about), NOW)
        done.append(step.effect.name if isinstance(step, Do) else "wait")
        record = farewell.fold(record, "", outcome, about, moment())
    left = record.endpoints[""]
    stage = record.farewell[""].phase.stage if record.farewell else "left"
    assert (left.left_at is not None) == (stage == "left")
    return [*done, stage]


GONE = farewell.LookedAfter((), served=False)
STILL = farewell.LookedAfter(SERVED, served=True)
DOWN = Failed(failure("endpoint.down"))
DENIED = Failed(failure("endpoint.denied"))
OK = Performed()


@pytest.mark.parametrize(
    ("endpoint", "outcomes", "done"),
    [
        (TOLD, (OK, OK, GONE), ["withdraw", "tell", "look-after", "left"]),
        (TOLD, (OK, OK, STILL), ["withdraw", "tell", "look-after", "withdrawn"]),
        (TOLD, (OK, DOWN, GONE), ["withdraw", "tell", "look-after", "left"]),
        (TOLD, (OK, DENIED), ["withdraw", "tell", "withdrawn"]),
        (TOLD, (DENIED,), ["withdraw", "in-service"]),
        (UNSEEN, (OK, OK), ["withdraw", "tell", "left"]),
        (UNSEEN, (OK, DOWN), ["withdraw", "tell", "left"]),
        (STOPPED_BY_OTHERS, (OK, GONE), ["withdraw", "look-after", "left"]),
        (STOPPED_BY_OTHERS, (OK, STILL), ["withdraw", "look-after", "told"]),
        (Endpoint(), (OK,), ["withdraw", "left"]),
    ],
)
def test_a_farewell_step_by_step(
    endpoint: Endpoint, outcomes: tuple[farewell.Outcome, ...], done: list[str]
) -> None:
    """Withdrawn, told where it is to be, looked at where somebody can be asked."""
    assert steps(endpoint, *outcomes) == done


@pytest.mark.parametrize(
    ("endpoint", "disposition"),
    [(TOLD, Disposition.BACK_OFF), (STOPPED_BY_OTHERS, Disposition.WAIT_UNTIL)],
)
def test_who_is_told_and_still_serves_is_a_failure_who_is_stopped_is_awaited(
    endpoint: Endpoint, disposition: Disposition
) -> None:
    """The words name the address, and the way out for an operator."""
    record, about = leaving(endpoint), of(endpoint)
    for outcome in (OK, OK, STILL) if endpoint is TOLD else (OK, STILL):
        record = farewell.fold(record, "", outcome, about, moment())
    known = record.farewell[""].failure
    assert known is not None
    assert known.disposition is disposition
    assert "127.0.0.1:443" in known.message
    assert "nfcertd ack" in known.hint
    step = farewell.next_step(
        record.farewell[""], farewell.view_of(record, "", about), NOW
    )
    assert isinstance(step, Wait)


def test_an_operators_word_ends_a_farewell_but_not_one_that_is_linked() -> None:
    """What `live` points to would be read again at the next start of the endpoint."""
    record = leaving(TOLD)
    assert farewell.acknowledged(record, moment()) == record
    withdrawn = farewell.fold(record, "", OK, of(TOLD), moment())
    assert withdrawn.farewell[""].phase.stage is FarewellStage.WITHDRAWN
    assert farewell.acknowledged(withdrawn, moment()).farewell == {}


def test_an_end_gives_up_what_was_under_way_and_holds_nothing_back() -> None:
    """Also in a hold: no order, no deployment, a revocation, keys that go at once."""
    held = replace(enrolled(), held=True, renew_asked=NOW, issued=(issued(),))
    ordering = reconcile(held, of(TOLD, ends=False), moment())
    after = reconcile(ordering, of(TOLD), moment())
    assert after.issue is None
    assert after.deploy == {}
    assert [job.phase.reason for job in after.revoke.values()] == [ending.REASON]
    assert after.end is not None
    assert reconcile(after, of(TOLD), moment()) == after


@pytest.mark.parametrize(
    ("phase", "intent", "followed"),
    [
        (KeyMade(key="01" * 16), "", False),
        (Answering(key="01" * 16, order=ORDER, authorizations=()), "", False),
        (Finalizing(key="01" * 16, order=ORDER), "", False),
        (Finalizing(key="01" * 16, order=ORDER), "finalize", True),
        (Processing(key="01" * 16, order=ORDER), "", True),
        (Downloading(key="01" * 16, order=ORDER, certificate="https://ca/c"), "", True),
    ],
)
def test_nothing_is_begun_and_what_the_ca_may_issue_is_followed(
    phase: IssuePhase, intent: str, followed: bool
) -> None:
    """A certificate that nobody knows could not be revoked; a hold changes nothing."""
    job = issue_job(phase, intent=intent)
    known = replace(key(2), id="01" * 16)
    ordering = replace(enrolled(), issue=job, keys=(known,), held=True)
    step = next_step(ordering, Slot("issue"), of(TOLD), NOW)
    assert isinstance(step, Wait)
    after = reconcile(ordering, of(TOLD), moment())
    assert (after.issue is not None) is followed
    if followed:
        step = next_step(after, Slot("issue"), of(TOLD), NOW)
        assert isinstance(step, Do)
        assert isinstance(step.effect, FetchOrder | Download)
        assert after.end is not None
        waits = ending.next_step(after, after.end, of(TOLD), NOW)
        assert "comes to its end first" in getattr(waits, "reason", "")


def test_a_network_function_that_is_left_in_place_goes_on() -> None:
    """A certificate whose table names another one meanwhile is no longer given up."""
    begun = leaving(TOLD)
    after = reconcile(begun, of(TOLD, ends=False), moment())
    assert after.end is None
    assert after.farewell == {}


# -- the function itself


def test_tombstones_know_their_instance_in_either_case_and_are_bounded() -> None:
    """An instance that has ended never comes back; the oldest stone gives way."""
    record = NfRecord(name="amf1")
    for number in range(MAX_TOMBSTONES + 1):
        instance = f"{number:08x}-2c69-4f99-92d5-a73a3fe8e23b"
        record = nf.begin(record, instance, ["a"], moment(), keep_account=False)
        assert record.ends(instance.upper())
        assert record.tombstone(instance) is None
        record = nf.ended(record, ["a"], ["x"], moment())
        assert record.ends(instance)
        assert record.ending is None
    assert len(record.tombstones) == MAX_TOMBSTONES
    assert not record.ends("00000000-2c69-4f99-92d5-a73a3fe8e23b")
    assert nf.ended(record, [], [], moment()) is record


def test_what_is_left_of_a_function_is_told_by_certificate() -> None:
    """One that cannot be read, or that ended with another instance, is left."""
    over = CertificateRecord(name="a", ended=Ended(nf="amf1", instance_id=UUID, at=NOW))
    before = replace(over, ended=Ended(nf="amf1", instance_id=OTHER, at=NOW))
    known = {"a": over, "b": None, "c": before, "d": CertificateRecord(name="d")}
    assert nf.left(UUID.upper(), known) == ["b", "c", "d"]


def test_an_account_is_closed_with_its_last_function_and_opened_for_another() -> None:
    """One that was never registered is not registered only to be given up."""
    known = replace(ACCOUNT, url="https://ca.example/a/1")
    closing = nf.closing(known, "amf1", moment())
    assert closing.deactivate is not None
    assert closing.closed_with == "amf1"
    assert nf.closing(closing, "amf1", moment()) is closing
    over = replace(closing, closed="deactivated", closed_at=NOW, deactivate=None)
    idle, busy = account_context(idle=True), account_context()
    assert reconcile_account(over, idle, moment()) == over
    anew = reconcile_account(over, busy, moment())
    assert anew.closed == ""
    assert anew.register is not None
    by_hand = replace(over, closed_with="")
    assert reconcile_account(by_hand, busy, moment()) == by_hand
    fresh = AccountRecord(name="test", directory=busy.directory)
    begun = reconcile_account(fresh, busy, moment())
    assert begun.register is not None
    assert reconcile_account(begun, idle, moment()).register is None
    assert begin_deactivation(known, moment()).closed_with == ""


def test_a_function_without_jobs_is_no_job() -> None:
    """Nobody asks for one: the manager only finds what `jobs` yields."""
    with pytest.raises(LookupError):
        Nfs.work(object.__new__(Nfs), type("Place", (), {"name": "x"})(), moment)


# -- what is shown and told


def test_a_function_is_shown_in_each_of_its_states() -> None:
    """In service, ending with what it waits for, ended."""
    served, about = enrolled(), {"amf1": of(TOLD)}
    record = NfRecord(name="amf1")
    view = nf_view(record, AMF, {"amf1": served}, ())
    assert (view.state, view.asked_at) == (NfState.IN_SERVICE, None)
    asked = nf.begin(record, UUID, ["amf1"], moment(), keep_account=False)
    waits = waits_of(asked, {"amf1": leaving(TOLD)}, about, {}, NOW)
    assert waits == ("certificate amf1: its endpoints are taken out of service first",)
    view = nf_view(asked, AMF, {"amf1": served}, waits)
    assert (view.state, view.waits) == (NfState.DECOMMISSIONING, waits)
    over = replace(served, ended=Ended(nf="amf1", instance_id=UUID, at=NOW))
    closing = replace(ACCOUNT, url="https://ca/1", closed_with="amf1")
    assert waits_of(asked, {"amf1": over}, about, {"t": closing}, NOW) == (
        "account t is given up",
    )
    assert waits_of(asked, {"amf1": None}, about, {}, NOW) == (
        "certificate amf1 cannot be read, or is not configured any more",
    )
    done = nf.ended(asked, ["amf1"], ["t"], moment())
    view = nf_view(done, AMF, {"amf1": over}, ())
    assert (view.state, view.ended_at) == (NfState.DECOMMISSIONED, NOW)
    assert [e.kind for e in narrate_nf(record, asked)] == ["nf.ending"]
    assert [e.kind for e in narrate_nf(asked, done)] == ["nf.decommissioned"]
    assert not [*narrate_nf(done, done)]


def test_a_hook_hears_of_an_end_once() -> None:
    """With the instance, which is what an NRF knows it by."""
    heard = replace(EVERYTHING, on=("decommissioned",))
    over = nf.ended(
        nf.begin(NfRecord(name="amf1"), UUID, [], moment(), keep_account=False),
        [],
        [],
        moment(),
    )
    record = reconcile_hook(HookRecord(name="nrf"), Seen(), heard, moment())
    now = Seen(ended={"amf1": over.tombstones})
    record = reconcile_hook(record, now, heard, moment())
    [event] = record.queue
    assert (event.event, event.nf, event.nf_instance_id) == (
        "decommissioned",
        "amf1",
        UUID,
    )
    assert b'"nf_instance_id"' in request(record, event)
    assert reconcile_hook(record, now, heard, moment()) == record
    others = replace(heard, nfs=("smf1",))
    fresh = reconcile_hook(HookRecord(name="x"), Seen(), others, moment())
    assert not reconcile_hook(fresh, now, others, moment()).queue


def test_a_person_reads_what_goes_and_how_far_it_is() -> None:
    """Serial numbers, keys, endpoints, accounts; a row of the status."""
    answer = DecommissionShape(
        name="amf1",
        instance_id=UUID,
        certificates=(
            GoesShape(name="amf1", revoked=("0a",), keys=1, endpoints=("",)),
        ),
        accounts=("operator",),
    )
    text = "\n".join(consequences(answer))
    for part in (UUID, "cessationOfOperation: 0a", "destroyed: 1", "operator"):
        assert part in text
    shapes = (
        NfShape(name="amf1", types=("AMF",), state="decommissioning", waits=("a", "b")),
        NfShape(name="smf1", state="decommissioned", ended_at=NOW - timedelta(days=2)),
    )
    drawn = [[cell.text for cell in row] for row in rows(shapes, NOW)]
    assert drawn[0] == ["nf amf1", "decommissioning", "AMF; a; b"]
    assert "ended" in drawn[1][2]


def test_nobody_is_alerted_that_a_function_that_leaves_is_not_served() -> None:
    """An endpoint of it has no series; one that stays has."""
    here, gone = of(TOLD, ends=False), of(TOLD)
    over = replace(enrolled(), ended=Ended(nf="amf1", instance_id=UUID, at=NOW))
    for record, about, shown in (
        (enrolled(), here, True),
        (leaving(TOLD), gone, False),
        (over, gone, False),
    ):
        view = certificate_view(record, about, NOW)
        page = render(status_of(view), Counters(), "")[1].decode()
        assert ("nfcertd_endpoint_deployed{" in page) is shown


# -- files


def test_what_is_withdrawn_is_valid_configuration_without_a_key(tmp_path: Path) -> None:
    """Every endpoint has its file there; clearing leaves it, and nothing else."""
    publications = Publications(tmp_path, lambda _: "pkcs11:token=x", lambda _: b"")
    publications.prepare()
    both = table("web", Endpoint(name="a"), Endpoint(name="b"))
    (tmp_path / "certificates/web/1").mkdir(parents=True)

    async def leave() -> None:
        for _ in range(2):
            await publications.withdraw("web", "a", both)
            await publications.clear("web")

    asyncio.run(leave())
    live = tmp_path / "live/web@a"
    assert live.resolve() == tmp_path / "certificates/web/farewell"
    assert sorted(path.name for path in live.iterdir()) == [
        "nginx@a.conf",
        "nginx@b.conf",
    ]
    text = (live / "nginx@a.conf").read_text()
    assert text.splitlines()[1:] == ["ssl_reject_handshake on;"]
    assert [p.name for p in (tmp_path / "certificates/web").iterdir()] == ["farewell"]
