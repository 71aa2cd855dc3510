"""What a pre-flight asks of solvers, of endpoints and of the record."""

import os
import socket
from dataclasses import replace as with_
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.acme.errors import ProtocolError
from agent.config.challenges import Dns, Listen, Tsig
from agent.config.endpoints import Reload
from agent.endpoints.errors import EndpointDownError
from agent.endpoints.process import PidfileTarget
from agent.files import FileError
from agent.jobs.issue import effects
from agent.jobs.issuing import fold
from agent.records.phases import AuthorizationRecord
from agent.records.slots import Slot
from agent.solvers.dns01.solver import Dns01
from agent.solvers.errors import BindError, DnsUpdateError, PublishError
from agent.solvers.http01 import Http01
from tests.fakes.clock import FakeClock
from tests.fakes.presented import presented
from tests.fakes.subjects import account, config, table
from tests.fakes.subjects import context as context_of
from tests.unit.test_workshop import Shop, answering, moved_on
from tests.unit.vectors import RFC7515_A3_SPKI
from tests.vectors.records import answering as phase
from tests.vectors.records import context, enrolled, issue_job, moment


async def test_an_address_that_is_taken_is_found_out_before() -> None:
    """One that we listen on ourselves is not: a second order may share it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match="http-01"):
            Http01(Listen(listen=(taken,))).ready()
    solver = Http01(Listen(listen=("127.0.0.1:0",), self_check=False))
    solver.ready()
    assert not solver.where
    async with solver.prepare(presented("web.example", "token", "secret")):
        [(host, port)] = solver.where
        with pytest.raises(BindError):
            Http01(Listen(listen=(f"{host}:{port}",))).ready()
        solver.ready()


def test_a_webroot_must_be_writable(tmp_path: Path) -> None:
    """One that is missing is not."""
    Http01(Listen(webroot=str(tmp_path))).ready()
    with pytest.raises(PublishError):
        Http01(Listen(webroot=str(tmp_path / "gone"))).ready()


def test_dns_needs_its_table_and_its_key() -> None:
    """Servers are not asked: that they answer now says nothing of later."""
    tsig = Tsig(name="nfcertd", key="credential:dns")
    settings: list[Dns | None] = [
        Dns(provider="rfc2136", server="192.0.2.53", tsig=tsig)
    ]
    read: list[str] = []

    def secret(reference: str) -> bytes:
        read.append(reference)
        if len(read) > 1:
            raise FileError(f"cannot read {reference}")
        return b"a2V5"

    solver = Dns01(lambda: settings[0], secret, FakeClock())
    solver.ready()
    assert read == ["credential:dns"]
    with pytest.raises(FileError):
        solver.ready()
    settings[0] = None
    with pytest.raises(DnsUpdateError):
        solver.ready()


async def test_a_pidfile_is_looked_for_without_a_signal(tmp_path: Path) -> None:
    """Ours names a process that runs; one that is missing names none."""
    pidfile = tmp_path / "nginx.pid"
    target = PidfileTarget(send=lambda *_: pytest.fail("nothing is to be sent"))
    with pytest.raises(EndpointDownError):
        await target.find(Reload(pidfile=str(pidfile)))
    pidfile.write_text(f"{os.getpid()}\n")
    pidfile.chmod(0o644)
    await target.find(Reload(pidfile=str(pidfile)))


@pytest.mark.parametrize("challenged", [False, True])
async def test_an_order_is_preceded_by_a_look(*, challenged: bool) -> None:
    """And by nothing else; it knows whether this CA has asked for a challenge."""
    shop = Shop(config("web"))
    about = with_(context_of(table("web")), account=account())
    record = moved_on(answering())
    known = replace(record.keys[0], public=RFC7515_A3_SPKI)
    asked = about.directory if challenged else ""
    record = replace(record, keys=(known,), challenged=asked)
    with_key = replace(account(), key=replace(known, number=9))
    effect = effects.CreateOrder(known.id)
    about = with_(about, account=with_key)
    # The line answers everything alike, and that is no order.
    with pytest.raises(ProtocolError):
        await shop.workshop.for_certificate(record, Slot("issue"), effect, about)
    looks = [done for done in shop.hands.done if done.startswith("look before")]
    assert looks == [f"look before web{' again' if challenged else ''}"]


def test_a_ca_that_asks_for_a_challenge_is_remembered() -> None:
    """By its directory: another one may not ask."""
    wanted = AuthorizationRecord(url="https://ca.example/authz/1", challenge="c")
    job = issue_job(phase(wanted))
    about = context()
    record = replace(enrolled(), issue=job, wanted=about.wanted)
    after = fold(
        record, job, effects.Answer(wanted), effects.Answered(), about, moment()
    )
    assert after.challenged == about.directory
