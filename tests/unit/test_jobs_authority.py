"""Which CA is ordered from: fail-over, and back; never on a refusal."""

from dataclasses import replace as with_
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agent.jobs.authority import choose, gated, last_part, order_gated
from agent.jobs.certificate import next_step
from agent.jobs.context import Authority, Context, chosen_of
from agent.jobs.reconcile import next_change, reconcile
from agent.jobs.step import Do, Wait
from agent.records.certificate import CertificateRecord, Choice
from agent.records.job import Disposition, Failure
from agent.records.others import RegisterJob
from agent.records.phases import AccountKeyMade, KeyMade
from agent.records.slots import Slot
from agent.renewal.breaker import Standing
from tests.vectors.records import (
    ACCOUNT,
    DAY,
    NOW,
    context,
    enrolled,
    issue_job,
    key,
    key_id,
    moment,
)

FIRST = Authority(ca="first", directory="https://first.example/dir", account=ACCOUNT)
SECOND = Authority(ca="second", directory="https://second.example/dir", account=ACCOUNT)
DOWN = Standing(down=True, shut_until=NOW + 90 * DAY, shut_reason="down")
REFUSAL = "acme:rejectedIdentifier"
CURRENT = enrolled()
LATE = NOW + 50 * DAY
"""Less than a quarter of the life of `CURRENT` is left, and it is no emergency."""


def told(
    record: CertificateRecord, first: Authority = FIRST, second: Authority = SECOND
) -> Context:
    """Return the context of a certificate with two CAs."""
    chosen = chosen_of((first, second), record.choice)
    return with_(
        context(),
        ca=chosen.ca,
        directory=chosen.directory,
        account=chosen.account,
        standing=chosen.standing,
        authorities=(first, second),
    )


def failure(kind: str, retry: timedelta | None = None) -> Failure:
    """Return a failure at `LATE`."""
    refused = kind == REFUSAL
    return Failure(
        kind=kind,
        message="so it was",
        at=LATE,
        retry_at=None if retry is None else LATE + retry,
        disposition=Disposition.NEEDS_OPERATOR if refused else Disposition.BACK_OFF,
    )


def failing(
    kind: str = "transport",
    *,
    failures: int = 1,
    of: CertificateRecord = CURRENT,
    **more: object,
) -> CertificateRecord:
    """Return a certificate whose issue job has failed at its CA."""
    job = issue_job(
        KeyMade(key=key_id(9)), failures=failures, failure=failure(kind), **more
    )
    keys = (*of.keys, key(9))
    return replace(of, issue=job, wanted=told(of).wanted, keys=keys)


def chosen(
    record: CertificateRecord,
    first: Authority = FIRST,
    second: Authority = SECOND,
    now: timedelta = LATE - NOW,
) -> str:
    """Return the CA that is ordered from next."""
    at = NOW + now
    after = choose(record, told(record, first, second), None, at)
    return told(after, first, second).ca


EMPTY = CertificateRecord(name="amf1")


def test_a_ca_that_does_not_work_is_left_late_and_not_before() -> None:
    """With more than a quarter of the life left there is time to wait for it."""
    assert CURRENT.current is not None
    edge = last_part(CURRENT.current) - NOW
    assert chosen(failing(), now=edge) == "second"
    assert chosen(failing(), now=edge - timedelta(seconds=1)) == "first"


@pytest.mark.parametrize("kind", ["acme:serverInternal", "transport", "acme.protocol"])
def test_errors_lead_to_the_next_ca(kind: str) -> None:
    """Transport and server errors, whatever they are called."""
    assert chosen(failing(kind)) == "second"


@pytest.mark.parametrize(
    "kind", [REFUSAL, "acme:unauthorized", "pki.chain", "token.absent", "solver.bind"]
)
def test_a_refusal_never_does(kind: str) -> None:
    """Nor does trouble of ours: another CA would meet it as well."""
    assert chosen(failing(kind)) == "first"
    assert chosen(failing(kind, of=EMPTY, failures=9)) == "first"


def test_peers_must_trust_it() -> None:
    """A certificate that nobody accepts is worse than an old one."""
    assert chosen(failing(), second=with_(SECOND, trusted=False)) == "first"


def test_the_next_ca_must_be_open_itself() -> None:
    """A breaker, a limit, or its own back-off closes it."""
    limited = Standing(limited_until=LATE + DAY)
    assert chosen(failing(), second=with_(SECOND, standing=DOWN)) == "first"
    assert chosen(failing(), second=with_(SECOND, standing=limited)) == "first"


def test_an_open_breaker_is_reason_enough() -> None:
    """The job has not failed itself: it was never let near the CA."""
    waiting = replace(failing(), issue=issue_job(KeyMade(key=key_id(9))))
    assert chosen(waiting, first=with_(FIRST, standing=DOWN)) == "second"
    assert chosen(waiting) == "first"


@pytest.mark.parametrize(("failures", "ca"), [(2, "first"), (3, "second")])
def test_the_first_certificate_fails_over_after_three_attempts(
    failures: int, ca: str
) -> None:
    """There is no life left to measure by."""
    assert chosen(failing(of=EMPTY, failures=failures)) == ca


def test_an_account_that_cannot_be_registered_counts_as_well() -> None:
    """The issue job waits for it and has no failure of its own."""
    register = RegisterJob(
        id="r",
        phase=AccountKeyMade(),
        reason="new",
        created=NOW,
        failures=3,
        failure=failure("transport"),
    )
    account = replace(ACCOUNT, url="", register=register)
    waiting = replace(failing(of=EMPTY), issue=issue_job(KeyMade(key=key_id(9))))
    assert chosen(waiting, first=with_(FIRST, account=account)) == "second"


def test_what_was_met_before_this_renewal_says_nothing_of_now() -> None:
    """The first CA is tried again before it is left again."""
    register = RegisterJob(
        id="r",
        phase=AccountKeyMade(),
        reason="new",
        created=NOW,
        failures=3,
        failure=replace(failure("transport"), at=NOW),
    )
    account = replace(ACCOUNT, url="", register=register)
    job = issue_job(KeyMade(key=key_id(9)), created=LATE)
    waiting = replace(failing(), issue=job)
    assert chosen(waiting, first=with_(FIRST, account=account)) == "first"
    probed = Standing(down=True, shut_until=LATE)
    assert chosen(waiting, first=with_(FIRST, standing=probed)) == "first"


def test_in_an_emergency_patience_leads_to_the_next_ca() -> None:
    """A Retry-After is obeyed; it makes the next CA eligible instead."""
    assert CURRENT.current is not None
    end = CURRENT.current.not_after - NOW - timedelta(minutes=30)
    limit = failing("acme:rateLimited")
    assert limit.issue is not None
    asked = replace(failure("acme:rateLimited"), retry_at=NOW + 90 * DAY)
    limit = replace(limit, issue=replace(limit.issue, failure=asked))
    assert chosen(limit) == "first"
    assert chosen(limit, now=end) == "second"
    others = replace(failing(), issue=issue_job(KeyMade(key=key_id(9))))
    standing = Standing(limited_until=NOW + 90 * DAY)
    assert chosen(others, first=with_(FIRST, standing=standing), now=end) == "second"


@pytest.mark.parametrize("envelope", [{"running": True}, {"crashes": 1}])
def test_what_is_under_way_is_not_moved(envelope: dict[str, object]) -> None:
    """Its effect comes back first."""
    assert chosen(failing(**envelope)) == "first"  # type: ignore[arg-type]  # a table of tests


def switched() -> CertificateRecord:
    """Return a certificate that has just failed over, with its new job."""
    record = failing(not_before=LATE + timedelta(minutes=1), failures=4)
    record = choose(record, told(record), "due", LATE)
    return reconcile(record, told(record), moment(LATE))


def test_the_job_begins_anew_and_the_choice_is_durable() -> None:
    """With the key of this renewal, no failures, and the reason in the record."""
    record = switched()
    assert record.choice is not None
    assert record.choice.reason == (
        "first does not work and little of the life is left: so it was"
    )
    assert record.issue is not None
    assert (record.issue.failures, record.issue.phase) == (0, KeyMade(key=key_id(9)))
    assert record.wanted is not None
    assert record.wanted.ca == "second"
    assert record.parked["first"].failures == 4
    assert record.alarms["stand-in"].cause.startswith("ordered from second")


def test_two_cas_that_fail_in_turn_are_no_storm() -> None:
    """Each keeps its own back-off: neither is asked before its own instant."""
    record = switched()
    assert record.issue is not None
    again = replace(
        record.issue,
        failures=1,
        failure=failure("transport"),
        not_before=LATE + 2 * DAY,
    )
    record = replace(record, issue=again)
    ctx = told(record)
    assert choose(record, ctx, "due", LATE) is record
    at = LATE + timedelta(minutes=1)
    assert next_change(record, ctx, LATE) == at
    back = choose(record, ctx, "due", at)
    assert back.choice is None
    back = reconcile(back, told(back), moment(at))
    assert back.issue is not None
    # Its next failure is the fifth in a row.
    assert back.issue.failures == 4
    assert back.parked["second"].not_before == LATE + 2 * DAY
    assert choose(back, told(back), "due", at) is back


def test_a_stand_in_that_refuses_leads_back() -> None:
    """That is no downgrade: any failure will do."""
    record = switched()
    assert record.issue is not None
    job = replace(record.issue, failures=1, failure=failure(REFUSAL))
    record = replace(record, issue=job)
    assert chosen(record, now=LATE - NOW + timedelta(minutes=1)) == "first"


def issued() -> CertificateRecord:
    """Return a certificate that was issued by the second CA."""
    record = switched()
    newest = record.publications[-1]
    issuance = replace(newest.issuance, ca="second", directory=SECOND.directory)
    return replace(
        record,
        issue=None,
        wanted=None,
        parked={},
        publications=(*record.publications[:-1], replace(newest, issuance=issuance)),
    )


def test_the_stand_in_serves_until_the_next_renewal() -> None:
    """Nothing is ordered again only because the first CA is there again."""
    record = issued()
    assert record.choice is not None
    early = moment(NOW + DAY)
    assert reconcile(record, told(record), early).issue is None
    assert choose(record, told(record), None, NOW) is record
    back = choose(record, told(record), "renewal is due", LATE)
    assert back.choice is None
    job = reconcile(back, told(back), moment(LATE)).issue
    assert job is not None
    assert job.reason == "renewal is due by the rule two-thirds"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (with_(FIRST, directory="https://new.example/dir"), SECOND),
        (FIRST, with_(SECOND, directory="https://new.example/dir")),
        (SECOND, FIRST),
    ],
    ids=["another first", "another second", "reversed"],
)
def test_a_changed_configuration_voids_the_choice(
    first: Authority, second: Authority
) -> None:
    """Switching CA is a change of the configuration and nothing else."""
    record = issued()
    after = choose(record, told(record, first, second), None, NOW)
    assert after.choice is None
    assert told(after, first, second).ca == first.ca


def test_one_ca_leaves_nothing_to_choose() -> None:
    """Also what an earlier list has left behind goes."""
    choice = Choice(ca="second", directory="d", first="f", since=NOW, reason="gone")
    record = replace(failing(), choice=choice)
    after = choose(record, context(), None, LATE)
    assert after.choice is None
    assert choose(after, context(), None, LATE) is after


def test_a_held_certificate_stays_where_it_is() -> None:
    """An operator has it in hand."""
    assert chosen(replace(failing(), held=True)) == "first"


def test_the_gate_knows_what_an_emergency_overrides() -> None:
    """The breaker, and never what the CA itself has asked for."""
    asked = with_(DOWN, asked=True)
    assert gated(DOWN, NOW, urgent=False) == Wait(until=DOWN.shut_until, reason="down")
    assert gated(DOWN, NOW, urgent=True) is None
    assert gated(asked, NOW, urgent=True) is not None
    assert gated(Standing(), NOW, urgent=False) is None


def job_at(phase: KeyMade, standing: Standing) -> Do[object] | Wait:
    """Return the next step of an issue job at a CA in this state."""
    record = replace(failing(), issue=issue_job(phase))
    first = with_(FIRST, standing=standing)
    step = next_step(record, Slot("issue"), told(record, first), LATE)
    return step if isinstance(step, Wait) else Do(step.effect)


def test_a_limit_and_a_rate_hold_new_orders_only() -> None:
    """Each with its reason and its instant."""
    limited = Standing(limited_until=LATE + DAY, limited_reason="too many")
    wait = order_gated(limited, LATE)
    assert wait == Wait(
        until=LATE + DAY, reason="the account has met a limit: too many"
    )
    paced = Standing(order_at=LATE + DAY)
    assert order_gated(paced, LATE) is not None
    assert order_gated(Standing(), LATE) is None
    made = KeyMade(key=key_id(9))
    assert job_at(made, limited) == wait
    assert isinstance(job_at(made, DOWN), Wait)
    assert isinstance(job_at(made, Standing()), Do)
