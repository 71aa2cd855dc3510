"""An end under faults: what is shared, what cannot be read, what was cut short."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.config.nf import Nf
from agent.jobs import nf
from agent.jobs.accounts import reconcile_account
from agent.jobs.reconcile import reconcile
from agent.jobs.step import Moment
from agent.publication.directories import Publications
from agent.publication.snippets import rejecting
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.ending import Ended, Ending, FarewellStage
from agent.records.nf import NfRecord
from agent.records.phases import Processing, Stage
from tests.fakes.clock import START
from tests.fakes.subjects import config, deployed, table
from tests.unit.test_commands import Office
from tests.unit.test_commands_ending import leaving as ending_record
from tests.unit.test_decommission import ORDER, TOLD, leaving, of
from tests.unit.test_star import with_series
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    NOW,
    account_context,
    deploy_job,
    enrolled,
    issue_job,
    issued,
    key,
    moment,
)

UUIDS = {
    "web": "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b",
    "other": "0b8a9c76-52d1-4c0e-8a3f-6f2f1d3c9b10",
}
ANOTHER = "5d1f3f0e-7a5b-4c6d-9e8f-001122334455"


def over(name: str, instance_id: str = "") -> CertificateRecord:
    """Return a certificate of which nothing is left."""
    ended = Ended(nf=name, instance_id=instance_id or UUIDS[name], at=START)
    return CertificateRecord(name=name, ended=ended)


def office_of(*records: CertificateRecord, asked: tuple[str, ...] = ()) -> Office:
    """Return a daemon with two functions that share an account; some are to end."""
    office, made = Office(*records), config("web", "other")
    made = replace(
        made,
        nf={n: Nf(instance_id=u, types=("AMF",)) for n, u in UUIDS.items()},
        certificate={n: replace(c, nf=n) for n, c in made.certificate.items()},
    )
    office.manager.configure(made, "0" * 16)
    at = Moment(now=START, draw=0.0, token="5" * 32)
    for name in asked:
        cell = office.cells.nf(name)
        assert cell is not None
        cell.change(
            lambda r, n=name: nf.begin(r, UUIDS[n], [n], at, keep_account=False)  # type: ignore[misc]  # a default binds the loop's value
        )
    return office


def test_a_shared_account_stays_until_the_last_certificate_of_it_has_ended() -> None:
    """One that still ends may need it to revoke what it has."""
    ends = replace(ending_record(FarewellStage.TOLD), name="other")
    for records, free in (
        ((over("web"), ends), frozenset()),
        ((over("web"), over("other")), frozenset({"test"})),
    ):
        contexts = office_of(*records, asked=("web", "other")).manager._contexts  # noqa: SLF001 -- what the subjects share
        assert contexts.idle_accounts() == {"test"}
        assert contexts.free_accounts() == free


@pytest.mark.parametrize(("instance", "ends"), [("", True), (ANOTHER, False)])
def test_what_has_ended_is_not_enrolled_again_where_its_function_cannot_be_read(
    instance: str, ends: bool
) -> None:
    """The certificate says itself with which instance it ended."""
    office = office_of(over("web", instance))
    assert office.manager.ends("web") is ends
    assert not office.manager.ends("other")


def test_what_nobody_revokes_goes_with_its_end_although_it_is_the_newest() -> None:
    """A CA that never answers keeps no end from its end."""
    record = replace(leaving(TOLD), issued=(issued(),))
    record = reconcile(record, of(TOLD), moment())
    assert record.revoke
    late = reconcile(record, of(TOLD), moment(issued().not_after + timedelta(1)))
    assert (late.revoke, late.issued) == ({}, ())


def test_a_series_that_is_over_is_not_waited_for() -> None:
    """Nobody has to cancel it any more."""
    record = reconcile(with_series(), of(TOLD), moment())
    assert record.series
    [job] = record.series.values()
    after = reconcile(record, of(TOLD), moment(job.phase.series.terms.end))
    assert after.series == {}


@pytest.mark.parametrize(("intent", "farewells"), [("swap", 1), ("publish", 0)])
def test_a_swap_that_was_cut_short_may_have_been(intent: str, farewells: int) -> None:
    """Its link would point to what is removed, and only it knows."""
    job = replace(deploy_job(Stage.BASELINED, 1), intent=intent)
    record = replace(enrolled(), endpoints={"": EndpointRecord()}, deploy={"": job})
    after = reconcile(record, of(TOLD), moment())
    assert after.deploy == {}
    assert len(after.farewell) == farewells


def test_an_order_of_an_account_that_is_closed_is_not_followed() -> None:
    """It could not sign a request any more."""
    known = replace(key(2), id="01" * 16)
    job = issue_job(Processing(key=known.id, order=ORDER))
    record, about = replace(enrolled(), issue=job, keys=(known,)), of(TOLD)
    assert reconcile(record, about, moment()).issue is not None
    closed = replace(ACCOUNT, closed="deactivated", closed_at=NOW)
    about = dataclasses.replace(about, account=closed)
    assert reconcile(record, about, moment()).issue is None


async def test_a_snippet_that_a_full_disk_has_left_is_written_anew(
    tmp_path: Path,
) -> None:
    """An empty one would be no valid configuration."""
    publications = Publications(tmp_path, lambda _: "", lambda _: b"")
    publications.prepare()
    await publications.withdraw("web", "", table())
    snippet = tmp_path / "live" / "web" / "nginx.conf"
    snippet.write_bytes(b"")
    await publications.withdraw("web", "", table())
    assert snippet.read_bytes() == rejecting()


def test_asked_again_nothing_is_taken_back_from_what_is_to_end() -> None:
    """Only what becomes of the account changes."""
    record = nf.begin(
        NfRecord(name="amf1"), UUIDS["web"], ["a", "b"], moment(), keep_account=False
    )
    later = moment(NOW + DAY)
    again = nf.begin(record, UUIDS["web"], ["b", "c"], later, keep_account=True)
    assert again.ending is not None
    assert again.ending.certificates == ("a", "b", "c")
    assert (again.ending.asked_at, again.ending.keep_account) == (NOW, True)


def test_an_account_is_kept_after_all_until_its_ca_has_closed_it() -> None:
    """By an operator's word, or because somebody orders with it again."""
    known = replace(ACCOUNT, url="https://ca.example/a/1")
    closing = nf.closing(known, "amf1", moment())
    assert nf.kept(closing, "amf1") == known
    assert nf.kept(closing, "smf1") is closing
    used = reconcile_account(closing, account_context(), moment())
    assert (used.deactivate, used.closed_with) == (None, "")
    idle = reconcile_account(closing, account_context(idle=True), moment())
    assert idle.deactivate is not None
    by_hand = replace(closing, closed_with="")
    assert reconcile_account(by_hand, account_context(), moment()).deactivate


@pytest.mark.parametrize("keep", [True, False])
async def test_a_person_is_told_what_becomes_of_the_account(keep: bool) -> None:
    """Also once the end has begun."""
    office = office_of(deployed(), asked=("other",))
    cell = office.cells.account("test", "https://ca.example/directory")
    assert cell is not None
    cell.change(lambda record: replace(record, url="https://ca.example/a/1"))
    for name in ("web", "other"):
        answer = await office.ask(
            "decommission", name=name, check=True, keep_account=keep
        )
        assert answer["accounts"] == ([] if keep or name == "other" else ["test"])


def test_an_end_is_of_the_instance_that_the_operator_has_named() -> None:
    """Whatever the tables say by the first turn after the word, or before the last."""
    asked = Ending(nf="amf1", instance_id=ANOTHER)
    about = dataclasses.replace(of(TOLD), end=asked, nf=None)
    begun = reconcile(enrolled(), about, moment())
    assert begun.end is not None
    assert begun.end.phase == asked
    before = over("web")
    after = reconcile(before, about, moment())
    assert after.ended == Ended(nf="amf1", instance_id=ANOTHER, at=NOW)
    assert reconcile(after, about, moment(NOW + DAY)) is after


def test_the_word_of_an_operator_reaches_every_certificate_that_it_named() -> None:
    """Another instance in the table changes nothing of the end under way."""
    office = office_of(deployed(), asked=("web",))
    contexts = office.manager._contexts  # noqa: SLF001 -- what the subjects share
    made = office.manager._config  # noqa: SLF001
    tables = {**made.nf, "web": replace(made.nf["web"], instance_id=ANOTHER)}
    office.manager.configure(replace(made, nf=tables), "0" * 16)
    context = contexts.of(office.record)
    assert context.ends
    assert context.end == Ending(nf="web", instance_id=UUIDS["web"])
