"""The shapes that leave the daemon as JSON; `agent.views` fills them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from agent.records.job import Failure, Severity
from agent.sba.findings import Finding


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the shapes that leave the daemon as JSON."""


class State(StrEnum):
    """The state of a certificate in one word, worst first."""

    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISSING = "missing"
    """There is no certificate yet."""
    HELD = "held"
    DEPLOYING = "deploying"
    """Issued, and not deployed at every endpoint."""
    DEPLOYED = "deployed"
    ENDING = "ending"
    """Its network function is being decommissioned."""
    ENDED = "ended"
    """Its network function is decommissioned; nothing is left, nothing is ordered."""
    WAITING = "waiting"
    """Names what only a bootstrap bundle will bring."""
    UNMANAGED = "unmanaged"
    """Removed from the configuration; nothing is destroyed."""


class JobView(View, frozen=True, kw_only=True):
    """A job: what it is, where it stands, what it waits for."""

    slot: str
    phase: str
    reason: str
    next: str
    at: datetime | None
    failures: int
    failure: Failure | None
    running: bool
    crashes: int


class EndpointView(View, frozen=True, kw_only=True):
    """An endpoint: what its link points to, and what it was proven to serve."""

    name: str
    live: int
    proven: int
    proven_at: datetime | None
    by: str
    deployed: bool
    addresses: Mapping[str, str]
    issued_to_served: float | None


class KeyView(View, frozen=True, kw_only=True):
    """A key: where, since when, what for."""

    subject: str
    id: str
    label: str
    store: str
    type: str
    state: str
    created: datetime | None
    referenced: bool
    use: str


class PlanView(View, frozen=True, kw_only=True):
    """What happens next to a certificate, when, and which rule decided."""

    next: str
    at: datetime | None
    rule: str


class SuggestionView(View, frozen=True, kw_only=True):
    """When the CA would like a certificate to be renewed (RFC 9773)."""

    start: datetime
    end: datetime
    pick: datetime | None
    explanation: str
    ask_at: datetime | None


class RefusedView(View, frozen=True, kw_only=True):
    """An issuance that breaks its profile and waits for an operator's word."""

    serial: str
    fingerprint: str
    not_after: datetime
    at: datetime
    findings: tuple[Finding, ...]


class SeriesView(View, frozen=True, kw_only=True):
    """A series of certificates that a CA renews by itself (RFC 8739).

    Attributes:
        slot: Its name.
        order: URL of its order.
        state: `open` or `closing`.
        lifetime: Nominal lifetime of each certificate, seconds.
        end: No certificate of it is valid longer.
        fetch_at: When the next one is fetched.
        failures: Looks in a row that failed.
    """

    slot: str
    order: str
    state: str
    lifetime: int
    end: datetime
    fetch_at: datetime | None
    failures: int


class CertificateView(View, frozen=True, kw_only=True):
    """A certificate as a person wants to see it.

    `stand_in` says why `ca` is not the first of its list, empty where it is; `star`
    says why the CA does not renew it by itself though that is wanted.
    """

    name: str
    names: tuple[str, ...]
    ca: str
    stand_in: str = ""
    state: State
    issued: bool
    deployed: bool
    serial: str
    fingerprint: str
    not_before: datetime | None
    not_after: datetime | None
    renew_at: datetime | None
    rule: str
    suggestion: SuggestionView | None = None
    profile: str = ""
    anchor: str = ""
    publication: int
    orders: int
    endpoints: tuple[EndpointView, ...]
    jobs: tuple[JobView, ...]
    plan: PlanView
    held: bool
    trust: Mapping[str, int] = {}
    revoked: str = ""
    status_checked_at: datetime | None = None
    status_failure: str = ""
    findings: tuple[Finding, ...] = ()
    refused: RefusedView | None = None
    series: tuple[SeriesView, ...] = ()
    star: str = ""


class LimitView(View, frozen=True, kw_only=True):
    """A rate limit that an account has met."""

    account: str
    until: datetime
    message: str


class CaView(View, frozen=True, kw_only=True):
    """A CA: whether it is asked, and why not.

    `skew` is how many seconds its clock was ahead of ours at its last answer.
    """

    name: str
    up: bool
    failures: int
    reason: str
    not_before: datetime | None
    limits: tuple[LimitView, ...]
    skew: float | None = None


class AccountView(View, frozen=True, kw_only=True):
    """An account: whether it can order, its key, and what happens to it next."""

    name: str
    ca: str
    url: str
    valid: bool
    failure: Failure | None
    state: str
    key: str
    key_store: str
    key_created: datetime | None
    contact: tuple[str, ...]
    roll_at: datetime | None
    jobs: tuple[JobView, ...]


class RootView(View, frozen=True, kw_only=True):
    """A root of a list.

    Attributes:
        state: `trusted`, `missing` (fetches begin to lack it), `leaving`, `ended` or
            `distrusted`.
        until: When it goes, where that is known.
    """

    fingerprint: str
    subject: str
    state: str
    since: datetime
    until: datetime | None
    not_after: datetime | None


class TrustView(View, frozen=True, kw_only=True):
    """A list of trusted roots.

    Attributes:
        pending: Roots that are missing or leaving.
        next: What its job does or waits for.
        refused: Why the document that was offered last can only be taken by an
            operator's word.
    """

    name: str
    source: str
    version: int
    published: int
    sequence: int
    count: int
    pending: int
    fetched_at: datetime | None
    fetch_at: datetime | None
    expires: datetime | None
    next: str
    failures: int
    failure: Failure | None
    refused: str
    roots: tuple[RootView, ...] = ()


class HookView(View, frozen=True, kw_only=True):
    """A hook: what waits for it, and what became of the rest."""

    name: str
    on: tuple[str, ...]
    queued: int
    oldest: datetime | None
    delivered: int
    delivered_at: datetime | None
    dropped: int
    next: str
    at: datetime | None
    failures: int
    failure: Failure | None


class NfState(StrEnum):
    """The state of a network function in one word."""

    IN_SERVICE = "in-service"
    DECOMMISSIONING = "decommissioning"
    DECOMMISSIONED = "decommissioned"


class NfView(View, frozen=True, kw_only=True):
    """A network function of the configuration.

    Attributes:
        asked_at: When an operator asked for its end; None for one in service.
        ended_at: Since when nothing of it is left.
        certificates: The names of its certificates.
        waits: What its end waits for.
    """

    name: str
    instance_id: str
    types: tuple[str, ...]
    state: NfState
    asked_at: datetime | None
    ended_at: datetime | None
    certificates: tuple[str, ...]
    waits: tuple[str, ...]


class TokenView(View, frozen=True, kw_only=True):
    """A token as of the last contact with it."""

    name: str
    up: bool
    reason: str
    serial: str
    pin: str


class AlarmView(View, frozen=True, kw_only=True):
    """An alarm that stands; `kind` is that of its subject."""

    id: str
    kind: str = ""
    subject: str
    severity: Severity
    cause: str
    action: str
    raised: datetime


class ConfigView(View, frozen=True, kw_only=True):
    """The configuration in force, and the last attempt to replace it."""

    loaded_at: datetime
    reload_ok: bool
    reload_at: datetime | None
    problems: tuple[str, ...]


class AuditView(View, frozen=True, kw_only=True):
    """The audit trail."""

    enabled: bool
    entries: int
    checkpoint_at: datetime | None
    broken_since: datetime | None


class BootstrapView(View, frozen=True, kw_only=True):
    """The bootstrap bundle in force; all but the last two empty where there is none.

    Attributes:
        sequence: Its number, 0 where there is none.
        issued: When it was made.
        expires: Until when it could be taken.
        taken: When it was taken.
        signer: SHA-256 of the SubjectPublicKeyInfo of who signed it.
        tables: What it brings.
        trouble: Why a bundle that was taken is not in force.
        waiting: What each waiting certificate lacks.
    """

    sequence: int = 0
    issued: datetime | None = None
    expires: datetime | None = None
    taken: datetime | None = None
    signer: str = ""
    tables: tuple[str, ...] = ()
    trouble: str = ""
    waiting: Mapping[str, str] = {}


class StatusView(View, frozen=True, kw_only=True):
    """The whole."""

    version: str
    install: str
    started: datetime
    now: datetime
    config: ConfigView
    certificates: tuple[CertificateView, ...]
    cas: tuple[CaView, ...]
    accounts: tuple[AccountView, ...]
    tokens: tuple[TokenView, ...]
    alarms: tuple[AlarmView, ...]
    audit: AuditView
    trust: tuple[TrustView, ...] = ()
    hooks: tuple[HookView, ...] = ()
    nfs: tuple[NfView, ...] = ()
    bootstrap: BootstrapView | None = None
