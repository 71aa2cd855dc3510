"""The verbs `csr` and `import`: what a person gets, and what is refused."""

import asyncio
from collections.abc import Callable
from dataclasses import replace as replace_fields

import pytest
from msgspec.structs import replace

from agent.byhand import ByHand
from agent.cells import Cell
from agent.control.verbs import VERBS, Argument, Request
from agent.demands import CommandError
from agent.jobs.context import Context
from agent.jobs.issue.effects import Downloaded
from agent.pki.chain import ChainError, CheckedChain
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyRecord
from agent.records.request import Asked, RequestSigned
from agent.sba.findings import Finding, Level
from tests.fakes.bench import Bench, spin
from tests.fakes.clock import START, FakeClock
from tests.fakes.subjects import LEAF, LIFE, config, deployed
from tests.vectors.records import failure

PEM = "-----BEGIN CERTIFICATE REQUEST-----\n"
ODD = b"a chain that breaks a rule"
BROKEN = Finding(rule="san-uri", level=Level.ERROR, text="nothing instead of a uri")


async def check(pem: bytes, key: KeyRecord, about: Context) -> Downloaded:
    """Take one chain and no other."""
    assert key.public
    if pem == ODD:
        brought = await check(LEAF.encode(), key, about)
        return replace_fields(brought, findings=(BROKEN,))
    if pem != LEAF.encode():
        raise ChainError("the certificate is for another key than the request's")
    chain = CheckedChain(
        names=about.config.names,
        pem=LEAF,
        fingerprint="f" * 64,
        serial="ff",
        not_before=START,
        not_after=START + LIFE,
    )
    return Downloaded(chain)


class Counter:
    """Where a person comes with a request or with a chain."""

    def __init__(self) -> None:
        """Begin with a certificate that is issued."""
        self.bench = Bench(deployed())
        self.bench.configure(config("web"))
        self.by_hand = ByHand(self.bench.manager, FakeClock(auto=True), check)

    @property
    def cell(self) -> Cell[CertificateRecord]:
        """Return the certificate."""
        return self.bench.cells.certificates["web"]

    async def ask(self, verb: str, **arguments: Argument) -> dict[str, object]:
        """Ask for a verb."""
        asked = Request(verb=verb, verb_class=VERBS[verb], arguments=arguments)
        return await self.by_hand.handle(asked, self.cell)

    def sign(self) -> None:
        """Do what the job of the request does."""

        def edit(record: CertificateRecord) -> CertificateRecord:
            job = record.requesting
            assert job is not None
            key = replace(record.key(job.phase.key), public=b"spki")
            phase = RequestSigned(
                key=key.id, asked=Asked(names=("web.example",)), pem=PEM
            )
            signed = replace(job, phase=phase)
            return replace(record.with_key(key), requesting=signed)

        self.cell.change(edit)

    async def answered(self, then: Callable[[], None]) -> dict[str, object]:
        """Ask for a request, and do something once its job exists."""
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self.ask("csr", name="web"))
            await spin(lambda: self.cell.record.requesting)
            then()
        return asking.result()


async def test_a_request_is_given_once_it_is_signed() -> None:
    """And again to whoever asks again."""
    counter = Counter()
    assert await counter.answered(counter.sign) == {"name": "web", "csr": PEM}
    assert (await counter.ask("csr", name="web"))["csr"] == PEM


async def test_the_tokens_failure_is_told() -> None:
    """At once, in its own words; the job goes on trying."""
    counter = Counter()

    def fail() -> None:
        def edit(record: CertificateRecord) -> CertificateRecord:
            job = record.requesting
            assert job is not None
            gone = failure("token.absent", at=counter.bench.clock.now())
            return replace(record, requesting=replace(job, failure=gone))

        counter.cell.change(edit)

    with pytest.RaisesGroup(pytest.RaisesExc(CommandError, match="token.absent")):
        await counter.answered(fail)


async def test_a_request_that_is_given_up_is_told() -> None:
    """A configuration may have changed meanwhile."""
    counter = Counter()

    def drop() -> None:
        counter.cell.change(lambda record: replace(record, requesting=None))

    with pytest.RaisesGroup(pytest.RaisesExc(CommandError, match="given up")):
        await counter.answered(drop)


async def test_a_chain_is_taken_for_its_request() -> None:
    """It is durable and published when the answer goes out."""
    counter = Counter()
    await counter.answered(counter.sign)
    answer = await counter.ask("import", name="web", chain=LEAF)
    assert answer == {"name": "web", "done": "import", "serial": "ff"}
    record = counter.cell.record
    assert record.publication_count == 2
    assert record.requesting is None
    with pytest.raises(CommandError, match="no request"):
        await counter.ask("import", name="web", chain=LEAF)


async def test_a_chain_that_fails_a_check_changes_nothing() -> None:
    """The request stays, for the right one."""
    counter = Counter()
    await counter.answered(counter.sign)
    before = counter.cell.record
    with pytest.raises(ChainError, match="another key"):
        await counter.ask("import", name="web", chain="something else")
    assert counter.cell.record == before


async def test_a_chain_that_breaks_its_profile_changes_nothing() -> None:
    """Its rules are named, and where their levels are."""
    counter = Counter()
    await counter.answered(counter.sign)
    before = counter.cell.record
    with pytest.raises(CommandError, match="nothing instead of a uri") as caught:
        await counter.ask("import", name="web", chain=ODD.decode())
    assert "ca.test.lint" in caught.value.hint
    assert counter.cell.record == before


async def test_a_chain_without_a_request_is_refused() -> None:
    """Nobody knows its key."""
    with pytest.raises(CommandError, match="no request that a chain could be for"):
        await Counter().ask("import", name="web", chain=LEAF)
