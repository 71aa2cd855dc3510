"""Every fault of the script at every request: enrol, renew, revoke, roll a key over.

Exhaustive: the requests are those of a run without faults, and each is struck once by
each fault. Whatever happens, the certificate comes in the end, whoever waits says why
and until when, requests are bounded, and nothing is left behind: no key without a
record, no order open at the CA, no second account, no challenge still presented.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.acme.jws import thumbprint
from agent.records.keys import KeyRecord
from agent.records.slots import jobs
from tests.ca import Config, Fault, Problem, actions
from tests.ca.faults import Action
from tests.integration.world import IMPATIENT, PATIENT, World, world

pytestmark = pytest.mark.integration

CA: Final = Config(order_polls=1)
EXTRA: Final = 6
"""Requests that one fault may cost, beside those of an order that it ends."""
ROLL_OVERS: Final = 12
"""Requests for one roll-over that one fault may cost."""
REVOCATIONS: Final = 2
"""Requests for one revocation that one fault may cost."""
COSTLY: Final = {
    # The client is made impatient for it: on a busy machine it gives up more often.
    "slower than the client waits": 20,
    "processing for five looks": 5,
}
"""Requests that single faults may cost instead."""
OPEN: Final = frozenset({"pending", "ready", "processing"})
MEMORY: Final = Path("/dev/shm")
"""Where durable writes cost nothing; what a disk does is shown elsewhere."""


def refusal(kind: str, status: int = 0) -> Action:
    """Return the fault that answers with a problem document."""
    problem = Problem(type=kind, detail="by the script", status=status)
    return actions.Refuse(problem=problem)


PASSING: Final[dict[str, Action]] = {
    "dropped before it arrives": actions.DropBefore(),
    "dropped before the answer": actions.DropAfter(),
    "slower than the client waits": actions.Delay(0.4),
    "an answer cut short": actions.Truncate(),
    "another media type": actions.ContentType(),
    "html with success": actions.Html(200),
    "html with 502": actions.Html(502),
    "an internal error": refusal("serverInternal"),
    "429 without Retry-After": actions.rate_limited(None),
    "429 with seconds": actions.rate_limited(90),
    "429 with a date": actions.rate_limited(datetime.now(UTC) + timedelta(hours=3)),
    "a refused nonce": actions.bad_nonce(),
    "no nonce": actions.WithoutHeader("Replay-Nonce"),
    "no location": actions.WithoutHeader("Location"),
    "eleven mebibytes": actions.Huge(),
    "a clock a year ahead": actions.WrongDate(),
    "a clock a year behind": actions.WrongDate(timedelta(days=-365)),
    "processing for five looks": actions.Processing(polls=5, retry_after=7),
}
"""What passes by itself: within minutes, or when the CA has said."""
REFUSING: Final[dict[str, Action]] = {
    "html with 403": actions.Html(403),
    "a redirect": actions.Redirect("https://127.0.0.1:1/elsewhere"),
    "unauthorized": refusal("unauthorized"),
    "a type that nobody knows": refusal("urn:example:strange", 418),
}
"""What an operator hears of; the same order goes on when it is tried again."""
DISOWNED: Final = "an account that is forgotten"
"""At the proof of a roll-over this is no fault but an answer: neither key has one."""
ENDING: Final[dict[str, Action]] = {
    "an empty body": actions.Body(b""),
    "json of another shape": actions.Body(b'{"status": 5}'),
    "not found": refusal("malformed", 404),
    "html with 404": actions.Html(404),
    "an order or challenge that turns invalid": actions.TurnInvalid(),
    DISOWNED: refusal("accountDoesNotExist"),
    "a chain of garbage": actions.GarbageChain(),
    "a chain with a private key": actions.ChainWithPrivateKey(),
    "a chain for another key": actions.ChainForAnotherKey(),
    "a chain for another name": actions.ChainWithWrongNames(),
    "a chain that has ended": actions.ExpiredChain(),
}
"""What may end an order, or says that the CA does not know it any more."""
FAULTS: Final = PASSING | REFUSING | ENDING
AT: Final[dict[type[Action], frozenset[str]]] = {
    actions.Processing: frozenset({"finalize", "challenge"}),
    actions.TurnInvalid: frozenset({"finalize", "challenge"}),
    actions.GarbageChain: frozenset({"certificate"}),
    actions.ChainWithPrivateKey: frozenset({"certificate"}),
    actions.ChainForAnotherKey: frozenset({"certificate"}),
    actions.ChainWithWrongNames: frozenset({"certificate"}),
    actions.ExpiredChain: frozenset({"certificate"}),
}
"""Where a fault means something; the others do everywhere."""
FORGOTTEN: Final = frozenset({"not found", "html with 404", DISOWNED})
"""Where the CA says that it does not know the order: nobody goes on with it."""
Requests = tuple[list[str], list[str]]
"""The resources that an enrolment and a renewal ask for, without any fault."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an enrolment or a renewal has cost.

    Attributes:
        requests: Requests from its beginning to its end.
        orders: Orders that the CA has made for it.
    """

    requests: int
    orders: int


@contextmanager
def homes() -> Iterator[Callable[[], Path]]:
    """Give new directories, in memory where that is possible."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as base:
        numbers = itertools.count(1)
        yield lambda: Path(base, str(next(numbers)))


@pytest.fixture(scope="module")
def requests() -> Requests:
    """Return what is asked for where nothing goes wrong."""

    async def watch(home: Path) -> Requests:
        async with world(home, CA) as place:
            await travel(place, 1)
            enrolment = len(place.ca.log)
            await travel(place, 2)
            asked = [entry.resource for entry in place.ca.log]
            return asked[:enrolment], asked[enrolment:]

    with homes() as home:
        return asyncio.run(watch(home()))


async def travel(place: World, number: int, strike: Fault | None = None) -> Cost:
    """Enrol or renew, struck or not, to the end; check what is left."""
    ca, daemon = place.ca, place.daemon
    requests, orders = len(ca.log), len(ca.orders)
    armed = None if strike is None else ca.faults.add(strike)
    if number > 1:
        daemon.renew()
    await daemon.until(lambda: place.deployed(number))
    assert armed is None or armed.struck == 1, "the request never came"
    ca.faults.clear()
    check_waits(place)
    check_nothing_is_left(place, number)
    return Cost(requests=len(ca.log) - requests, orders=len(ca.orders) - orders)


def check_waits(place: World) -> None:
    """Make sure that whoever waited said why, and until when.

    An order waits for its account as long as that takes: then the account says when.
    """
    for pause in place.daemon.pauses:
        for wait in pause.waits:
            assert wait.reason
            assert (wait.until or pause.account_until) is not None, wait


def check_nothing_is_left(place: World, number: int) -> None:
    """Hold what the daemon knows against what the CA and the disk know."""
    record, account = place.daemon.web, place.daemon.account
    assert (record.publication_count, record.alarms) == (number, {})
    newest, leaf = record.publications[-1], place.ca.certificates[-1].leaf
    assert newest.issuance.serial == f"{leaf.serial_number:x}"
    assert newest.key.public == leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    assert account.key is not None
    on_disk = {path.stem for path in (place.home / "state/keys").iterdir()}
    accounts = {key.id for key in (account.key, *account.keys)}
    assert on_disk == {key.id for key in record.keys} | accounts
    [known] = place.ca.accounts
    assert (known.status, account.url) == ("valid", place.ca.urls.account(known.id))
    assert not place.daemon.presented


@pytest.mark.parametrize("name", FAULTS)
def test_every_request_may_be_struck(name: str, requests: Requests) -> None:
    """One fault at each request in turn: the certificate comes, nothing is left."""
    action = FAULTS[name]
    wanted = AT.get(type(action))
    timeout = IMPATIENT if isinstance(action, actions.Delay) else PATIENT
    points = [
        nth
        for nth in range(1, max(map(len, requests)) + 1)
        if any(_strikes(asked, nth, wanted) for asked in requests)
    ]

    async def visit(nth: int, home: Path) -> None:
        async with world(home, CA, timeout=timeout) as place:
            for number, asked in enumerate(requests, start=1):
                fault = Fault(resource=None, action=action, nth=nth)
                struck = _strikes(asked, nth, wanted)
                cost = await travel(place, number, fault if struck else None)
                assert cost.orders <= (2 if name in ENDING else 1), (nth, cost)
                bound = len(asked) * cost.orders + COSTLY.get(name, EXTRA)
                assert cost.requests <= bound, (nth, cost)
            left = [order.status for order in place.ca.orders if order.status in OPEN]
            assert not left or name in FORGOTTEN, (nth, left)

    with homes() as home:
        for nth in points:
            asyncio.run(visit(nth, home()))


@pytest.mark.parametrize("name", FAULTS)
def test_a_revocation_may_be_struck(name: str) -> None:
    """It is revoked all the same, once, and what comes after it is served."""
    action = FAULTS[name]
    timeout = IMPATIENT if isinstance(action, actions.Delay) else PATIENT

    async def revoke(home: Path) -> None:
        async with world(home, CA, timeout=timeout) as place:
            await travel(place, 1)
            [first] = place.ca.certificates
            place.ca.faults.add(Fault(resource="revokeCert", action=action))
            asked = len(place.ca.log.of("revokeCert"))
            place.daemon.revoke()
            await place.daemon.until(lambda: place.deployed(2))
            check_waits(place)
            check_nothing_is_left(place, 2)
            assert list(place.ca.revoked) == [first.serial]
            known = {i.serial: i.revocation for i in place.daemon.web.issued}
            assert known[f"{first.serial:x}"] is not None
            cost = len(place.ca.log.of("revokeCert")) - asked
            assert cost <= COSTLY.get(name, REVOCATIONS), cost

    with homes() as home:
        asyncio.run(revoke(home()))


@pytest.mark.parametrize("name", FAULTS)
def test_a_roll_over_may_be_struck(name: str) -> None:
    """At the change and at its proof: one key is in force, and the CA has that one."""
    action = FAULTS[name]
    timeout = IMPATIENT if isinstance(action, actions.Delay) else PATIENT

    async def roll(resource: str, home: Path) -> None:
        async with world(home, CA, timeout=timeout) as place:
            await travel(place, 1)
            first = place.daemon.account.key
            place.ca.faults.add(Fault(resource=resource, action=action))
            before = len(place.ca.log)
            place.daemon.roll()
            await place.daemon.until(lambda: has_rolled(place, first))
            cost = len(place.ca.log) - before
            assert cost <= COSTLY.get(name, ROLL_OVERS), (resource, cost)
            check_waits(place)
            check_nothing_is_left(place, 1)
            place.ca.faults.clear()
            await travel(place, 2)

    with homes() as home:
        asyncio.run(roll("keyChange", home()))
        if name != DISOWNED:
            asyncio.run(roll("newAccount", home()))


def has_rolled(place: World, first: KeyRecord | None) -> bool:
    """Tell whether another key is in force, the CA has it, and the old one is gone."""
    account = place.daemon.account
    [known] = place.ca.accounts
    assert account.key is not None
    changed = account.key != first and not jobs(account) and not account.keys
    return changed and known.jwk.thumbprint == thumbprint(account.key.public)


def _strikes(asked: list[str], nth: int, wanted: frozenset[str] | None) -> bool:
    """Tell whether the n-th request exists and a fault means something there."""
    return nth <= len(asked) and (wanted is None or asked[nth - 1] in wanted)
