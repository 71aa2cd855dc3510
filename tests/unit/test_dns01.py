"""dns-01 without a real server: names, values, answers that are odd, cancellation."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import dns.rcode
import msgspec
import pytest

from agent.clock import SystemClock
from agent.config.challenges import Dns, Tsig
from agent.config.dns import DnsServer, dns_server
from agent.ports import Solver
from agent.renewal.disposition import TABLE
from agent.solvers.dns01.lookups import Lookups, NameServer
from agent.solvers.dns01.propagation import propagated
from agent.solvers.dns01.records import Change, record_name, txt_value
from agent.solvers.dns01.solver import Dns01
from agent.solvers.errors import (
    DnsLookupError,
    DnsPropagationError,
    DnsUpdateError,
)
from tests.fakes.clock import FakeClock
from tests.fakes.dns import KEY, KEY_NAME, FakeDns, serving
from tests.fakes.presented import presented
from tests.unit.test_http01_cancel import CancelledAt, run

AUTHORIZATION = (
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA."
    "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
)
VALUE = "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI"
RECORD = "_acme-challenge.amf1.example"
CHALLENGE = presented("amf1.example", "token", AUTHORIZATION)
CHANGE = Change("amf1.example", "example", RECORD, VALUE)
ZONE: dict[tuple[str, str], list[str]] = {
    ("example", "SOA"): ["ns.example. ops.example. 1 3600 600 86400 60"],
    ("example", "NS"): ["ns.example."],
    ("ns.example", "A"): ["127.0.0.1"],
}
MOST_STEPS = 120


@pytest.fixture
async def server() -> AsyncIterator[FakeDns]:
    """Serve one zone."""
    async with serving(FakeDns(records={k: [*v] for k, v in ZONE.items()})) as fake:
        yield fake


def settings(fake: FakeDns, **changes: object) -> Dns:
    """Return a table for the server."""
    plain = Dns(
        provider="rfc2136",
        server=fake.address,
        resolvers=(fake.address,),
        tsig=Tsig(name=KEY_NAME, key="file:/key"),
        propagation="30s",
    )
    return msgspec.structs.replace(plain, **changes)


def solver(fake: FakeDns, **changes: object) -> Dns01:
    """Return a solver whose authoritative server is the server as well."""
    table = settings(fake, **changes)
    key = base64.b64encode(KEY)
    return Dns01(lambda: table, lambda _: key, SystemClock(), port=fake.port)


async def present(subject: Solver) -> None:
    """Present and leave."""
    async with subject.prepare(CHALLENGE):
        pass


def test_the_record_holds_the_digest_of_the_key_authorization() -> None:
    """Name and value of RFC 8555 section 8.4; a wildcard has the name of its base."""
    assert record_name("amf1.example") == record_name("*.amf1.example") == RECORD
    assert txt_value(AUTHORIZATION) == VALUE


def test_what_dns_can_do_to_us_passes() -> None:
    """Nobody has to be called for a name server that is late."""
    for error in (DnsLookupError, DnsUpdateError, DnsPropagationError):
        assert TABLE[error.kind] == "back-off"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
        ("fe80::1%eth0", "fe80::1%eth0", 53),
    ],
)
def test_a_server_is_an_address_maybe_with_a_port(
    text: str, host: str, port: int
) -> None:
    """Both families, with and without brackets."""
    assert dns_server(text) == DnsServer(host, port)


@pytest.mark.parametrize(
    "text", ["", "ns.example", "1.2.3", "1.2.3.4:0", "[::1", "::g"]
)
def test_anything_else_is_no_server(text: str) -> None:
    """A name would have to be looked up by the servers that it stands for."""
    with pytest.raises(ValueError, match=r".*"):
        dns_server(text)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_value_is_there_while_presented(
    server: FakeDns, transport: str
) -> None:
    """Added beside what was there, and removed alone."""
    server.records[RECORD, "TXT"] = ["somebody else's"]
    async with solver(server, transport=transport).prepare(CHALLENGE) as payload:
        assert payload == {}
        assert server.values(RECORD) == ["somebody else's", VALUE]
    assert server.values(RECORD) == ["somebody else's"]


async def test_truncated_answers_are_asked_for_over_tcp(server: FakeDns) -> None:
    """A name with many values does not fit into a datagram."""
    server.truncated = True
    server.records[RECORD, "TXT"] = [f"{n:0>43}" for n in range(40)]
    async with solver(server).prepare(CHALLENGE):
        assert len(server.values(RECORD)) == 41
    assert len(server.values(RECORD)) == 40


@pytest.mark.parametrize(
    ("rcode", "hint"),
    [
        (dns.rcode.REFUSED, "let the key change"),
        (dns.rcode.NOTAUTH, "is the server the primary"),
        (dns.rcode.NOTZONE, "set zone"),
        (dns.rcode.SERVFAIL, "look at the server's log"),
    ],
)
async def test_a_refusal_says_what_to_do(
    server: FakeDns, rcode: dns.rcode.Rcode, hint: str
) -> None:
    """The error names the rcode, the record and the zone."""
    async with serving(FakeDns(rcode=rcode)) as primary:
        word = dns.rcode.to_text(rcode).lower()
        with pytest.raises(DnsUpdateError, match=f"{word}.*{RECORD}.*zone") as caught:
            await present(solver(server, server=primary.address))
    assert hint in caught.value.hint


async def test_an_unsigned_answer_proves_nothing(server: FakeDns) -> None:
    """Anybody on the way could have said that all is well."""
    server.signed = False
    with pytest.raises(DnsUpdateError, match="did not sign"):
        await present(solver(server))


async def test_a_key_that_is_not_base64_is_not_shown(server: FakeDns) -> None:
    """The reference is named, the content is not."""
    table = settings(server)
    odd = Dns01(lambda: table, lambda _: b"no key!", SystemClock(), port=server.port)
    with pytest.raises(DnsUpdateError, match="file:/key does not hold") as caught:
        await present(odd)
    assert "no key!" not in f"{caught.value}{caught.value.__cause__}"


async def test_aliases_are_followed_to_another_zone(server: FakeDns) -> None:
    """The zone is that of the name where the aliases end."""
    server.records |= {
        (RECORD, "CNAME"): ["one.acme.test."],
        ("one.acme.test", "CNAME"): ["Two.acme.test."],
        ("acme.test", "SOA"): ZONE["example", "SOA"],
        ("acme.test", "NS"): ["ns.example."],
    }
    async with solver(server).prepare(CHALLENGE):
        assert server.values("two.acme.test") == [VALUE]
    assert server.values("two.acme.test") == []


@pytest.mark.parametrize(
    ("records", "error"),
    [
        ({("a", "CNAME"): ["a."]}, "alias of more than 8"),
        ({("a", "CNAME"): [r"x\;rm.example."]}, "unusable name"),
        ({}, "no zone is found"),
    ],
)
async def test_a_name_that_leads_nowhere_is_an_error(
    records: dict[tuple[str, str], list[str]], error: str
) -> None:
    """Neither loops nor odd names nor missing zones get anywhere."""
    async with serving(FakeDns(records=records)) as resolver:
        lookups = Lookups((resolver.address,))
        with pytest.raises(DnsLookupError, match=error):
            await lookups.zone(await lookups.target("a"))


async def test_resolvers_are_asked_until_one_knows(server: FakeDns) -> None:
    """One that fails is passed over."""
    async with serving(FakeDns(rcode=dns.rcode.SERVFAIL)) as broken:
        lookups = Lookups((broken.address, server.address))
        assert await lookups.zone(RECORD) == "example"
        with pytest.raises(DnsLookupError, match="says servfail"):
            await Lookups((broken.address,)).zone(RECORD)


async def test_the_hosts_resolvers_come_from_its_file(tmp_path: Path) -> None:
    """Without any there is an error, and never a public server."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("# nameserver 192.0.2.9\nsearch example\nnameserver nonsense\n")
    with pytest.raises(DnsLookupError, match="names no resolver"):
        await Lookups((), conf=conf).zone(RECORD)
    with pytest.raises(DnsLookupError, match="no resolver is known"):
        await Lookups((), conf=tmp_path / "none").zone(RECORD)


def name_server(*servers: FakeDns, name: str = "ns.example") -> NameServer:
    """Return a name server that has the addresses of fakes."""
    return NameServer(name, tuple(DnsServer(s.host, s.port) for s in servers))


async def look(*servers: NameServer) -> float:
    """Wait for at most 60 s of fake time; return how long it took."""
    clock = FakeClock(auto=True)
    await propagated(CHANGE, servers, timedelta(seconds=60), clock)
    return clock.monotonic()


async def test_all_servers_are_waited_for() -> None:
    """The last to follow decides; pauses grow from 1 s."""
    records = {(RECORD, "TXT"): [VALUE]}
    async with (
        serving(FakeDns(records=records)) as first,
        serving(FakeDns(records=records, lag=2)) as second,
    ):
        names = name_server(first), name_server(second, name="ns2.example")
        assert await look(*names) == 3


async def test_an_address_that_lacks_the_value_spoils_its_server() -> None:
    """A CA may ask any address of a server."""
    records = {(RECORD, "TXT"): [VALUE]}
    async with serving(FakeDns(records=records)) as new, serving(FakeDns()) as old:
        with pytest.raises(DnsPropagationError, match=r"ns\.example did not have"):
            await look(name_server(new, old))


async def test_a_dead_server_costs_the_wait_and_no_certificate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What answers nobody cannot mislead the CA; it is logged."""
    records = {(RECORD, "TXT"): [VALUE]}
    dead = NameServer("dead.example", ())
    async with serving(FakeDns(records=records)) as alive:
        assert await look(name_server(alive), dead) == 60
    assert "dead.example did not answer" in caplog.text


async def test_servers_that_all_keep_silent_are_an_error() -> None:
    """Nobody knows then whether the record is there."""
    async with serving(FakeDns(rcode=dns.rcode.REFUSED)) as lame:
        with pytest.raises(DnsPropagationError, match="no server of the zone"):
            await look(name_server(lame), NameServer("dead.example", ()))


async def test_a_removed_table_is_an_error(server: FakeDns) -> None:
    """A reload may have taken it away; what was presented is still removed."""
    tables: list[Dns | None] = [settings(server)]
    key = base64.b64encode(KEY)
    subject = Dns01(lambda: tables[0], lambda _: key, SystemClock(), port=server.port)
    async with subject.prepare(CHALLENGE):
        tables[0] = None
        with pytest.raises(DnsUpdateError, match="no table"):
            await present(subject)
    assert server.values(RECORD) == []


async def test_leaving_is_bounded_and_does_not_fail(
    server: FakeDns, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has died meanwhile is not worth a failed issuance."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(solver(server).prepare(CHALLENGE))
        server.rcode = dns.rcode.REFUSED
    assert "cannot remove a value" in caplog.text


async def hold(subject: Dns01, entered: list[bool]) -> None:
    """Present, wait two turns of the loop, leave."""
    async with subject.prepare(CHALLENGE):
        entered.append(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_cancelling_at_every_await_leaves_no_value(server: FakeDns) -> None:
    """Each suspension of entering, holding and leaving is cancelled once."""
    cancelled = entered_and_cancelled = 0
    for step in range(1, MOST_STEPS):
        subject = solver(server)
        entered: list[bool] = []
        work = CancelledAt(hold(subject, entered), step)
        if not await run(work):
            assert work.steps < step
            break
        cancelled += 1
        entered_and_cancelled += bool(entered)
        assert server.values(RECORD) == []
        assert subject.presented == frozenset()
    else:
        pytest.fail("it never ran to its end")
    assert cancelled > entered_and_cancelled > 0


async def test_many_values_come_and_go_at_once(server: FakeDns) -> None:
    """Whoever leaves while another presents takes only its own value."""
    subject = solver(server, propagation="0s")

    async def one(number: int) -> None:
        name = presented("amf1.example", "t", f"{number}.thumbprint")
        async with subject.prepare(name):
            assert txt_value(f"{number}.thumbprint") in server.values(RECORD)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(one(number % 4))
    assert server.values(RECORD) == []
