"""Which jobs should exist for a certificate, and why: configuration against record.

Idempotent: asked again with nothing changed, it returns the very record it was given.
What is removed from the configuration is never destroyed by it.
"""

from datetime import datetime

from msgspec.structs import replace

from agent.acme.identifiers import identifiers, same
from agent.jobs import ending, replacing, series, status
from agent.jobs.abandon import pending, reconcile_abandoned, with_abandoned
from agent.jobs.alarms import with_alarms
from agent.jobs.authority import changes, resumed
from agent.jobs.choosing import adopted_id, choose_key, key_fits, key_to_reuse
from agent.jobs.context import Context
from agent.jobs.refusal import reconsidered
from agent.jobs.renewal_info import reconcile_renewal_info
from agent.jobs.retiring import reconcile_keys
from agent.jobs.revoking import forget_ended
from agent.jobs.step import Moment
from agent.jobs.trusting import anchor_leaves, trust_of
from agent.records.certificate import (
    CertificateRecord,
    DeployJob,
    EndpointRecord,
    Issuance,
    IssueJob,
    Wanted,
)
from agent.records.keys import KeyRecord, KeyState
from agent.records.phases import (
    Deployment,
    KeyChosen,
    KeyMade,
    Stage,
)
from agent.renewal.plan import Plan, due


def reconcile(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    """Return the record with the jobs that should exist now."""
    if context.ends:
        return ending.reconcile(record, context, moment)
    record = ending.undone(record)
    record = reconsidered(record, context, moment.now)
    record = _issue(record, context, moment)
    record = _request(record, context)
    record = _publish(record, context)
    record = _deploy(record, context, moment)
    record = replacing.advance(record, context, moment)
    record = series.reconcile(record, context, moment)
    record = status.reconcile(record, context, moment)
    record = forget_ended(record, moment)
    record = reconcile_keys(record, context, moment)
    record = reconcile_abandoned(record, context)
    record = reconcile_renewal_info(record, context, moment)
    return with_alarms(record, context, moment.now)


def next_change(
    record: CertificateRecord, context: Context, now: datetime
) -> datetime | None:
    """Return the next instant at which `reconcile` would do something by itself.

    That is when a renewal is due, when it becomes urgent, and when a certificate ends:
    then alarms change, and keys that were kept for it are free. It is also when the CA
    is asked again for renewal information.
    """
    if context.ends:
        return ending.next_change(record, now)
    instants = [p.issuance.not_after for p in record.publications]
    instants += changes(record, context)
    planned, known = due(record, context.config.renew_at), record.suggestion
    if planned is not None:
        instants += [planned.at, planned.emergency_at]
    if known is not None and known.ask_at is not None:
        instants.append(known.ask_at)
    if record.current is not None:
        instants += status.next_changes(record, record.current, context)
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
    doomed = _doomed(record, current, now) or anchor_leaves(current, context)
    if doomed:
        return doomed
    planned = due(record, context.config.renew_at)
    revoked = record.revocation(current.fingerprint) is not None
    if planned is not None and now >= planned.at and not revoked:
        return f"renewal is due by the rule {planned.rule}"
    if over := _over(record, current, planned, now):
        return over
    changed = _changed(record, current, context)
    return f"the configuration changed its {changed}" if changed else None


def _over(
    record: CertificateRecord, current: Issuance, planned: Plan | None, now: datetime
) -> str | None:
    """Return why the series of a certificate brings no further one."""
    if not current.series:
        return None
    if record.open_series is None:
        return "its series is over"
    if planned is not None and now >= planned.emergency_at:
        return "its series has brought no certificate in time"
    return None


def _doomed(record: CertificateRecord, current: Issuance, now: datetime) -> str | None:
    """Return why the certificate in service cannot stay, whatever its dates."""
    revocation = record.revocation(current.fingerprint)
    outside = revocation is not None and not revocation.ours
    compromised = current.key in record.compromised
    if compromised and (not outside or record.replacing is not None):
        return "its key is compromised"
    if revocation is None or status.stops(revocation):
        return None
    at = status.allowed_at(record, current)
    return None if at and now < at else f"it is revoked, for {revocation.reason}"


def _is_spoilt(record: CertificateRecord, context: Context) -> bool:
    """Tell whether the adopted key is known to somebody else: only its giver helps."""
    return adopted_id(context.config.key) in record.compromised


def _changed(
    record: CertificateRecord, current: Issuance, context: Context
) -> str | None:
    config = context.config
    if not context.is_about(current):
        return "names or its profile" if context.nf else "names"
    if current.directory != context.directory:
        return "ca"
    if not key_fits(record.publications[-1].key, config.key):
        return "key"
    return _changed_extras(current, context)


def _changed_extras(current: Issuance, context: Context) -> str | None:
    """Return which wish beyond the names an issuance was not ordered for.

    What was asked for counts, not what a CA made of it, or it would be asked in a loop;
    unless a profile that was only preferred has become required.
    """
    config = context.config
    wish = config.wished_profile
    if wish is not None and (
        current.asked_profile != wish.name
        or (wish.required and current.profile != wish.name)
    ):
        return "profile"
    if current.asked_star != context.star:
        return "star"
    return "must_staple" if current.must_staple != config.must_staple else None


def _issue(
    record: CertificateRecord, context: Context, moment: Moment
) -> CertificateRecord:
    job = record.issue
    held = record.held and record.replacing is None
    if held or (job is not None and _goes_on(record, job, context)):
        return record
    if _is_spoilt(record, context):
        return record if job is None else replace(record, issue=None, wanted=None)
    spare = None if job is None else record.key(job.phase.key)
    if job is not None:
        left, wanted = pending(job), record.wanted
        record = with_abandoned(record, left, wanted, context, moment)
        record = replace(record, issue=None, wanted=None)
    reason = reason_to_issue(record, context, moment.now)
    if reason is None:
        return record
    key = key_to_reuse(record, context.config.key, moment.now)
    if spare is None and record.requesting is not None:
        # Whichever CA certifies it first.
        spare = record.key(record.requesting.phase.key)
    if key is None and spare is not None and _is_spare(spare, record, context):
        key = spare
    if key is None:
        key = choose_key(
            context.config.key,
            subject=record.name,
            number=record.key_count + 1,
            install=context.install,
            moment=moment,
        )
        # An adopted key has the id that it has, in whichever token it was before.
        others = (k for k in record.keys if k.id != key.id)
        record = replace(record, keys=(*others, key), key_count=key.number)
    made = key.state is KeyState.MADE
    phase = KeyMade(key=key.id) if made else KeyChosen(key=key.id)
    job = IssueJob(id=moment.token[:12], phase=phase, reason=reason, created=moment.now)
    job = resumed(job, record, context)
    record = status.noted(record, moment)
    return replace(record, issue=job, wanted=context.wanted)


def _goes_on(record: CertificateRecord, job: IssueJob, context: Context) -> bool:
    """Tell whether an issue job still gets what the configuration wants.

    One that does not is begun anew at once, whatever it waits for: its order is for
    other names or stands at another CA, and its failures are not those of the new one.
    """
    wanted = record.wanted
    if not job.running and job.phase.key in record.compromised:
        return False
    if job.running or wanted is None:
        return True
    now = context.wanted
    same_account = not now.account or wanted.account in {"", now.account}
    same_names = same(identifiers(wanted.names), context.identifiers)
    same_names = same_names and wanted.content == now.content
    same_challenge = wanted.challenge in {"", now.challenge}
    unchanged = (
        same_names
        and same_account
        and same_challenge
        and wanted.directory == now.directory
    )
    unchanged = unchanged and _same_extras(wanted, now)
    return unchanged and key_fits(record.key(job.phase.key), context.config.key)


def _same_extras(one: Wanted, other: Wanted) -> bool:
    return (one.profile, one.profile_required, one.must_staple, one.star) == (
        other.profile,
        other.profile_required,
        other.must_staple,
        other.star,
    )


def _is_spare(key: KeyRecord, record: CertificateRecord, context: Context) -> bool:
    """Tell whether the key of a job that was given up can serve the next one."""
    used = {publication.issuance.key for publication in record.publications}
    good = key.id not in used | record.compromised
    return good and key_fits(key, context.config.key)


def _request(record: CertificateRecord, context: Context) -> CertificateRecord:
    """Drop a request whose key is not, or no longer, what may be certified."""
    job = record.requesting
    if job is None or job.running:
        return record
    key = record.key(job.phase.key)
    good = key_fits(key, context.config.key) and key.id not in record.compromised
    return record if good else replace(record, requesting=None)


def _publish(record: CertificateRecord, context: Context) -> CertificateRecord:
    """Publish the same issuance again where its snippets, rights or trust changed.

    The snippet is part of the publication: a directory never changes once it has a
    name, so that an endpoint cannot read half of one and half of the other.
    """
    if not record.publications:
        return record
    newest, trust = record.publications[-1], trust_of(record, context)
    if (newest.look, newest.trust) == (context.look, trust):
        return record
    number = record.publication_count + 1
    again = replace(newest, number=number, look=context.look, trust=trust)
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
        # Taken over while nobody could be asked, it is proven once somebody can.
        unasked = endpoint.verify is not None and known.by == "nobody-asked"
        proven = known.proven == newest and not unasked
        if proven or (job and job.phase.publication == newest):
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
