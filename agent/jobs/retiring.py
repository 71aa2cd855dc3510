"""How the retirement of a key stands in its certificate, and what it leaves behind.

It knows the record around the job. When a key is destroyed is `agent.jobs.retire`.
"""

from datetime import timedelta

from msgspec.structs import replace

from agent.jobs import retire
from agent.jobs.context import Context
from agent.jobs.step import Failed, Moment, Performed
from agent.records.certificate import CertificateRecord
from agent.records.keys import KeyState


def view_of(record: CertificateRecord, identity: str, context: Context) -> retire.View:
    """Return what the retirement of a key is told."""
    job, key = record.retire[identity], record.key(identity)
    return retire.View(
        key=identity,
        condemned_at=key.condemned_at or job.created,
        grace=context.grace if key.compromised_at is None else timedelta(0),
        never=context.never_destroy and key.store != "file",
    )


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
