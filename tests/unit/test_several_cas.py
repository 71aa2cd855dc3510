"""Several CAs of one certificate, and several certificates of one CA."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.acme.errors import ProblemError
from agent.acme.problem import PREFIX, Problem
from agent.config.model import Config
from agent.records.authority import CaRecord
from agent.records.codec import Record
from agent.renewal.breaker import OPEN_AFTER
from agent.transport import TransportError
from tests.fakes.bench import Bench, spin
from tests.fakes.clock import START
from tests.fakes.subjects import LIFE, config

HOUR = timedelta(hours=1)
ORDERS = {"create-order", "find-order"}


def listed(*names: str) -> Config:
    """Return a configuration whose certificates have the CAs `one` and `two`."""
    base = config(*names, cas=("one", "two"))
    tables = {
        name: replace(table, ca=("one", "two"))
        for name, table in base.certificate.items()
    }
    return replace(base, certificate=tables)


def silence() -> TransportError:
    """Return that a CA does not answer."""
    return TransportError("no answer from one.example in time")


async def test_the_accounts_of_all_cas_are_registered() -> None:
    """What would keep a stand-in from ordering is found out before it is needed."""
    bench = Bench()
    bench.configure(listed("web"))
    await bench.until(bench.done)
    assert bench.performer.effects("one") == ["make-key", "register"]
    assert bench.performer.effects("two") == ["make-key", "register"]
    current = bench.certificate().current
    assert current is not None
    assert current.ca == "one"


async def test_the_first_certificate_comes_from_the_next_ca() -> None:
    """After some attempts to register at the first one."""
    bench = Bench()
    bench.configure(listed("web"))

    async def trouble(subject: str, effect: str) -> None:
        if (subject, effect) == ("one", "register"):
            raise silence()

    bench.performer.trouble = trouble
    await bench.until(bench.done)
    record = bench.certificate()
    assert record.current is not None
    assert record.choice is not None
    assert (record.current.ca, record.choice.ca) == ("two", "two")
    # 1 min and 10 min between three attempts.
    assert bench.clock.now() == START + timedelta(minutes=11)
    kinds = [event.kind for event in bench.events if event.subject == "web"]
    assert "certificate.stand-in" in kinds


async def test_fail_over_and_back() -> None:
    """Late in the life to the stand-in, and with the next renewal back again."""
    bench = Bench()
    bench.configure(listed("web"))
    await bench.until(bench.done)
    dead = True

    async def trouble(subject: str, effect: str) -> None:
        at_first = subject == "web" and bench.certificate().choice is None
        if dead and at_first and effect in ORDERS:
            raise silence()

    bench.performer.trouble = trouble
    await bench.until(lambda: bench.done(number=2))
    second = bench.certificate().current
    assert second is not None
    assert second.ca == "two"
    assert bench.clock.now() >= START + LIFE * 0.75
    assert bench.manager.contexts()["web"].ca == "two"
    dead = False
    await bench.until(lambda: bench.done(number=3))
    third = bench.certificate().current
    assert third is not None
    assert third.ca == "one"
    assert third.issued_at > second.issued_at + LIFE / 2
    assert bench.certificate().choice is None
    assert [e.kind for e in bench.events].count("certificate.first-ca") == 1


async def test_a_dead_ca_is_left_alone_by_everybody() -> None:
    """The breaker opens; then one job at a time finds out whether it answers."""
    bench = Bench()
    names = [f"n{number:02}" for number in range(20)]
    bench.configure(config(*names, cas=("one", "two")))
    dead = True

    async def trouble(subject: str, effect: str) -> None:
        at_one = subject in names and names.index(subject) % 2 == 0
        if dead and at_one and effect in ORDERS:
            raise silence()

    bench.performer.trouble = trouble
    others = [name for name in names if names.index(name) % 2]
    await bench.until(lambda: all(bench.done(name) for name in others))
    assert bench.clock.now() == START
    await bench.until(lambda: bench.clock.now() >= START + HOUR)
    orders = [
        (at, subject)
        for (subject, effect), at in zip(
            bench.performer.performed, bench.performer.times, strict=True
        )
        if effect in ORDERS and subject not in others
    ]
    assert sum(at == START for at, _ in orders) <= 8
    # Probes after 1, 2, 4, 8, 16 and 30 minutes, and never two at once.
    probes = [at for at, _ in orders if at > START]
    assert OPEN_AFTER <= len(probes) + 1 <= 8
    assert len(set(probes)) == len(probes)
    dead = False
    await bench.until(lambda: all(bench.done(name) for name in names))
    assert bench.cells.authorities["one"].record.failures == 0


def limited() -> ProblemError:
    """Return that an account has met a limit of an hour."""
    problem = Problem(type=f"{PREFIX}rateLimited", detail="too many orders")
    return ProblemError(
        problem, status=429, url="https://one.example", retry_at=START + HOUR
    )


def stored(bench: Bench) -> tuple[Record, ...]:
    """Return what a bench has on its disk."""
    cells = bench.cells
    return (
        *(cell.record for cell in cells.certificates.values()),
        *(cell.record for cell in cells.accounts.values()),
        *(cell.record for cell in cells.authorities.values()),
    )


async def test_a_limit_holds_the_account_and_survives_a_restart() -> None:
    """Who was not under way does not ask, and the other CA is not delayed."""
    bench = Bench()
    names = [f"n{number:02}" for number in range(40)]
    table = config(*names, cas=("one", "two"))
    bench.configure(table)

    async def trouble(subject: str, effect: str) -> None:
        at_one = subject in names and names.index(subject) % 2 == 0
        if at_one and effect == "create-order":
            raise limited()

    bench.performer.trouble = trouble
    others = names[1::2]
    await bench.until(lambda: all(bench.done(name) for name in others))
    assert bench.clock.now() == START
    met = [e for s, e in bench.performer.performed if s in names[::2]]
    assert met.count("create-order") <= 8
    after = Bench(*stored(bench))
    after.configure(table)
    await after.until(lambda: all(after.done(name) for name in names))
    assert min(after.performer.times) >= START
    at = [
        at
        for (_, effect), at in zip(
            after.performer.performed, after.performer.times, strict=True
        )
        if effect == "create-order"
    ]
    assert min(at) >= START + HOUR
    assert after.cells.authorities["one"].record.limits == {}


async def test_orders_keep_their_configured_rate() -> None:
    """Of 60 an hour three at once and then one a minute, those that end first first."""
    bench = Bench()
    names = [f"n{number}" for number in range(8)]
    table = config(*names)
    slow = replace(table.ca["test"], orders_per_hour=60)
    bench.configure(replace(table, ca={"test": slow}))
    await bench.until(lambda: all(bench.done(name) for name in names))
    assert bench.clock.now() == START + timedelta(minutes=5)


async def test_a_ca_whose_record_is_corrupt_is_asked_all_the_same() -> None:
    """Only what was remembered of it is lost, and that is an alarm."""
    bench = Bench(CaRecord(name="test", directory="https://test.example/directory"))
    bench.store.files[CaRecord, "test"] = b"{"
    again = Bench()
    again.store.files = bench.store.files
    again.cells.load()
    again.configure(config("web"))
    await again.until(again.done)
    assert "ca test" in again.cells.quarantined


@pytest.mark.parametrize(
    "named", [{"accounts": ("one", "other")}, {"account": "other"}]
)
async def test_the_account_at_each_ca_may_be_named(named: dict[str, object]) -> None:
    """Where a CA has several."""
    table = listed("web")
    other = replace(table.account["two"])
    certificate = replace(table.certificate["web"], **named)
    table = replace(
        table,
        account={**table.account, "other": other},
        certificate={"web": certificate},
    )
    bench = Bench()
    bench.configure(table)
    async with bench.running():
        await spin(bench.done)
    accounts = [
        one.account.name if one.account else ""
        for one in bench.manager.contexts()["web"].authorities
    ]
    assert accounts == ["one", "other"]
