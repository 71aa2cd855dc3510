"""A replacement ends well whatever happens on the way: no old key, nothing valid."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.jobs import replacing, revoke
from agent.jobs.step import Performed
from agent.records.certificate import CertificateRecord
from agent.records.slots import jobs
from tests.property.test_journey import WEIGHTED, Journey, settled
from tests.vectors.model import Fault


class Replaced(Journey):
    """A journey on which the key turns out to be known to somebody else."""

    def __init__(self, faults: list[Fault]) -> None:
        """Begin with nothing revoked."""
        super().__init__(faults, lists=True)
        self.revoked: set[str] = set()

    def _check(self, effect: Any) -> None:
        if isinstance(effect, revoke.Revoke):
            newest = self.record.current
            assert newest is not None
            assert newest.fingerprint != effect.fingerprint
            assert self.host.served == self.record.publications[-1].number
        super()._check(effect)

    def _perform(self, effect: Any, fault: Fault) -> Any:
        if isinstance(effect, revoke.Revoke):
            issued = self.record.issued_as(effect.fingerprint)
            assert issued is not None
            assert issued.key in self.host.keys
            self.revoked.add(effect.fingerprint)
            return Performed()
        return super()._perform(effect, fault)


def is_over(record: CertificateRecord) -> bool:
    """Tell whether the second certificate is served and nothing is left to do."""
    return settled(2)(record) and not jobs(record)


@settings(max_examples=100)
@given(st.lists(WEIGHTED, max_size=40), st.booleans())
def test_every_replacement_ends_well(faults: list[Fault], held: bool) -> None:
    """The new one is served before the old one is revoked, and its key goes last."""
    journey = Replaced([])
    journey.travel(settled(1))
    first = journey.record
    assert first.current is not None
    begun = replacing.begin(first, journey._moment())  # noqa: SLF001 -- the harness's own
    journey.record = replace(begun, held=held)
    journey._faults[:] = faults  # noqa: SLF001 -- the faults of the second half
    journey.travel(is_over)
    last = journey.record
    assert journey.revoked >= {first.current.fingerprint}
    assert journey.host.keys == {key.id for key in last.keys}
    assert not journey.host.keys & {key.id for key in first.keys}
    assert last.compromised == frozenset()
    assert last.publication_count == journey.host.served
