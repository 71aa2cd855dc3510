"""The job that replaces an account's key (RFC 8555 section 7.3.5), in two phases.

The new key exists before the CA hears of it, and the old one is given up only when the
CA has shown which of the two is in force: asked by newAccount with onlyReturnExisting,
which either key can sign. So neither a lost answer nor a crash can lose the account.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agent.jobs.choosing import choose_key
from agent.jobs.context import AccountContext
from agent.jobs.envelope import backed_off, entered
from agent.jobs.retire import begin as begin_retirement
from agent.jobs.step import Do, Failed, Moment, Wait
from agent.records.job import Disposition, Failure
from agent.records.keys import KeyRecord, KeyState
from agent.records.others import AccountRecord, RollJob
from agent.records.phases import NewKeyChosen, NewKeyMade, Probing, RollGate

_UNSENT: Final = frozenset({"acme:badNonce", "acme:rateLimited"})
"""Refusals of a request that was not looked at: nothing has changed."""


@dataclass(frozen=True, slots=True)
class FindKeyChange:
    """Look in the directory for a keyChange, before a key is made for it."""

    name = "find-key-change"


@dataclass(frozen=True, slots=True)
class MakeNewKey:
    """Make the new account key whose CKA_ID is durable."""

    key: KeyRecord
    name = "make-new-key"


@dataclass(frozen=True, slots=True)
class ChangeKey:
    """Post keyChange; not idempotent, so a lost answer is followed by probes."""

    key: KeyRecord
    name = "change-key"


@dataclass(frozen=True, slots=True)
class ProbeNewKey:
    """Ask which account the CA knows by the new key; makes none."""

    key: KeyRecord
    name = "probe-new-key"


@dataclass(frozen=True, slots=True)
class ProbeOldKey:
    """Ask which account the CA knows by the old key; makes none."""

    key: KeyRecord
    name = "probe-old-key"


Effect = FindKeyChange | MakeNewKey | ChangeKey | ProbeNewKey | ProbeOldKey


@dataclass(frozen=True, slots=True)
class KeyChangeOffered:
    """The directory has a keyChange."""


@dataclass(frozen=True, slots=True)
class NewKeyExists:
    """The new key was made, or found: SPKI in DER, and its token's serial."""

    public: bytes
    token_serial: str


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """The CA says that it has changed the key."""


@dataclass(frozen=True, slots=True)
class Probed:
    """The URL of the account that a key has; empty where the CA knows none."""

    url: str


Outcome = KeyChangeOffered | NewKeyExists | KeyChanged | Probed | Failed


def is_asked(record: AccountRecord) -> bool:
    """Tell whether nobody knows which key of an account is in force.

    Nothing else may be signed meanwhile: the CA would refuse it, and for good.
    """
    job = record.roll
    if job is None:
        return False
    asked = isinstance(job.phase, NewKeyMade) and job.intent != ""
    return asked or isinstance(job.phase, Probing)


def next_step(  # noqa: PLR0911 -- one arm a phase
    record: AccountRecord, job: RollJob, context: AccountContext, now: datetime
) -> Do[Effect] | Wait:
    """Return the one thing to do now."""
    if job.not_before is not None and now < job.not_before:
        reason = job.failure.message if job.failure else "the ca asked for patience"
        return Wait(until=job.not_before, reason=reason)
    match job.phase:
        case RollGate():
            return Do(FindKeyChange())
        case NewKeyChosen(key=key):
            return Do(MakeNewKey(record.spare(key)))
        case NewKeyMade(key=key) if job.intent:
            return Do(ProbeNewKey(record.spare(key)))
        case NewKeyMade(key=key):
            busy = _busy(record, context)
            return Wait(until=None, reason=busy) if busy else Do(_change(record, key))
        case Probing(key=key, unknown=False):
            return Do(ProbeNewKey(record.spare(key)))
        case Probing(key=key):
            return Do(ProbeOldKey(record.key or record.spare(key)))


def _change(record: AccountRecord, key: str) -> ChangeKey:
    return ChangeKey(record.spare(key))


def _busy(record: AccountRecord, context: AccountContext) -> str:
    """Return what the old key is still needed for; empty for nothing.

    A key authorization contains the thumbprint (section 8.1): a challenge that was
    answered with the old key cannot be validated under the new one.
    """
    if context.busy:
        return f"waits for the order of {context.busy}, which is bound to the old key"
    if record.update is not None and record.update.running:
        return "waits for the update of the contacts"
    return ""


def fold(  # noqa: PLR0911 -- one arm an outcome
    record: AccountRecord,
    job: RollJob,
    effect: Effect,
    outcome: Outcome,
    context: AccountContext,
    moment: Moment,
) -> AccountRecord:
    """Return the account after an effect."""
    match outcome:
        case KeyChangeOffered():
            return _chosen(record, job, context, moment)
        case NewKeyExists(public, serial) if isinstance(effect, MakeNewKey):
            made = replace(
                effect.key, state=KeyState.MADE, public=public, token_serial=serial
            )
            keys = tuple(made if key.id == made.id else key for key in record.keys)
            after = entered(job, NewKeyMade(key=made.id))
            return replace(record, keys=keys, roll=after)
        case KeyChanged() if isinstance(effect, ChangeKey):
            return replace(record, roll=entered(job, Probing(key=effect.key.id)))
        case Probed(url) if isinstance(effect, ProbeNewKey):
            return _new_probed(record, job, effect, url, moment)
        case Probed(url):
            return _old_probed(record, job, url, moment)
        case Failed(failure):
            return replace(record, roll=_failed(job, effect, failure, moment))
        case _:
            return replace(record, roll=entered(job, job.phase))


def _chosen(
    record: AccountRecord, job: RollJob, context: AccountContext, moment: Moment
) -> AccountRecord:
    key = choose_key(
        context.config.key,
        subject=f"account:{record.name}",
        number=record.key_count + 1,
        install=context.install,
        moment=moment,
    )
    others = tuple(other for other in record.keys if other.id != key.id)
    return replace(
        record,
        keys=(*others, key),
        key_count=key.number,
        roll=entered(job, NewKeyChosen(key=key.id)),
    )


def _failed(job: RollJob, effect: Effect, failure: Failure, moment: Moment) -> RollJob:
    """Keep the phase where the CA has surely not changed the key; else probe."""
    after = backed_off(job, failure, moment.draw)
    ours = not failure.kind.startswith(("acme", "transport"))
    match effect:
        case ChangeKey(key) if not (ours or failure.kind in _UNSENT):
            phase = Probing(key=key.id, answer=failure)
            # A refusal is no reason to wait before asking which key is in force.
            refused = failure.disposition is Disposition.NEEDS_OPERATOR
            return entered(job, phase) if refused else replace(after, phase=phase)
        case ProbeNewKey(key) if isinstance(job.phase, NewKeyMade):
            # After a crash: that it was asked must outlive the intent.
            return replace(after, phase=Probing(key=key.id, answer=_lost(moment)))
        case _:
            return after


def _new_probed(
    record: AccountRecord, job: RollJob, effect: ProbeNewKey, url: str, moment: Moment
) -> AccountRecord:
    if url == record.url:
        return _settled(record, effect.key, moment)
    phase = job.phase
    answer = phase.answer if isinstance(phase, Probing) else _lost(moment)
    if url:
        reason = "the new key belongs to another account of the ca"
        answer = _refusal(reason, moment)
    probing = Probing(key=effect.key.id, answer=answer, unknown=True)
    return replace(record, roll=entered(job, probing))


def _settled(record: AccountRecord, new: KeyRecord, moment: Moment) -> AccountRecord:
    """Put the new key in force and the old one on its way out, in one write."""
    old = record.key
    rest = tuple(key for key in record.keys if key.id != new.id)
    record = replace(record, key=new, keys=rest, roll=None, roll_asked=None)
    return record if old is None else condemned(record, old, moment)


def _old_probed(
    record: AccountRecord, job: RollJob, url: str, moment: Moment
) -> AccountRecord:
    phase = job.phase
    if not isinstance(phase, Probing):
        return record
    if url != record.url:
        # Known by neither key: the CA has lost the account, and it is made anew.
        lost = replace(record, url="", roll=None, lost=record.lost + 1)
        return condemned(lost, record.spare(phase.key), moment)
    answer = phase.answer
    if answer is None:
        answer = _refusal("the ca took the new key and does not know it", moment)
    if answer.disposition is not Disposition.NEEDS_OPERATOR:
        # The change was lost on its way: it is asked for again, with the same key.
        return replace(record, roll=entered(job, NewKeyMade(key=phase.key)))
    waiting = backed_off(replace(job, phase=RollGate()), answer, moment.draw)
    refused = replace(record, roll=waiting)
    return condemned(refused, record.spare(phase.key), moment)


def _refusal(message: str, moment: Moment) -> Failure:
    return Failure(
        kind="acme.key-change-refused",
        message=message,
        hint="the old account key stays in force; ask the ca's operator",
        at=moment.now,
        disposition=Disposition.NEEDS_OPERATOR,
    )


def _lost(moment: Moment) -> Failure:
    """Return why a change is asked for again after a crash."""
    return Failure(
        kind="transport",
        message="the answer to keyChange was lost",
        at=moment.now,
        disposition=Disposition.BACK_OFF,
    )


def condemned(record: AccountRecord, key: KeyRecord, moment: Moment) -> AccountRecord:
    """Return the account with a key on its way out; one that is adopted is let go."""
    rest = tuple(other for other in record.keys if other.id != key.id)
    if key.adopted:
        return replace(record, keys=rest)
    gone = replace(key, state=KeyState.CONDEMNED, condemned_at=moment.now)
    retire = {**record.retire, key.id: begin_retirement(moment, key.id)}
    return replace(record, keys=(*rest, gone), retire=retire)


def begin(record: AccountRecord, reason: str, moment: Moment) -> AccountRecord:
    """Return the account with a job that replaces its key."""
    job = RollJob(
        id=moment.token[:12], phase=RollGate(), reason=reason, created=moment.now
    )
    return replace(record, roll=job)


def given_up(record: AccountRecord, moment: Moment) -> AccountRecord:
    """Return the account without a roll-over that the CA has not heard of."""
    job = record.roll
    if job is None:
        return record
    identity = "" if isinstance(job.phase, RollGate) else job.phase.key
    record = replace(record, roll=None)
    return condemned(record, record.spare(identity), moment) if identity else record
