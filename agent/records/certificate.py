"""The aggregate of a certificate: keys, issuances, publications, endpoints, jobs.

Four things that must not be confused: a *key* is a key pair in a token; an *issuance*
is a leaf with its chain and key; a *publication* is an issuance as one directory; a
*deployment* is a publication at an endpoint.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from agent.records.abandonment import AbandonJob
from agent.records.deployment import Sighting
from agent.records.ending import Ended, EndJob, FarewellJob
from agent.records.job import Alarm, Failure, Job
from agent.records.keys import KeyRecord
from agent.records.phases import AskDue, Deployment, IssuePhase, RetirePhase
from agent.records.renewal import RenewalRecord
from agent.records.request import RequestJob
from agent.records.revocation import (
    CheckJob,
    IssuedRecord,
    Replaced,
    ReplaceJob,
    Revocation,
    RevokeJob,
    StatusRecord,
)
from agent.records.series import Series, SeriesJob, SeriesOpen
from agent.records.star import StarWanted
from agent.records.trust import ListedRoots
from agent.sba.findings import Finding

IssueJob = Job[IssuePhase]
DeployJob = Job[Deployment]
RetireJob = Job[RetirePhase]
RenewalInfoJob = Job[AskDue]


class Issuance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A certificate that a CA issued to us.

    Attributes:
        fingerprint: SHA-256 of the leaf's DER, lower-case hexadecimal; its identity.
        serial: Serial number, lower-case hexadecimal.
        names: DNS names and addresses.
        ca: Name of the CA in the configuration.
        directory: URL of the directory it came from.
        key: Id of its key.
        order: URL of the order.
        account: Name of the account that ordered it.
        not_before: When the leaf begins.
        not_after: Earliest end in the chain.
        issued_at: When it was downloaded.
        draw: In [0, 1): places the renewal inside its jitter; drawn once.
        chain: Leaf and intermediates, PEM.
        anchor: SHA-256 of the trust anchor that the chain ended in when it was checked.
        account_url: URL that this account had then.
        certid: Its name in renewal information (RFC 9773); empty where it has none.
        renewal_info: The CA offered renewal information when it was issued.
        profile: The profile that the CA says it has; empty where it says nothing.
        asked_profile: The profile that was asked for, empty for none.
        must_staple: It was asked to demand stapling (RFC 7633).
        anchor_subject: Subject of that anchor (RFC 4514), for people.
        hasty: Renewals in a row, up to this one, that renewal information hurried.
        content: What it was to say beside its names; empty where nothing.
        findings: Rules of the profile that it breaks.
        series: Slot of the series that brought it; empty for a usual order.
        asked_star: What was wanted of a series when it was ordered.
    """

    fingerprint: str
    serial: str
    names: tuple[str, ...]
    ca: str
    directory: str
    key: str
    order: str
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    draw: float
    chain: str
    account: str = ""
    anchor: str = ""
    account_url: str = ""
    certid: str = ""
    renewal_info: bool = False
    profile: str = ""
    asked_profile: str = ""
    must_staple: bool = False
    anchor_subject: str = ""
    hasty: int = 0
    content: str = ""
    findings: tuple[Finding, ...] = ()
    series: str = ""
    asked_star: StarWanted | None = None

    @property
    def leaf(self) -> str:
        """Return the leaf alone, PEM."""
        text, end, _ = self.chain.partition("-----END CERTIFICATE-----")
        return f"{text}{end}\n"


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An issuance that breaks its profile, kept until an operator accepts it.

    Attributes:
        issuance: What was issued, with what it breaks.
        at: When it was refused.
    """

    issuance: Issuance
    at: datetime


class Publication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An issuance as a directory; the number is its name.

    The issuance and the key are embedded, so that the directory can be written again
    from the record alone.

    Attributes:
        number: Its directory's name.
        issuance: What is served.
        key: The key of the issuance, as it was then.
        look: What else decides its files: templates, PIN sources, rights.
        trust: Who its peers' certificates may come from, list by list.
    """

    number: int
    issuance: Issuance
    key: KeyRecord
    look: str = ""
    trust: tuple[ListedRoots, ...] = ()


class EndpointRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an endpoint.

    Attributes:
        live: Number that `live` points to; 0 for none.
        proven: Number last seen served, or accepted without proof; 0 for none.
        proven_at: When.
        by: How it was accepted: `wire`, `nobody-asked` or `operator`.
        sightings: What the last look saw.
        issued_to_served: Seconds from the download to the proof.
        left_at: When it was taken out of service, because its NF is decommissioned.
    """

    live: int = 0
    proven: int = 0
    proven_at: datetime | None = None
    by: str = ""
    sightings: tuple[Sighting, ...] = ()
    issued_to_served: float | None = None
    left_at: datetime | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an issue job was begun for; a changed configuration begins it anew.

    Attributes:
        names: Names that are ordered.
        ca: Name of the CA in the configuration.
        directory: URL of its directory.
        account: Name of the account that orders; empty where its record is unreadable.
        profile: Name of the profile, empty for none.
        profile_required: No other profile will do.
        must_staple: The certificate is to demand stapling.
        refused: Members of newOrder that the CA has refused since; left out.
        challenge: Type of the challenges that are answered; empty for any.
        content: What it is to say beside its names; empty where nothing.
        star: What is wanted of a series; None for a usual order.
    """

    names: tuple[str, ...]
    ca: str
    directory: str
    account: str = ""
    profile: str = ""
    profile_required: bool = False
    must_staple: bool = False
    refused: tuple[str, ...] = ()
    challenge: str = ""
    content: str = ""
    star: StarWanted | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CA that is ordered from instead of the first one of the configured list.

    Attributes:
        ca: Name of the CA in the configuration.
        directory: URL of its directory.
        first: URL of the directory of the first CA; another one voids the choice.
        since: When it was chosen.
        reason: Why the one before it was left, one clause.
    """

    ca: str
    directory: str
    first: str
    since: datetime
    reason: str


class Parked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left of the attempts at a CA that was left for another one.

    Attributes:
        failures: Attempts that failed in a row.
        not_before: It is not tried again before this instant.
        failure: The last failure.
    """

    failures: int = 0
    not_before: datetime | None = None
    failure: Failure | None = None


class CertificateRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is durable of a certificate; one file, one rename, one transaction.

    Attributes:
        name: Its table in the configuration.
        keys: Keys that exist or may exist.
        key_count: Numbers keys; never goes back.
        publications: Those that an endpoint or a revert may need, oldest first.
        publication_count: Numbers publications; never goes back.
        endpoints: By name of the endpoint, empty for the only one.
        issue: The job that gets the next issuance.
        wanted: What that job was begun for.
        deploy: Deployments under way, by endpoint.
        retire: Keys on their way out, by id.
        issued: Every certificate that has not ended, oldest first.
        revoke: Revocations under way, by fingerprint.
        replacing: The replacement of a compromised key.
        renewal_info: A question to the CA when the newest issuance should be renewed.
        renewal: What it answered.
        requesting: The request that a person takes to a CA.
        checking: The job that asks for the status of the newest certificate.
        status: What was heard of it last.
        replaced: The last order for a certificate that its CA had revoked.
        refused: The last issuance that was refused, until a later one is not.
        abandon: Authorizations of orders that were given up.
        alarms: By slug.
        held: An operator stopped it with `hold`.
        released: Highest publication an operator let through with `release`.
        renew_asked: An operator asked for a renewal at this instant.
        orders: How many newOrder were answered, since ever.
        choice: The CA that is ordered from; None for the first of the list.
        challenged: URL of the directory of the CA that last asked for a challenge.
        parked: By name of the CA: attempts at CAs that this issue job has left.
        series: STAR orders that bring certificates, by slot.
        end: The job that gives up all of it, because its NF is decommissioned.
        farewell: Endpoints that are being taken out of service, by name.
        ended: Nothing is left, and nothing is ordered.
    """

    JOBS: ClassVar[Mapping[str, str]] = {
        "issue": "issue",
        "deploy": "deploy",
        "retire": "retire",
        "revoke": "revoke",
        "replace": "replacing",
        "renewal-info": "renewal_info",
        "csr": "requesting",
        "status": "checking",
        "abandon": "abandon",
        "series": "series",
        "farewell": "farewell",
        "end": "end",
    }

    name: str
    keys: tuple[KeyRecord, ...] = ()
    key_count: int = 0
    publications: tuple[Publication, ...] = ()
    publication_count: int = 0
    endpoints: Mapping[str, EndpointRecord] = msgspec.field(default_factory=dict)
    issue: IssueJob | None = None
    wanted: Wanted | None = None
    deploy: Mapping[str, DeployJob] = msgspec.field(default_factory=dict)
    retire: Mapping[str, RetireJob] = msgspec.field(default_factory=dict)
    issued: tuple[IssuedRecord, ...] = ()
    revoke: Mapping[str, RevokeJob] = msgspec.field(default_factory=dict)
    replacing: ReplaceJob | None = None
    renewal_info: RenewalInfoJob | None = None
    renewal: RenewalRecord | None = None
    requesting: RequestJob | None = None
    checking: CheckJob | None = None
    status: StatusRecord | None = None
    replaced: Replaced | None = None
    refused: Refused | None = None
    abandon: AbandonJob | None = None
    alarms: Mapping[str, Alarm] = msgspec.field(default_factory=dict)
    held: bool = False
    released: int = 0
    renew_asked: datetime | None = None
    orders: int = 0
    choice: Choice | None = None
    challenged: str = ""
    parked: Mapping[str, Parked] = msgspec.field(default_factory=dict)
    series: Mapping[str, SeriesJob] = msgspec.field(default_factory=dict)
    end: EndJob | None = None
    farewell: Mapping[str, FarewellJob] = msgspec.field(default_factory=dict)
    ended: Ended | None = None

    @property
    def current(self) -> Issuance | None:
        """Return the newest issuance."""
        return self.publications[-1].issuance if self.publications else None

    @property
    def open_series(self) -> Series | None:
        """Return the series of the newest issuance, while it brings certificates."""
        current = self.current
        job = None if current is None else self.series.get(current.series)
        open_ = job is not None and isinstance(job.phase, SeriesOpen)
        return job.phase.series if job is not None and open_ else None

    @property
    def suggestion(self) -> RenewalRecord | None:
        """Return the renewal information of the newest issuance, None before it."""
        current, known = self.current, self.renewal
        if current is None or known is None or known.certid != current.certid:
            return None
        return known

    def key(self, identity: str) -> KeyRecord:
        """Return a key of ours by its id."""
        return next(key for key in self.keys if key.id == identity)

    def with_key(self, changed: KeyRecord) -> "CertificateRecord":
        """Return the record with one of its keys replaced."""
        keys = tuple(changed if key.id == changed.id else key for key in self.keys)
        return replace(self, keys=keys)

    def issued_as(self, fingerprint: str) -> IssuedRecord | None:
        """Return a certificate by its fingerprint, None when it is forgotten."""
        return next((i for i in self.issued if i.fingerprint == fingerprint), None)

    def with_revocation(
        self, fingerprint: str, revocation: Revocation | None
    ) -> "CertificateRecord":
        """Return the record with what is known of a certificate's revocation."""
        issued = tuple(
            replace(i, revocation=revocation) if i.fingerprint == fingerprint else i
            for i in self.issued
        )
        return replace(self, issued=issued)

    @property
    def compromised(self) -> frozenset[str]:
        """Return the ids of the keys that are known to somebody else."""
        return frozenset(k.id for k in self.keys if k.compromised_at is not None)

    def revocation(self, fingerprint: str) -> Revocation | None:
        """Return why a certificate is revoked, None where it is not known to be."""
        issued = self.issued_as(fingerprint)
        return None if issued is None else issued.revocation

    def publication(self, number: int) -> Publication | None:
        """Return a publication by its number, None when it is forgotten."""
        return next((p for p in self.publications if p.number == number), None)
