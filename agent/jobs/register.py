"""The job that registers an account (RFC 8555 section 7.3); idempotent by its key."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.envelope import QUARANTINE_AFTER, backed_off, entered
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.records.job import Disposition, Failure
from agent.records.keys import KeyRecord, KeyState
from agent.records.others import AccountRecord, RegisterJob
from agent.records.phases import AccountKeyChosen, AccountKeyMade

EAB_USED: Final = "acme.eab-used"
"""Kind of the failure of an account whose binding was good for one registration."""


@dataclass(frozen=True, slots=True)
class MakeAccountKey:
    """Make the account key whose CKA_ID is durable."""

    key: KeyRecord
    name = "make-key"


@dataclass(frozen=True, slots=True)
class Register:
    """Post newAccount; the CA answers with the old account where the key has one."""

    key: KeyRecord
    name = "register"


Effect = MakeAccountKey | Register


@dataclass(frozen=True, slots=True)
class AccountKeyExists:
    """The account key was made, or found: SPKI in DER, and its token's serial."""

    public: bytes
    token_serial: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The CA knows the account.

    Attributes:
        url: The account URL, exactly as in `Location`.
        orders: Its list of orders, empty for none.
        contact: The contacts that the CA has.
        eab: Key identifier of the binding that registered it; empty without one.
    """

    url: str
    orders: str
    contact: tuple[str, ...] = ()
    eab: str = ""


Outcome = AccountKeyExists | Registered | Failed


def next_step(record: AccountRecord, now: datetime) -> Do[Effect] | Wait:
    """Return the one thing to do now; asked only while the job exists."""
    job, key = record.register, record.key
    if job is None or key is None:
        return Wait(until=None, reason="nothing to register")
    if job.crashes >= QUARANTINE_AFTER:
        return Wait(until=None, reason="quarantined: the process crashed in this job")
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the ca asked for patience"
        return Wait(until=job.not_before, reason=reason)
    match job.phase:
        case AccountKeyChosen():
            return Do(MakeAccountKey(key))
        case AccountKeyMade():
            return Do(Register(key))


def fold(record: AccountRecord, outcome: Outcome, moment: Moment) -> AccountRecord:
    """Return the account after an effect; a registered one has no job left."""
    job, key = record.register, record.key
    if job is None or key is None:
        return record
    match outcome:
        case AccountKeyExists(public, serial):
            made = replace(key, state=KeyState.MADE, public=public, token_serial=serial)
            phase = AccountKeyMade(given=job.phase.given)
            return replace(record, key=made, register=entered(job, phase))
        case Registered(url, orders, contact, eab):
            used = record.eab_used
            if eab and eab not in used:
                used = (*used, eab)
            return replace(
                record,
                url=url,
                orders=orders,
                contact=contact,
                eab_used=used,
                blocked=None,
                register=None,
            )
        case Failed(failure):
            return replace(record, register=backed_off(job, failure, moment.draw))


def begin(
    record: AccountRecord, key: KeyRecord | None, moment: Moment, given: str = ""
) -> AccountRecord:
    """Return the account with a job that registers it.

    Args:
        record: The account, without a URL.
        key: The key that is made for it; None registers the key that it has.
        moment: Names the job.
        given: What the CA is given of the configuration: the key identifier of a
            binding first.
    """
    made = key is None and record.key is not None and record.key.state is KeyState.MADE
    job = RegisterJob(
        id=moment.token[:12],
        phase=(AccountKeyMade if made else AccountKeyChosen)(given=given),
        reason="the account has no url yet",
        created=moment.now,
    )
    failure = _hopeless(record, moment.now, given.partition(" ")[0])
    if failure is not None:
        job = backed_off(job, failure, moment.draw)
    count = record.key_count + (key is not None)
    return replace(record, key=key or record.key, key_count=count, register=job)


def _hopeless(record: AccountRecord, now: datetime, eab: str) -> Failure | None:
    """Return why an account that the CA has lost is the operator's at once."""
    if record.lost and eab and eab in record.eab_used:
        return Failure(
            kind=EAB_USED,
            message=f"the ca has lost the account, and its binding {eab} was used up",
            hint=(
                "ask the ca's operator for a new external account binding and set "
                f"account.{record.name}.eab"
            ),
            at=now,
            disposition=Disposition.NEEDS_OPERATOR,
        )
    if record.lost <= 1:
        return None
    # Registered anew once; a CA that loses it again is the operator's.
    return Failure(
        kind="acme:accountDoesNotExist",
        message="the ca has lost the account again",
        hint="ask the ca's operator",
        at=now,
        disposition=Disposition.NEEDS_OPERATOR,
    )
