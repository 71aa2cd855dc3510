"""What the command line reads of the daemon's answers.

The daemon writes `agent.shapes`; these shapes are the part of it that is shown. They
have defaults and ignore what they do not know, so that a command line and a daemon of
neighbouring versions understand each other, and they load nothing heavy.
"""

from datetime import datetime
from typing import Final, TypeVar

import msgspec

from agent.control.verbs import MalformedError

EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Base: unknown fields are ignored."""


class FailureShape(Shape, frozen=True, kw_only=True):
    """Why something failed."""

    message: str = ""
    hint: str = ""


class JobShape(Shape, frozen=True, kw_only=True):
    """A job and what it waits for."""

    slot: str
    phase: str = ""
    next: str = ""
    at: datetime | None = None
    failures: int = 0
    failure: FailureShape | None = None


class EndpointShape(Shape, frozen=True, kw_only=True):
    """An endpoint."""

    name: str = ""
    live: int = 0
    proven: int = 0
    proven_at: datetime | None = None
    by: str = ""
    deployed: bool = False
    addresses: dict[str, str] = {}


class PlanShape(Shape, frozen=True, kw_only=True):
    """What is next."""

    next: str = ""
    at: datetime | None = None
    rule: str = ""


class SuggestionShape(Shape, frozen=True, kw_only=True):
    """When the CA would like a renewal."""

    start: datetime = EPOCH
    end: datetime = EPOCH
    explanation: str = ""


class FindingShape(Shape, frozen=True, kw_only=True):
    """A rule of its profile that a certificate breaks."""

    rule: str = ""
    level: str = ""
    text: str = ""


class SeriesShape(Shape, frozen=True, kw_only=True):
    """A series of certificates that a CA renews by itself."""

    state: str = ""
    end: datetime = EPOCH
    fetch_at: datetime | None = None
    failures: int = 0


class CertificateShape(Shape, frozen=True, kw_only=True):
    """A certificate."""

    name: str
    names: tuple[str, ...] = ()
    ca: str = ""
    state: str = ""
    issued: bool = False
    deployed: bool = False
    not_after: datetime | None = None
    suggestion: SuggestionShape | None = None
    publication: int = 0
    endpoints: tuple[EndpointShape, ...] = ()
    jobs: tuple[JobShape, ...] = ()
    plan: PlanShape = PlanShape()
    findings: tuple[FindingShape, ...] = ()
    series: tuple[SeriesShape, ...] = ()
    star: str = ""


class AccountShape(Shape, frozen=True, kw_only=True):
    """An account."""

    name: str
    ca: str = ""
    url: str = ""
    valid: bool = False
    failure: FailureShape | None = None
    state: str = ""
    key: str = ""
    key_store: str = ""
    key_created: datetime | None = None
    contact: tuple[str, ...] = ()
    roll_at: datetime | None = None
    jobs: tuple[JobShape, ...] = ()


class LimitShape(Shape, frozen=True, kw_only=True):
    """A rate limit that an account has met."""

    account: str = ""
    until: datetime = EPOCH
    message: str = ""


class CaShape(Shape, frozen=True, kw_only=True):
    """A CA."""

    name: str
    up: bool = True
    failures: int = 0
    reason: str = ""
    not_before: datetime | None = None
    limits: tuple[LimitShape, ...] = ()


class TokenShape(Shape, frozen=True, kw_only=True):
    """A token."""

    name: str
    up: bool = False
    reason: str = ""


class RootShape(Shape, frozen=True, kw_only=True):
    """A root of a list."""

    fingerprint: str = ""
    subject: str = ""
    state: str = ""
    since: datetime = EPOCH
    until: datetime | None = None


class TrustShape(Shape, frozen=True, kw_only=True):
    """A list of trusted roots."""

    name: str
    source: str = ""
    version: int = 0
    published: int = 0
    sequence: int = 0
    count: int = 0
    pending: int = 0
    fetched_at: datetime | None = None
    fetch_at: datetime | None = None
    expires: datetime | None = None
    next: str = ""
    failure: FailureShape | None = None
    refused: str = ""
    roots: tuple[RootShape, ...] = ()


class HookShape(Shape, frozen=True, kw_only=True):
    """A hook."""

    name: str
    on: tuple[str, ...] = ()
    queued: int = 0
    oldest: datetime | None = None
    delivered: int = 0
    delivered_at: datetime | None = None
    dropped: int = 0
    next: str = ""
    at: datetime | None = None
    failures: int = 0
    failure: FailureShape | None = None


class NfShape(Shape, frozen=True, kw_only=True):
    """A network function."""

    name: str
    instance_id: str = ""
    types: tuple[str, ...] = ()
    state: str = ""
    asked_at: datetime | None = None
    ended_at: datetime | None = None
    waits: tuple[str, ...] = ()


class GoesShape(Shape, frozen=True, kw_only=True):
    """What goes with a certificate of a network function that ends."""

    name: str = ""
    revoked: tuple[str, ...] = ()
    keys: int = 0
    endpoints: tuple[str, ...] = ()


class DecommissionShape(Shape, frozen=True, kw_only=True):
    """The answer to `decommission`."""

    name: str = ""
    instance_id: str = ""
    certificates: tuple[GoesShape, ...] = ()
    accounts: tuple[str, ...] = ()


class TrustsShape(Shape, frozen=True, kw_only=True):
    """The answer to `trust`."""

    lists: tuple[TrustShape, ...] = ()


class AlarmShape(Shape, frozen=True, kw_only=True):
    """An alarm."""

    id: str
    subject: str = ""
    severity: str = ""
    cause: str = ""
    action: str = ""
    raised: datetime = EPOCH


class ConfigShape(Shape, frozen=True, kw_only=True):
    """The configuration in force."""

    loaded_at: datetime = EPOCH
    reload_ok: bool = True
    reload_at: datetime | None = None
    problems: tuple[str, ...] = ()


class BootstrapShape(Shape, frozen=True, kw_only=True):
    """The bootstrap bundle in force."""

    sequence: int = 0
    issued: datetime | None = None
    expires: datetime | None = None
    taken: datetime | None = None
    signer: str = ""
    tables: tuple[str, ...] = ()
    trouble: str = ""


class TakenShape(Shape, frozen=True, kw_only=True):
    """The answer to `bootstrap`."""

    done: str = ""
    sequence: int = 0
    issued: datetime | None = None
    expires: datetime | None = None
    signer: str = ""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    started: tuple[str, ...] = ()


class StatusShape(Shape, frozen=True, kw_only=True):
    """The answer to `status` and `plan`."""

    version: str = ""
    started: datetime = EPOCH
    now: datetime = EPOCH
    config: ConfigShape = ConfigShape()
    certificates: tuple[CertificateShape, ...] = ()
    cas: tuple[CaShape, ...] = ()
    accounts: tuple[AccountShape, ...] = ()
    tokens: tuple[TokenShape, ...] = ()
    alarms: tuple[AlarmShape, ...] = ()
    trust: tuple[TrustShape, ...] = ()
    hooks: tuple[HookShape, ...] = ()
    nfs: tuple[NfShape, ...] = ()
    bootstrap: BootstrapShape | None = None


class KeyShape(Shape, frozen=True, kw_only=True):
    """A key."""

    subject: str = ""
    id: str = ""
    label: str = ""
    store: str = ""
    type: str = ""
    state: str = ""
    created: datetime | None = None
    referenced: bool = False
    use: str = ""


class OrphanShape(Shape, frozen=True, kw_only=True):
    """An object with a label of ours in a token, in no record of ours."""

    token: str = ""
    id: str = ""
    label: str = ""
    type: str = ""


class KeysShape(Shape, frozen=True, kw_only=True):
    """The answer to `keys`."""

    keys: tuple[KeyShape, ...] = ()
    orphans: tuple[OrphanShape, ...] = ()
    problems: tuple[str, ...] = ()


S = TypeVar("S", bound=Shape)


def read(answer: dict[str, object], kind: type[S]) -> S:
    """Return an answer of the daemon as the shape that is shown.

    Raises:
        MalformedError: The daemon is of a version that we do not understand.
    """
    try:
        return msgspec.convert(answer, type=kind)
    except msgspec.ValidationError as error:
        raise MalformedError(
            f"the daemon's answer is not understood: {error}",
            hint="is it of another version: nfcertd version",
        ) from error
