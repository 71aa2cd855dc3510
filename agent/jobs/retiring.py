"""How the retirement of a key stands in its certificate, and what it leaves behind.

It knows the record around the job. When a key is destroyed is `agent.jobs.retire`.
"""

from datetime import timedelta

from msgspec.structs import replace

from agent.jobs import retire
from agent.jobs.context import Context
from agent.jobs.references import needed_keys
from agent.jobs.step import Failed, Moment, Performed
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyRecord, KeyState


def view_of(record: CertificateRecord, identity: str, context: Context) -> retire.View:
    """Return what the retirement of a key is told."""
    job, key = record.retire[identity], record.key(identity)
    return retire.View(
        key=identity,
        condemned_at=key.condemned_at or job.created,
        grace=timedelta(0) if _at_once(record, key) else context.grace,
        never=context.never_destroy and key.store != "file",
    )


def _at_once(record: CertificateRecord, key: KeyRecord) -> bool:
    """Tell whether nobody could want to go back to a key."""
    return key.compromised_at is not None or record.end is not None


def fold(
    record: CertificateRecord,
    identity: str,
    effect: retire.Effect,
    outcome: retire.Outcome,
    moment: Moment,
) -> CertificateRecord:
    """Return the whole record after an effect of the retirement of a key."""
    if isinstance(effect, retire.PruneAfter) and isinstance(outcome, Performed):
        rest = {i: job for i, job in record.retire.items() if i != identity}
        keys = tuple(key for key in record.keys if key.id != identity)
        return replace(record, retire=rest, keys=keys)
    after = retire.fold(record.retire[identity], outcome, moment)
    changed = replace(record, retire={**record.retire, identity: after})
    if isinstance(outcome, Failed):
        return changed
    destroyed = replace(record.key(identity), state=KeyState.DESTROYED)
    survivors = tuple(p for p in record.publications if p.issuance.key != identity)
    return replace(changed, publications=survivors).with_key(destroyed)


def reconcile_keys(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Condemn the keys that nothing refers to; pardon those that are needed again."""
    needed = needed_keys(record, context, moment.now)
    keys, jobs = list(record.keys), dict(record.retire)
    for index, key in enumerate(record.keys):
        if key.adopted:
            # Also one that was ours before an operator gave it to us again.
            if key.id in jobs and not jobs[key.id].running:
                del jobs[key.id]
            continue
        if key.state is KeyState.DESTROYED:
            continue
        if key.id in needed and key.id in jobs and not jobs[key.id].running:
            state = KeyState.MADE if key.public else KeyState.CHOSEN
            keys[index] = replace(key, state=state, condemned_at=None)
            del jobs[key.id]
        elif key.id not in needed and key.id not in jobs:
            keys[index] = replace(
                key, state=KeyState.CONDEMNED, condemned_at=moment.now
            )
            jobs[key.id] = retire.begin(moment, key.id)
    if jobs == record.retire:
        return record
    return replace(record, keys=tuple(keys), retire=jobs)
