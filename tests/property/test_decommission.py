"""The end of a certificate with its network function, from wherever it has come.

Whatever happened before and happens on the way: nothing is ordered any more, what could
be used is revoked, no key is destroyed under an endpoint that serves it, and at the end
there is no key, nothing is pointed to, and nothing is served.
"""

from dataclasses import replace as with_
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.config.nf import Nf
from agent.jobs import ending, farewell, revoke
from agent.jobs.issue import effects as issue
from agent.jobs.reconcile import reconcile
from agent.jobs.step import Performed
from agent.records.certificate import CertificateRecord
from agent.records.slots import jobs
from tests.property.test_journey import WEIGHTED, Journey, settled
from tests.vectors.model import Fault
from tests.vectors.records import ACCOUNT, certificate_table, fingerprint

UUID = "4ace9d34-2c69-4f99-92d5-a73a3fe8e23b"
STEPS = 12
"""Effects of an end; faults make it longer."""
NF = Nf(instance_id=UUID, types=("AMF",), fqdn="amf1.example")
TABLE = certificate_table(grace="30s", nf="amf1")
QUARANTINED = [
    Fault.CRASH_BEFORE,
    Fault.NONE,
    Fault.CRASH_BEFORE,
    Fault.NONE,
    Fault.NONE,
    Fault.CRASH_BEFORE,
]
"""Three crashes in a farewell, while the revocation goes on: an operator is needed."""
SWAP_CUT_SHORT = [*[Fault.NONE] * 11, Fault.STOP_AFTER]
"""The first swap is done, and nobody has written down that it is."""


class Leaving(Journey):
    """A journey at whose end its network function leaves the host."""

    def __init__(self, faults: list[Fault], *, by_account: bool) -> None:
        """Begin with nothing revoked; the account can revoke, or only keys can."""
        super().__init__(faults, lists=True)
        accounts = {"operator": ACCOUNT} if by_account else {}
        self.context = with_(self.context, config=TABLE, accounts=accounts)
        self.revoked: set[str] = set()
        self.ends = False

    def end(self) -> None:
        """Take the network function away."""
        self.context = with_(self.context, ends=True, nf=NF)
        self.ends = True

    def _check(self, effect: Any) -> None:
        followed = isinstance(effect, issue.FetchOrder | issue.Download)
        ordered = isinstance(effect, issue.Effect) and not followed
        assert not (self.ends and ordered), "it was ordered"
        super()._check(effect)

    def _perform(self, effect: Any, fault: Fault) -> Any:
        match effect:
            case revoke.Revoke(fingerprint, by_key=by_key):
                issued = self.record.issued_as(fingerprint)
                assert issued is not None
                assert not by_key or issued.key in self.host.keys
                self.revoked.add(fingerprint)
            case farewell.Withdraw():
                self.host.live = 0
            case farewell.Tell():
                self.host.served = (
                    self.host.served if fault is Fault.STUBBORN else self.host.live
                )
            case farewell.LookAfter(ours):
                known = self.record.publication(self.host.served)
                shown = known is not None and known.issuance.fingerprint in ours
                return farewell.LookedAfter((), served=shown)
            case ending.Clear():
                self.host.directories.clear()
            case _:
                return super()._perform(effect, fault)
        return Performed()


def is_over(record: CertificateRecord) -> bool:
    """Tell whether nothing is left, and nothing is left to do."""
    return record.ended is not None and not jobs(record)


@settings(max_examples=200)
@given(
    st.integers(min_value=0, max_value=60),
    st.lists(WEIGHTED, max_size=20),
    st.lists(WEIGHTED, max_size=30),
    st.booleans(),
)
@example(begun=36, before=[], after=QUARANTINED, by_account=False)
@example(begun=27, before=SWAP_CUT_SHORT, after=[], by_account=False)
def test_every_end_ends_well(
    begun: int, before: list[Fault], after: list[Fault], by_account: bool
) -> None:
    """From anywhere between the first step and a renewal that is under way."""
    journey = Leaving(before, by_account=by_account)
    leave(journey, begun, after)


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_at_every_step_is_got_over(fault: Fault) -> None:
    """From a certificate in service; one fault at a time, wherever it can strike."""
    for place in range(STEPS):
        journey = Leaving([], by_account=bool(place % 2))
        journey.travel(settled(1))
        leave(journey, 0, [*[Fault.NONE] * place, fault, fault])


def leave(journey: Leaving, begun: int, after: list[Fault]) -> None:
    """Take the network function away after some steps; see that nothing is left."""
    journey.travel(lambda _: journey._count >= begun)  # noqa: SLF001 -- the harness's own
    journey._faults[:] = after  # noqa: SLF001 -- the faults of the second half
    orders = len(journey.ca.orders)
    usable = {i.fingerprint for i in journey.record.issued}
    journey.end()
    journey.travel(is_over)
    last = journey.record
    assert len(journey.ca.orders) == orders
    assert journey.host.keys == set()
    assert journey.host.live == journey.host.served == 0
    assert journey.host.directories == set()
    assert usable <= journey.revoked
    for number, order in enumerate(journey.ca.orders, start=1):
        asked_for = order.status in {"processing", "valid"} and not order.given_up
        assert not asked_for or fingerprint(number) in journey.revoked
    assert last.publications == ()
    assert last.alarms == {}


@given(st.booleans())
def test_what_has_ended_stays_as_it_is_until_its_instance_is_another(
    by_account: bool,
) -> None:
    """Then it begins anew, and its keys are numbered on."""
    journey = Leaving([], by_account=by_account)
    journey.travel(settled(1))
    journey.end()
    journey.travel(is_over)
    ended = journey.record
    moment = journey._moment()  # noqa: SLF001 -- the harness's own
    assert reconcile(ended, journey.context, moment) is ended
    journey.context = with_(journey.context, ends=False)
    journey.ends = False
    journey.travel(settled(2))
    assert journey.record.key_count == 2
    assert journey.record.ended is None
    assert journey.host.served == 2
