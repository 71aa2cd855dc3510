"""Properties of reconciliation, for any record that could have come about."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.jobs.certificate import next_step
from agent.jobs.context import Context
from agent.jobs.reconcile import next_change, reconcile
from agent.jobs.references import kept, needed_keys, needed_publications
from agent.jobs.retire import DestroyKey, begin
from agent.jobs.step import Do, Wait
from agent.records.certificate import CertificateRecord, EndpointRecord
from agent.records.keys import KeyState
from agent.records.phases import Stage
from agent.records.slots import Slot, jobs
from tests.vectors.records import (
    DAY,
    NOW,
    PHASES,
    TOLD_AND_WATCHED,
    certificate_table,
    context,
    deploy_job,
    issue_job,
    key,
    key_id,
    moment,
    publication,
)

NUMBERS = st.integers(0, 5)
NAMES = st.sampled_from(["", "b"])
LATER = st.timedeltas(timedelta(0), 100 * DAY)
CONTEXTS = st.builds(
    lambda names, grace, never: context(
        certificate_table(
            endpoints=[replace(TOLD_AND_WATCHED, name=n) for n in sorted(names)],
            grace=grace,
        ),
        never_destroy=never,
    ),
    st.sets(NAMES),
    st.sampled_from(["0s", "24h"]),
    st.booleans(),
)


@st.composite
def records(draw: st.DrawFn) -> CertificateRecord:
    """Return records whose parts refer to each other, in any state of affairs."""
    numbers = sorted(draw(st.sets(st.integers(1, 5))))
    states = st.sampled_from([KeyState.MADE, KeyState.CONDEMNED, KeyState.DESTROYED])
    keys = tuple(key(n, draw(states), adopted=draw(st.booleans())) for n in range(1, 6))
    endpoint = st.builds(
        EndpointRecord,
        live=NUMBERS,
        proven=NUMBERS,
        by=st.sampled_from(["wire", "nobody-asked", "operator"]),
    )
    deployment = st.builds(
        lambda stage, number, previous, running: replace(
            deploy_job(stage, number, previous=previous), running=running
        ),
        st.sampled_from(list(Stage)),
        st.integers(1, 5),
        NUMBERS,
        st.booleans(),
    )
    going = draw(st.sets(st.integers(1, 5)))
    retire = {
        key_id(n): replace(begin(moment(), key_id(n)), running=draw(st.booleans()))
        for n in going
    }
    phase = draw(st.sampled_from([None, *PHASES.values()]))
    return CertificateRecord(
        name="amf1",
        keys=keys,
        key_count=5,
        publications=tuple(publication(n) for n in numbers),
        publication_count=5,
        endpoints=draw(st.dictionaries(NAMES, endpoint)),
        issue=None if phase is None else issue_job(phase),
        deploy=draw(st.dictionaries(NAMES, deployment)),
        retire=retire,
        held=draw(st.booleans()),
    )


@given(records(), CONTEXTS, LATER)
def test_asked_again_it_changes_nothing(
    record: CertificateRecord, told: Context, after: timedelta
) -> None:
    """The very same record comes back."""
    now = NOW + after
    once = reconcile(record, told, moment(now))
    again = moment(now, draw=0.9, token="cd" * 16)
    assert reconcile(once, told, again) is once
    then = next_change(once, told, now)
    assert then is None or then > now


@given(records(), CONTEXTS, LATER)
def test_no_key_that_is_needed_is_destroyed(
    record: CertificateRecord, told: Context, after: timedelta
) -> None:
    """Whatever a record holds, its jobs spare what anything refers to, and adopted."""
    now = NOW + after
    settled = reconcile(record, told, moment(now))
    needed = needed_keys(settled, told, now)
    adopted = {k.id for k in settled.keys if k.adopted}
    for identity, job in settled.retire.items():
        step = next_step(settled, Slot("retire", identity), told, now)
        if isinstance(step, Do) and isinstance(step.effect, DestroyKey):
            assert (
                job.running
                or identity not in needed | adopted
                or (settled.key(identity).state is KeyState.DESTROYED)
            )


@given(records(), CONTEXTS, LATER)
def test_what_is_needed_is_kept(
    record: CertificateRecord, told: Context, after: timedelta
) -> None:
    """A directory that anything may point to stays, and so does its key's."""
    now = NOW + after
    known = {p.number for p in record.publications}
    assert needed_publications(record, told, now) & known <= kept(record, told, now)


@given(records(), CONTEXTS, LATER)
def test_every_job_does_something_or_says_why_not(
    record: CertificateRecord, told: Context, after: timedelta
) -> None:
    """No combination of jobs and states leaves the next step open."""
    now = NOW + after
    settled = reconcile(record, told, moment(now))
    for slot in jobs(settled):
        step = next_step(settled, slot, told, now)
        assert isinstance(step, Do) or step.reason
        assert not (isinstance(step, Wait) and step.until and step.until <= now)
