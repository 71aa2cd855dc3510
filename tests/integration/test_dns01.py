"""dns-01 against real DNS servers: what is written, removed, refused, waited for."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.clock import SystemClock
from agent.config.challenges import Dns as Table
from agent.config.challenges import Tsig
from agent.files import read_secret
from agent.solvers.dns01.solver import Dns01
from agent.solvers.errors import (
    DnsLookupError,
    DnsPropagationError,
    DnsUpdateError,
)
from tests.fakes.presented import presented
from tests.parts.dns import DELEGATED, KEY_NAME, Dns, dns_missing, dns_servers

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(dns_missing()), reason=dns_missing()),
]

AUTHORIZATION = (
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA."
    "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
)
VALUE = "ZaJgFtIV4WA0t2MzN7kbSk0sfRd2GZjaxRqaSTAK6lI"
RECORD = "_acme-challenge.web.example"
CHALLENGE = presented("web.example", "token", AUTHORIZATION)
OTHER = presented("web.example", "other", "other.thumbprint")


@pytest.fixture(scope="module")
def dns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    """Run a primary and a secondary that follows at once."""
    with dns_servers(tmp_path_factory.mktemp("dns01")) as servers:
        yield servers


@pytest.fixture
def lagging(tmp_path: Path) -> Iterator[Dns]:
    """Run a primary and a secondary that is told nothing."""
    with dns_servers(tmp_path, notify=False) as servers:
        yield servers


def table(dns: Dns, **changes: object) -> Table:
    """Return a table `[dns-01]` for the servers."""
    plain = Table(
        provider="rfc2136",
        server=dns.primary,
        tsig=Tsig(name=KEY_NAME, key=f"file:{dns.key_file}"),
        resolvers=(dns.primary,),
        propagation="20s",
    )
    return msgspec.structs.replace(plain, **changes)


def solver(settings: Table) -> Dns01:
    """Return a solver on the host's clock."""
    return Dns01(lambda: settings, lambda ref: read_secret(ref, None), SystemClock())


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_value_is_everywhere_while_presented_and_nowhere_after(
    dns: Dns, transport: str
) -> None:
    """The value of RFC 8555 section 8.4 stands at both servers, then at none."""
    async with solver(table(dns, transport=transport)).prepare(CHALLENGE) as payload:
        assert payload == {}
        assert dns.values(RECORD) == [VALUE]
        assert dns.values(RECORD, dns.secondary) == [VALUE]
    assert dns.values(RECORD) == []


async def test_values_at_one_name_come_and_go_alone(dns: Dns) -> None:
    """Base and wildcard share a name; nobody else's value is touched."""
    shared = solver(table(dns))
    async with shared.prepare(OTHER):
        (first,) = dns.values(RECORD)
        async with shared.prepare(CHALLENGE):
            assert dns.values(RECORD) == sorted([first, VALUE])
        assert dns.values(RECORD) == [first]
    assert dns.values(RECORD) == []


async def test_what_is_presented_twice_stays_until_both_have_left(dns: Dns) -> None:
    """A CA may hand one pending authorization to two orders."""
    shared = solver(table(dns))
    async with shared.prepare(CHALLENGE):
        async with shared.prepare(CHALLENGE):
            pass
        assert dns.values(RECORD) == [VALUE]
    assert dns.values(RECORD) == []
    assert shared.presented == frozenset()


async def test_a_resumed_order_presents_what_a_crash_left_and_removes_it(
    dns: Dns,
) -> None:
    """A second process finds the value there already, and takes it away in the end."""
    async with solver(table(dns)).prepare(CHALLENGE):
        async with solver(table(dns)).prepare(CHALLENGE):
            assert dns.values(RECORD) == [VALUE]
        assert dns.values(RECORD) == []


async def test_an_alias_leads_to_the_zone_that_is_written(dns: Dns) -> None:
    """`_acme-challenge` is a CNAME into a zone of its own, found by its SOA."""
    aliased = presented("alias.example", "token", AUTHORIZATION)
    async with solver(table(dns)).prepare(aliased):
        assert dns.values(f"alias.{DELEGATED}") == [VALUE]
    assert dns.values(f"alias.{DELEGATED}") == []


async def test_an_alias_of_itself_ends(dns: Dns) -> None:
    """Aliases are followed for a bounded number of steps."""
    looped = presented("loop.example", "token", AUTHORIZATION)
    with pytest.raises(DnsLookupError, match="alias of more than 8 names"):
        async with solver(table(dns)).prepare(looped):
            pass


async def test_a_wrong_key_is_refused_and_not_shown(
    dns: Dns, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server says badsig; neither error nor log has the key."""
    caplog.set_level("DEBUG")
    wrong = base64.b64encode(b"w" * 32).decode()
    (tmp_path / "key").write_text(wrong)
    tsig = Tsig(name=KEY_NAME, key=f"file:{tmp_path}/key")
    with pytest.raises(DnsUpdateError, match=r"about key nfcertd: badsig") as caught:
        async with solver(table(dns, tsig=tsig)).prepare(CHALLENGE):
            pass
    assert "differ" in caught.value.hint
    assert wrong not in caplog.text + str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": "stranger"}, "about key stranger: badkey"),
        ({"algorithm": "hmac-sha512"}, "about key nfcertd: bad"),
    ],
)
async def test_a_key_that_the_server_does_not_know(
    dns: Dns, change: dict[str, str], error: str
) -> None:
    """Name and algorithm belong to the key."""
    plain = Tsig(name=KEY_NAME, key=f"file:{dns.key_file}")
    tsig = msgspec.structs.replace(plain, **change)
    with pytest.raises(DnsUpdateError, match=error):
        async with solver(table(dns, tsig=tsig)).prepare(CHALLENGE):
            pass


async def test_a_zone_that_the_server_does_not_have_is_named(dns: Dns) -> None:
    """The rcode and the zone stand in the error."""
    with pytest.raises(DnsUpdateError, match=r"in the zone other\.test"):
        async with solver(table(dns, zone="other.test")).prepare(CHALLENGE):
            pass


async def test_a_dead_server_is_passed_over(dns: Dns) -> None:
    """The next one is asked; none at all is an error."""
    both = (f"{dns.primary}:1", dns.primary)
    async with solver(table(dns, server=both)).prepare(CHALLENGE):
        assert dns.values(RECORD) == [VALUE]
    with pytest.raises(DnsUpdateError, match="no server took the update"):
        async with solver(table(dns, server=f"{dns.primary}:1")).prepare(CHALLENGE):
            pass


async def test_a_lagging_secondary_is_waited_for(lagging: Dns) -> None:
    """The CA hears of the record only once the secondary has it, too."""
    entered = asyncio.Event()
    leave = asyncio.Event()

    async def present() -> None:
        async with solver(table(lagging)).prepare(CHALLENGE):
            entered.set()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(present())
        while lagging.values(RECORD) != [VALUE]:
            await asyncio.sleep(0.05)
        assert lagging.values(RECORD, lagging.secondary) == []
        assert not entered.is_set()
        await asyncio.to_thread(lagging.catch_up)
        await asyncio.wait_for(entered.wait(), 10)
        assert lagging.values(RECORD, lagging.secondary) == [VALUE]
        leave.set()


async def test_a_secondary_that_never_follows_is_named(lagging: Dns) -> None:
    """After the time limit the value is removed again."""
    with pytest.raises(DnsPropagationError, match=r"ns2\.example did not have"):
        async with solver(table(lagging, propagation="1s")).prepare(CHALLENGE):
            pass
    assert lagging.values(RECORD) == []
    async with solver(table(lagging, propagation="0s")).prepare(CHALLENGE):
        assert lagging.values(RECORD) == [VALUE]
