"""dns-persist-01 looks for a standing record, and dns-account-01 has one of its own."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from agent.clock import SystemClock
from agent.config.challenges import Dns, DnsPersist, Tsig
from agent.ports import Presentation, Solver
from agent.renewal.disposition import TABLE
from agent.solvers.dns01.records import account_record_name, txt_value
from agent.solvers.dns01.solver import Dns01
from agent.solvers.dnspersist01 import DnsPersist01
from agent.solvers.errors import (
    DnsLookupError,
    DnsUpdateError,
    IssuerNamesError,
    PersistentRecordError,
    TokenSyntaxError,
)
from tests.fakes.dns import KEY, KEY_NAME, FakeDns, serving
from tests.fakes.presented import ACCOUNT_URL, presented

NAME = "amf1.example"
RECORD = f"_validation-persist.{NAME}"
GOOD = f"ca.example; accounturi={ACCOUNT_URL}"
LABEL = "_ujmmovf2vn55tgye"
"""Of the example in draft-ietf-acme-dns-account-label."""
ZONE: dict[tuple[str, str], list[str]] = {
    ("example", "SOA"): ["ns.example. ops.example. 1 3600 600 86400 60"],
    ("example", "NS"): ["ns.example."],
    ("ns.example", "A"): ["127.0.0.1"],
}


@pytest.fixture
async def server() -> AsyncIterator[FakeDns]:
    """Serve one zone."""
    async with serving(FakeDns(records={k: [*v] for k, v in ZONE.items()})) as fake:
        yield fake


def dns(fake: FakeDns, *, table: bool = True) -> Dns01:
    """Return the solver of dns-01, with or without its table."""
    settings = Dns(
        provider="rfc2136",
        server=fake.address,
        resolvers=(fake.address,),
        tsig=Tsig(name=KEY_NAME, key="file:/key"),
        propagation="30s",
    )
    return Dns01(
        lambda: settings if table else None,
        lambda _: base64.b64encode(KEY),
        SystemClock(),
        port=fake.port,
    )


def solver(fake: FakeDns, *, table: bool = True, **settings: object) -> DnsPersist01:
    """Return a solver that asks the server."""
    persist = DnsPersist(resolvers=(fake.address,), **settings)  # type: ignore[arg-type]  # a test's own keywords
    return DnsPersist01(lambda: persist, dns(fake, table=table), SystemClock())


def asked(*issuers: str, wildcard: bool = False, name: str = NAME) -> Presentation:
    """Return a challenge."""
    return presented(name, issuers=issuers or ("ca.example",), wildcard=wildcard)


async def present(subject: Solver, wanted: Presentation) -> dict[str, object]:
    """Present, leave, and return the payload."""
    async with subject.prepare(wanted) as payload:
        return payload


@pytest.mark.parametrize("table", [True, False])
async def test_a_record_that_stands_is_enough(server: FakeDns, table: bool) -> None:
    """Nothing is written, nothing removed, and no table [dns-01] is needed."""
    server.records[RECORD, "TXT"] = ["v=spf1 -all", GOOD]
    assert await present(solver(server, table=table), asked()) == {}
    assert server.values(RECORD) == ["v=spf1 -all", GOOD]
    assert server.updates == 0


async def test_a_missing_record_is_spelled_out(server: FakeDns) -> None:
    """Whoever provisions it copies one line."""
    server.records[RECORD, "TXT"] = [GOOD]
    with pytest.raises(
        PersistentRecordError, match=r"lets ca\.example issue"
    ) as caught:
        await present(solver(server), asked(wildcard=True))
    assert caught.value.hint == (
        f'provision it: {RECORD}. TXT "{GOOD}; policy=wildcard"'
    )
    assert server.updates == 0
    assert TABLE[caught.value.kind] == "needs-operator"


async def test_a_missing_record_is_written_where_that_is_configured(
    server: FakeDns,
) -> None:
    """Once; it stays, and the next order finds it."""
    until = datetime(2100, 1, 1, tzinfo=UTC)
    writing = solver(server, write=True, persist_until=until)
    for _ in range(2):
        await present(writing, asked("ca.example", "ca2.example"))
    assert server.values(RECORD) == [f"{GOOD}; persistUntil=4102444800"]
    assert server.updates == 1


async def test_a_record_behind_an_alias_is_found_and_written_there(
    server: FakeDns,
) -> None:
    """As a CA follows it."""
    server.records[RECORD, "CNAME"] = ["persist.example."]
    await present(solver(server, write=True), asked())
    assert server.values("persist.example") == [GOOD]
    await present(solver(server), asked())


@pytest.mark.parametrize(
    "issuers", [("CA.example",), ("a.example",) * 11, ("ca.example; x=y",)]
)
async def test_issuers_of_another_form_are_refused(
    server: FakeDns, issuers: tuple[str, ...]
) -> None:
    """Before anything is asked or written."""
    with pytest.raises(IssuerNamesError):
        await present(solver(server, write=True), asked(*issuers))
    with pytest.raises(IssuerNamesError):
        await present(solver(server), presented(NAME))
    assert server.asked == []


async def test_nobody_in_charge_is_a_failed_look_up(server: FakeDns) -> None:
    """An answer of somebody else's says nothing of the record."""
    server.authoritative = False
    with pytest.raises(DnsLookupError, match=rf"in charge of {RECORD} answers"):
        await present(solver(server), asked())


async def test_writing_without_a_table_fails(server: FakeDns) -> None:
    """A reload may have taken it away."""
    with pytest.raises(DnsUpdateError, match="no table"):
        await present(solver(server, table=False, write=True), asked())


def test_the_label_of_an_account_is_that_of_the_draft() -> None:
    """Base32 of the first 10 octets of a digest of the URL."""
    expected = f"{LABEL}._acme-challenge.{NAME}"
    assert account_record_name(NAME, ACCOUNT_URL) == expected


async def test_dns_account_01_has_a_record_of_its_own(server: FakeDns) -> None:
    """Two solvers, one machinery: values at both names come and go."""
    by_name = dns(server)
    by_account = by_name.for_accounts()
    wanted = presented(NAME, "token", "token.thumbprint")
    value = txt_value("token.thumbprint")
    async with by_account.prepare(wanted), by_name.prepare(wanted):
        assert server.values(f"{LABEL}._acme-challenge.{NAME}") == [value]
        assert server.values(f"_acme-challenge.{NAME}") == [value]
        assert len(by_name.presented) == len(by_account.presented) == 2
    assert server.values(f"{LABEL}._acme-challenge.{NAME}") == []
    assert by_name.presented == frozenset()


async def test_dns_account_01_needs_a_token(server: FakeDns) -> None:
    """It is dns-01 in all but the name of the record."""
    with pytest.raises(TokenSyntaxError):
        await present(dns(server).for_accounts(), asked())
