"""The workshop knows who performs what, and clears away what it set up."""

import asyncio
import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.benches import Tools
from agent.config.authorities import Ca, allowed_hosts
from agent.config.endpoints import Endpoint, Reload
from agent.config.hook import Hook
from agent.config.model import Config
from agent.files import FileError
from agent.jobs import deploy, register, retire
from agent.jobs.hooks import Deliver
from agent.jobs.issue import effects
from agent.jobs.step import Performed
from agent.records.certificate import CertificateRecord, IssueJob
from agent.records.hook import HookEvent, HookRecord
from agent.records.phases import (
    Answering,
    AuthorizationRecord,
    KeyMade,
    OrderRecord,
)
from agent.records.slots import Slot
from agent.transport import HttpsTransport, Peer, TransportError
from agent.trust.errors import UnknownError
from agent.workshop import Workshop
from tests.ca.transport import make_transport
from tests.fakes.clock import START, FakeClock
from tests.fakes.subjects import account, config, context, deployed, table
from tests.fakes.tools import Hands, Line
from tests.unit.vectors import RFC7515_A3_SPKI

ISSUE = Slot("issue")
WANTED = AuthorizationRecord(
    url="https://test.example/authz",
    identifier="web.example",
    challenge="https://test.example/challenge",
    token="token",
)


class Shop:
    """A workshop with its tools.

    Attributes:
        hands: Who performs.
        lines: Every transport that was made.
        lists: What lists trust.
        workshop: The workshop.
    """

    def __init__(self, of: Config) -> None:
        """Configure it."""
        self.hands = Hands()
        self.lines: list[Line] = []
        self.lists: dict[str, str] = {}
        hands = self.hands
        self.workshop = Workshop(
            Tools(
                keys=hands,
                solvers={"http-01": hands},
                publisher=hands,
                signaller=hands,
                retriever=hands,
                prober=hands,
                preflight=hands,
                clock=FakeClock(),
                observer=hands,
                read_secret=lambda _: b"",
                connect=self._connect,
                reach=lambda table, roots: pytest.fail(f"{table} {roots}"),
                roots=hands,
                trusted=lambda name: self.lists.get(name, ""),
                programs=hands.run_program,
            )
        )
        self.workshop.configure(of)

    def _connect(self, of: Ca, roots: str | None) -> Line:
        self.lines.append(Line(of, roots))
        return self.lines[-1]

    async def answer(self, record: CertificateRecord) -> object:
        """Answer the challenge of a certificate."""
        key = replace(record.keys[0], public=RFC7515_A3_SPKI)
        about = dataclasses.replace(
            context(table(record.name)), account=replace(account(), key=key)
        )
        wanted = replace(WANTED, token=f"token-{record.name}")
        return await self.workshop.for_certificate(
            record, ISSUE, effects.Answer(wanted), about
        )


def answering(name: str = "web") -> CertificateRecord:
    """Return a certificate whose challenge is about to be answered."""
    record = deployed(name)
    key = record.keys[0].id
    order = OrderRecord(url="https://test.example/o", finalize="https://test.example/f")
    phase = Answering(key=key, order=order, authorizations=(WANTED,))
    job = IssueJob(id="j", phase=phase, reason="due", created=START)
    return replace(record, issue=job)


def moved_on(record: CertificateRecord) -> CertificateRecord:
    """Return the certificate after its challenge."""
    assert record.issue is not None
    phase = KeyMade(key=record.issue.phase.key)
    return replace(record, issue=replace(record.issue, phase=phase))


def with_roots(of: Config, path: Path) -> Config:
    """Return a configuration whose CA's anchors are in a file."""
    return replace(of, ca={"test": replace(of.ca["test"], roots=str(path))})


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """Return a file with anchors, under a name that is not ASCII."""
    path = tmp_path / "roots.pem"
    text = "# Zürich Wurzel, größer\n" + make_transport("127.0.0.1").root_pem.decode()
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("effect", "done"),
    [
        (deploy.Publish(1), "publish web 1"),
        (deploy.Swap(1), "swap web@edge 1"),
        (deploy.Tell(), "tell nginx.service"),
        (deploy.Prune(), "prune web [1]"),
        (retire.DestroyKey(f"{1:032x}"), "destroy 1"),
        (retire.PruneAfter(), "prune web [1]"),
    ],
)
async def test_each_effect_finds_who_performs_it(
    effect: deploy.Effect | retire.Effect, done: str
) -> None:
    """No CA is asked for what is done on this host."""
    shop = Shop(config("web"))
    edge = Endpoint(name="edge", reload=Reload(unit="nginx.service"))
    of_key = isinstance(effect, retire.DestroyKey | retire.PruneAfter)
    slot = Slot("retire", f"{1:032x}") if of_key else Slot("deploy", "edge")
    outcome = await shop.workshop.for_certificate(
        deployed(), slot, effect, context(table("web", edge))
    )
    assert outcome == Performed()
    assert shop.hands.done == [done]
    assert shop.lines == []


async def test_an_endpoint_that_was_removed_is_neither_told_nor_asked() -> None:
    """Its deployment ends without it."""
    shop = Shop(config("web"))
    for effect in (deploy.Tell(), deploy.LookBefore()):
        await shop.workshop.for_certificate(
            deployed(), Slot("deploy", "gone"), effect, context()
        )
    assert shop.hands.done == []


async def test_an_account_is_registered_at_its_ca() -> None:
    """The first effect makes the client."""
    shop = Shop(config("web"))
    known = account(url="")
    assert known.key is not None
    made = await shop.workshop.for_account(known, register.MakeAccountKey(known.key))
    assert made == register.AccountKeyExists(RFC7515_A3_SPKI, "")
    key = replace(known.key, public=RFC7515_A3_SPKI)
    done = await shop.workshop.for_account(
        replace(known, key=key), register.Register(key)
    )
    assert done == register.Registered("https://test.example/made", "")
    assert len(shop.lines) == 1


async def test_a_failure_at_a_ca_is_observed() -> None:
    """And handed on to the job."""
    shop = Shop(config("web"))
    await shop.answer(answering())
    shop.lines[0].dead = True
    with pytest.raises(TransportError):
        await shop.answer(answering())
    assert shop.hands.errors == ["test transport"]


async def test_jobs_side_by_side_share_one_client(roots: Path) -> None:
    """At a start many are due: one directory, one set of connections and challenges."""
    shop = Shop(with_roots(config("a", "b", "c"), roots))
    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b", "c"):
            tasks.create_task(shop.answer(answering(name)))
    [line] = shop.lines
    assert line.requests.count("GET https://test.example/directory") <= 3
    assert shop.hands.up == {"token-a", "token-b", "token-c"}
    await shop.workshop.aclose()
    assert shop.hands.up == set()
    assert line.rested == 1


async def test_a_challenge_is_taken_down_when_the_job_has_moved_on() -> None:
    """While it is answered it stays, whatever else the certificate does."""
    shop = Shop(config("web"))
    record = answering()
    await shop.answer(record)
    await shop.workshop.settle(record)
    assert shop.hands.up == {"token-web"}
    await shop.workshop.settle(moved_on(record))
    assert shop.hands.up == set()


async def test_an_unchanged_ca_keeps_its_client_over_a_reload() -> None:
    """Its nonces and its directory are still good."""
    shop = Shop(config("web"))
    await shop.answer(answering())
    shop.workshop.configure(config("web", "more"))
    await shop.answer(answering())
    assert len(shop.lines) == 1


@pytest.mark.parametrize("how", ["settle", "rest", "aclose"])
async def test_what_a_reload_replaces_is_cleared_away(how: str) -> None:
    """A challenge of the old client is taken down, and its connections are closed."""
    shop = Shop(config("web"))
    await shop.answer(answering())
    changed = config("web")
    again = {"test": replace(changed.ca["test"], timeout="9s")}
    shop.workshop.configure(replace(changed, ca=again))
    assert shop.hands.up == {"token-web"}
    match how:
        case "settle":
            await shop.workshop.settle(moved_on(answering()))
        case "rest":
            await shop.workshop.rest()
        case _:
            await shop.workshop.aclose()
    assert shop.hands.up == set()
    await shop.workshop.aclose()
    assert shop.lines[0].rested == 1
    await shop.answer(answering())
    assert [line.table.timeout for line in shop.lines] == ["30s", "9s"]


async def test_a_reload_while_the_roots_are_read_leaves_nothing(roots: Path) -> None:
    """The effect under way ends as it began; the next one has the new client."""
    before = with_roots(config("web"), roots)
    shop = Shop(before)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(shop.answer(answering()))
        await asyncio.sleep(0)
        after = {"test": replace(before.ca["test"], timeout="9s")}
        shop.workshop.configure(replace(before, ca=after))
    await shop.answer(answering("other"))
    assert [line.table.timeout for line in shop.lines] == ["30s", "9s"]
    await shop.workshop.aclose()
    assert shop.hands.up == set()
    assert [line.rested for line in shop.lines] == [1, 1]


async def test_rest_lets_every_connection_go() -> None:
    """Of every CA that was asked."""
    shop = Shop(config("web"))
    await shop.workshop.rest()
    await shop.answer(answering())
    await shop.workshop.rest()
    assert [line.rested for line in shop.lines] == [1]


async def test_roots_may_stand_under_names_in_any_script(roots: Path) -> None:
    """What is around the certificates is for people."""
    shop = Shop(with_roots(config("web"), roots))
    await shop.answer(answering())
    [line] = shop.lines
    peer = Peer(hosts=frozenset(), roots=line.roots, timeout=timedelta(seconds=1))
    HttpsTransport(peer)


async def test_roots_that_are_missing_are_a_failure_of_the_job(tmp_path: Path) -> None:
    """They are read again at the next attempt."""
    shop = Shop(with_roots(config("web"), tmp_path / "none.pem"))
    with pytest.raises(FileError, match=r"none\.pem: no such file"):
        await shop.answer(answering())
    (tmp_path / "none.pem").write_text("now it is there")
    await shop.answer(answering())


async def test_a_job_without_an_account_is_a_bug() -> None:
    """The core does not run it; if it does, nothing is sent."""
    shop = Shop(config("web"))
    with pytest.raises(LookupError):
        await shop.workshop.for_certificate(
            answering(), ISSUE, effects.Answer(WANTED), context()
        )
    assert all(not line.requests for line in shop.lines)


@pytest.mark.parametrize(
    ("directory", "listed", "allowed"),
    [
        ("https://ca.example/dir", (), {"ca.example"}),
        ("https://CA.example:14000/dir", (), {"ca.example:14000"}),
        ("https://ca/dir", ("Other.example", "b:1"), {"ca", "other.example", "b:1"}),
    ],
)
def test_the_host_of_the_directory_may_be_asked(
    directory: str, listed: tuple[str, ...], allowed: set[str]
) -> None:
    """And those that the operator listed."""
    ca = Ca(directory=directory, roots="system", allowed_hosts=listed)
    assert allowed_hosts(ca) == allowed


async def test_a_ca_whose_roots_follow_a_list_is_reached_with_the_newest() -> None:
    """A client is made anew when the list has changed, and kept while it has not."""
    of = config("web")
    shop = Shop(replace(of, ca={"test": replace(of.ca["test"], roots="trust:ours")}))
    with pytest.raises(UnknownError, match="the list ours"):
        await shop.answer(answering())
    assert shop.lines == []
    for roots in ("one", "one", "one and two"):
        shop.lists["ours"] = roots
        await shop.answer(answering())
    assert [line.roots for line in shop.lines] == ["one", "one and two"]
    await shop.workshop.rest()
    assert [line.rested for line in shop.lines] == [1, 1]


async def test_an_event_is_given_to_the_program_of_its_hook() -> None:
    """With its time and with nothing in its environment."""
    shop = Shop(config("web"))
    table = Hook(on=("deployed",), command=("/usr/libexec/nrf",), within="7s")
    record = HookRecord(name="nrf", stream="5" * 16)
    event = HookEvent(sequence=3, event="deployed", at=START, queued=START)
    done = await shop.workshop.for_hook(record, Deliver(event), table)
    assert done == Performed()
    (said,) = shop.hands.done
    assert said.startswith("run /usr/libexec/nrf for 0:00:07: {")
    assert f'"id":"{"5" * 16}-3"' in said
