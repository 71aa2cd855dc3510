"""Which jobs should exist for a certificate, and why: configuration against record.

Idempotent: asked again with nothing changed, it returns the very record it was given.
What is removed from the configuration is never destroyed by it.
"""

from datetime import datetime

from msgspec.structs import replace

from agent.config.model import Key
from agent.config.units import duration
from agent.jobs.alarms import with_alarms
from agent.jobs.context import Context
from agent.jobs.references import needed_keys
from agent.jobs.retire import begin as begin_retirement
from agent.jobs.step import Moment
from agent.pki.uri import parse as parse_uri
from agent.records.certificate import (
    CertificateRecord,
    DeployJob,
    EndpointRecord,
    Issuance,
    IssueJob,
)
from agent.records.keys import FILE_STORE, KeyRecord, KeyState
from agent.records.phases import (
    Deployment,
    KeyChosen,
    KeyMade,
    Stage,
)
from agent.renewal.plan import plan


def reconcile(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with the jobs that should exist now."""
    record = _issue(record, context, moment)
    record = _publish(record, context)
    record = _deploy(record, context, moment)
    record = _retire(record, context, moment)
    return with_alarms(record, context, moment.now)


def next_change(
    record: CertificateRecord, context: Context, now: datetime
) -> datetime | None:
    """Return the next instant at which `reconcile` would do something by itself.

    That is when a renewal is due, when it becomes urgent, and when a certificate ends:
    then alarms change, and keys that were kept for it are free.
    """
    instants = [p.issuance.not_after for p in record.publications]
    if record.current is not None:
        due = plan(record.current, context.config.renew_at)
        instants += [due.at, due.emergency_at]
    return min((instant for instant in instants if instant > now), default=None)


def reason_to_issue(
    record: CertificateRecord, context: Context, now: datetime
) -> str | None:
    """Return why a new certificate is due now, None where none is."""
    current = record.current
    if current is None:
        return "there is no certificate yet"
    if record.renew_asked is not None:
        return "an operator asked for it"
    changed = _changed(record, current, context)
    if changed:
        return f"the configuration changed its {changed}"
    due = plan(current, context.config.renew_at)
    return f"renewal is due by the rule {due.rule}" if now >= due.at else None


def _changed(
    record: CertificateRecord, current: Issuance, context: Context
) -> str | None:
    config = context.config
    if set(current.names) != set(config.names):
        return "names"
    if current.directory != context.directory:
        return "ca"
    key = record.publications[-1].key
    if (key.store, key.type) != (_store(config.key), config.key.type):
        return "key"
    return None


def _issue(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    if record.issue is not None or record.held:
        return record
    reason = reason_to_issue(record, context, moment.now)
    if reason is None:
        return record
    key = _key_to_reuse(record, context.config.key, moment.now)
    phase: KeyChosen | KeyMade
    if key is None:
        key = choose_key(
            context.config.key,
            subject=record.name,
            number=record.key_count + 1,
            install=context.install,
            moment=moment,
        )
        record = replace(
            record, keys=(*record.keys, key), key_count=record.key_count + 1
        )
        phase = KeyChosen(key=key.id)
    else:
        phase = KeyMade(key=key.id)
    job = IssueJob(id=moment.token[:12], phase=phase, reason=reason, created=moment.now)
    return replace(record, issue=job)


def _key_to_reuse(
    record: CertificateRecord, config: Key, now: datetime
) -> KeyRecord | None:
    """Return the key in service where the configuration lets it serve on."""
    if config.rotate == "every-renewal" or not record.publications:
        return None
    key = record.publications[-1].key
    if (key.store, key.type) != (_store(config), config.type):
        return None
    if config.rotate != "never" and now >= key.created + duration(config.rotate):
        return None
    return next((k for k in record.keys if k.id == key.id), None)


def choose_key(
    config: Key, *, subject: str, number: int, install: str, moment: Moment
) -> KeyRecord:
    """Return a key that is to be made: its CKA_ID is drawn before it exists."""
    adopted = None if config.adopt is None else parse_uri(config.adopt).id
    return KeyRecord(
        id=moment.token if adopted is None else adopted.hex(),
        store=_store(config),
        type=config.type,
        label=f"nfcertd/{install}/{subject}/{number}",
        number=number,
        state=KeyState.CHOSEN,
        created=moment.now,
        adopted=adopted is not None,
    )


def _store(config: Key) -> str:
    return config.token if config.token is not None else FILE_STORE


def _publish(record: CertificateRecord, context: Context) -> CertificateRecord:
    """Publish the same issuance again where its snippets or rights changed.

    The snippet is part of the publication: a directory never changes once it has a
    name, so that an endpoint cannot read half of one and half of the other.
    """
    if not record.publications or record.publications[-1].look == context.look:
        return record
    number = record.publication_count + 1
    again = replace(record.publications[-1], number=number, look=context.look)
    return replace(
        record,
        publications=(*record.publications, again),
        publication_count=number,
    )


def _deploy(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Start a deployment wherever the newest publication is not the proven one."""
    if not record.publications:
        return record
    newest = record.publications[-1].number
    jobs = dict(record.deploy)
    for endpoint in context.endpoints:
        known = record.endpoints.get(endpoint.name, EndpointRecord())
        job = jobs.get(endpoint.name)
        if known.proven == newest or (job and job.phase.publication == newest):
            continue
        if job is not None and job.running:
            # Its effect is on the way; it is replaced when it has come back.
            continue
        jobs[endpoint.name] = DeployJob(
            id=f"{moment.token[:12]}-{endpoint.name}",
            phase=Deployment(stage=Stage.UNPUBLISHED, publication=newest),
            reason=f"publication {newest} is to be served",
            created=moment.now,
        )
    configured = {endpoint.name for endpoint in context.endpoints}
    gone = {name for name, job in jobs.items() if not job.running} - configured
    wanted = {name: job for name, job in jobs.items() if name not in gone}
    return record if wanted == record.deploy else replace(record, deploy=wanted)


def _retire(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Condemn the keys that nothing refers to; pardon those that are needed again."""
    needed = needed_keys(record, context, moment.now)
    keys, jobs = list(record.keys), dict(record.retire)
    for index, key in enumerate(record.keys):
        if key.adopted or key.state is KeyState.DESTROYED:
            continue
        if key.id in needed and key.id in jobs and not jobs[key.id].running:
            keys[index] = replace(key, state=KeyState.MADE, condemned_at=None)
            del jobs[key.id]
        elif key.id not in needed and key.id not in jobs:
            keys[index] = replace(
                key, state=KeyState.CONDEMNED, condemned_at=moment.now
            )
            jobs[key.id] = begin_retirement(moment, key.id)
    if jobs == record.retire:
        return record
    return replace(record, keys=tuple(keys), retire=jobs)
