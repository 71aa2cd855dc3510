"""Which jobs should exist for an account: configuration against record."""

from datetime import datetime

from msgspec.structs import replace

from agent.config.authorities import Account
from agent.config.units import duration
from agent.jobs import account_changes, nf, register, roll
from agent.jobs.choosing import choose_key, key_fits
from agent.jobs.context import AccountContext
from agent.jobs.step import Moment
from agent.records.others import AccountRecord
from agent.records.phases import AccountKeyChosen

NEVER = frozenset({"never", "every-renewal"})
"""An account is not renewed: only a span of time makes its key too old."""


def reconcile_account(
    record: AccountRecord, context: AccountContext, moment: Moment
) -> AccountRecord:
    """Return the account with the jobs that should exist now."""
    if record.directory != context.directory:
        record = _moved(record, context.directory)
    if record.closed_with and record.closed and not context.idle:
        record = _moved(record, context.directory)
    if record.closed:
        return record
    if record.closed_with and not context.idle:
        # Somebody orders with it again before the CA has heard of its end.
        record = nf.kept(record, record.closed_with)
    if context.idle and not record.url:
        # Nobody orders with it: it is not registered only to be given up.
        job = record.register
        idle = job is not None and not job.running
        return replace(record, register=None) if idle else record
    record = _register(record, context, moment)
    if not record.url or record.deactivate is not None:
        # Nothing but what is under way: without an account there is none to change.
        asked = roll.is_asked(record) or _is_running(record)
        return record if asked else roll.given_up(record, moment)
    return _roll(_update(record, context, moment), context, moment)


def next_account_change(record: AccountRecord, config: Account) -> datetime | None:
    """Return when the age of its key calls for a roll-over; None for never."""
    rotate, key = config.key.rotate, record.key
    if rotate in NEVER or key is None or record.closed:
        return None
    return key.created + duration(rotate)


def _moved(record: AccountRecord, directory: str) -> AccountRecord:
    """Return the account at another CA: another account, and so another key (11.1).

    So is one that was closed with a network function whose name has a new instance.

    Keys of the old one stay known; nothing of it is destroyed by a configuration that
    may be a mistake, but for what was on its way out.
    """
    key = () if record.key is None else (record.key,)
    return AccountRecord(
        name=record.name,
        directory=directory,
        keys=(*record.keys, *key),
        key_count=record.key_count,
        retire=record.retire,
    )


def _register(
    record: AccountRecord, context: AccountContext, moment: Moment
) -> AccountRecord:
    job = record.register
    if record.url or (job is not None and _goes_on(record, context)):
        return record
    old, key = record.key, None
    unmade = job is not None and isinstance(job.phase, AccountKeyChosen)
    if old is not None and unmade and not key_fits(old, context.config.key):
        # It was never used: the table has changed before the key could be made.
        record = roll.condemned(replace(record, key=None), old, moment)
    if record.key is None:
        key = choose_key(
            context.config.key,
            subject=f"account:{record.name}",
            number=record.key_count + 1,
            install=context.install,
            moment=moment,
        )
    return register.begin(record, key, moment, context.given)


def _goes_on(record: AccountRecord, context: AccountContext) -> bool:
    """Tell whether a registration still gets what the configuration wants."""
    job, key = record.register, record.key
    if job is None or job.running or key is None:
        return True
    if job.phase.given != context.given:
        # What a person was asked for may be there now: it is tried at once.
        return False
    unmade = isinstance(job.phase, AccountKeyChosen)
    return not unmade or key_fits(key, context.config.key)


def _update(
    record: AccountRecord, context: AccountContext, moment: Moment
) -> AccountRecord:
    wanted, job = context.config.contact, record.update
    if job is not None and (job.running or job.phase.contact == wanted):
        return record
    if record.contact == wanted:
        return record if job is None else replace(record, update=None)
    return account_changes.begin_update(record, wanted, moment)


def _roll(
    record: AccountRecord, context: AccountContext, moment: Moment
) -> AccountRecord:
    job, reason = record.roll, _reason_to_roll(record, context, moment.now)
    if job is None:
        return record if reason is None else roll.begin(record, reason, moment)
    if roll.is_asked(record) or job.running:
        return record
    if reason is None:
        return roll.given_up(record, moment)
    key = getattr(job.phase, "key", "")
    if key and not key_fits(record.spare(key), context.config.key):
        return roll.begin(roll.given_up(record, moment), reason, moment)
    return record


def _reason_to_roll(
    record: AccountRecord, context: AccountContext, now: datetime
) -> str | None:
    if record.key is None:
        return None
    if record.roll_asked is not None:
        return "an operator asked for it"
    if not key_fits(record.key, context.config.key):
        return "the configuration changed its key"
    due = next_account_change(record, context.config)
    return "its key is old enough" if due is not None and now >= due else None


def _is_running(record: AccountRecord) -> bool:
    return record.roll is not None and record.roll.running
