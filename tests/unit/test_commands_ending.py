"""What operators can still say of what ends, and of what is left of it."""

import pytest
from msgspec.structs import replace

from agent.config.nf import Nf
from agent.demands import CommandError
from agent.jobs import nf
from agent.jobs.envelope import QUARANTINE_AFTER
from agent.jobs.step import Moment
from agent.records.certificate import CertificateRecord, RetireJob
from agent.records.ending import Ending, EndJob, Farewell, FarewellJob, FarewellStage
from agent.records.others import AccountRecord
from agent.records.phases import Condemned
from agent.records.slots import jobs
from tests.fakes.clock import START
from tests.fakes.subjects import config, deployed
from tests.unit.test_commands import Office

UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"


def leaving(stage: FarewellStage, **envelope: object) -> CertificateRecord:
    """Return a certificate that ends, with an endpoint in a stage of its farewell."""
    end = EndJob(
        id="e", phase=Ending(nf="amf1", instance_id=UUID), reason="", created=START
    )
    job = FarewellJob(id="f", phase=Farewell(stage=stage), reason="", created=START)
    made = {"": replace(job, **envelope)}
    return replace(deployed(), end=replace(end, **envelope), farewell=made)


def office_of(record: CertificateRecord) -> Office:
    """Return the commands of a daemon whose only network function ends."""
    office, table = Office(record), config("web")
    table = replace(
        table,
        nf={"amf1": Nf(instance_id=UUID, types=("AMF",))},
        certificate={"web": replace(table.certificate["web"], nf="amf1")},
    )
    office.manager.configure(table, "0" * 16)
    moment = Moment(now=START, draw=0.0, token="5" * 32)
    cell = office.cells.nf("amf1")
    assert cell is not None
    cell.change(lambda r: nf.begin(r, UUID, ["web"], moment, keep_account=False))
    return office


async def test_a_release_lifts_the_quarantine_of_what_ends() -> None:
    """Nothing else is possible: it is neither renewed nor held."""
    office = office_of(leaving(FarewellStage.TOLD, crashes=QUARANTINE_AFTER))
    await office.ask("release", name="web")
    assert {job.crashes for job in jobs(office.record).values()} == {0}
    for verb in ("renew", "hold"):
        with pytest.raises(CommandError, match="decommissioned"):
            await office.ask(verb, name="web")


@pytest.mark.parametrize("running", [True, False])
async def test_a_word_for_an_endpoint_counts_while_it_is_looked_at(
    running: bool,
) -> None:
    """What the look shows then is no news any more."""
    office = office_of(leaving(FarewellStage.TOLD, running=running))
    await office.ask("ack", name="web")
    assert office.record.farewell == {}
    assert office.record.endpoints[""].left_at == START


async def test_a_word_for_an_endpoint_that_is_still_linked_is_refused() -> None:
    """It would read what `live` points to at its next start."""
    office = office_of(leaving(FarewellStage.IN_SERVICE))
    with pytest.raises(CommandError, match="still published"):
        await office.ask("ack", name="web")


async def test_what_is_left_of_a_closed_account_is_tried_again() -> None:
    """Its key is still to be destroyed; without a quarantine there is nothing to do."""
    office = Office(deployed())
    cell = office.cells.account("test", "https://ca.example/directory")
    assert cell is not None
    job = RetireJob(id="r", phase=Condemned(), reason="", created=START)
    crashed = replace(job, crashes=QUARANTINE_AFTER)
    closed = AccountRecord(
        name="test",
        directory="https://ca.example/directory",
        closed="deactivated",
        retire={"k": crashed},
    )
    cell.change(lambda _: closed)
    await office.ask("account-deactivate", name="test", confirm="test")
    assert cell.record.retire["k"].crashes == 0
    with pytest.raises(CommandError, match="for good"):
        await office.ask("account-deactivate", name="test", confirm="test")
