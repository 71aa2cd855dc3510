"""The aggregate of a list of trusted roots: what is trusted, since when, until when."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal

import msgspec

from agent.records.job import Alarm, Job
from agent.records.phases import Phase

Source = Literal["signed", "est", "file"]
"""Where a list comes from; decides how a root may leave it."""


class FetchDue(Phase, frozen=True, kw_only=True, tag="fetch-due"):
    """The source is asked next."""


class Merged(Phase, frozen=True, kw_only=True, tag="merged"):
    """A new version is durable; its files are written next."""


class Published(Phase, frozen=True, kw_only=True, tag="published"):
    """Consumers read the new version; what nobody needs goes next."""


TrustPhase = FetchDue | Merged | Published
TrustJob = Job[TrustPhase]


class RootRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One trusted root.

    Attributes:
        fingerprint: SHA-256 of the certificate's DER, lower-case hexadecimal.
        key: SHA-256 of its SubjectPublicKeyInfo, lower-case hexadecimal.
        subject: Its subject, printable and bounded; for people.
        not_before: When it begins.
        not_after: When it ends.
        pem: The certificate.
        since: When it was first taken from the list.
        missing_since: The first fetch, of those without interruption, that lacked it.
        missed: How many fetches lacked it without interruption.
        removed_at: When its removal was established; it is trusted until the overlap
            has passed.
    """

    fingerprint: str
    key: str
    subject: str
    not_before: datetime
    not_after: datetime
    pem: str
    since: datetime
    missing_since: datetime | None = None
    missed: int = 0
    removed_at: datetime | None = None


class RefusedDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a source last offered and what was not taken, so that it can be accepted.

    Attributes:
        digest: SHA-256 of what it says, lower-case hexadecimal.
        reason: One clause.
        at: When.
    """

    digest: str
    reason: str
    at: datetime


class ListedRoots(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one version of a list trusts, as a publication holds it.

    Attributes:
        name: The list.
        version: Its version.
        roots: The roots, PEM.
    """

    name: str
    version: int
    roots: str


class TrustRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is durable of a list; one file, one rename, one transaction.

    Attributes:
        name: Its table in the configuration.
        roots: What is trusted, in the order in which it came.
        distrusted: Fingerprints that the list takes away at once, with since when.
        version: Numbers the sets of roots; never goes back.
        changed_at: When the newest version was made.
        published: The version whose files consumers read; 0 for none.
        published_at: Since when.
        sequence: Number of the signed list in force; never goes back.
        expires: When the signed list in force ends.
        signer: Key that signs the list now, SubjectPublicKeyInfo, DER.
        pin: Key that the configuration pinned when `signer` was learnt.
        digest: SHA-256 of what the last document said, lower-case hexadecimal.
        fetched_at: When a document was last taken, also one that changed nothing.
        fetch_at: When the source is asked next; None for at once.
        refused: The document that was offered last and not taken.
        hurry: An operator asked for a fetch while the job was running.
        accepted: Digest of a document that an operator takes in spite of its reason.
        job: The job that keeps the list.
        alarms: By slug.
    """

    JOBS: ClassVar[Mapping[str, str]] = {"trust": "job"}

    name: str
    roots: tuple[RootRecord, ...] = ()
    distrusted: Mapping[str, datetime] = msgspec.field(default_factory=dict)
    version: int = 0
    changed_at: datetime | None = None
    published: int = 0
    published_at: datetime | None = None
    sequence: int = 0
    expires: datetime | None = None
    signer: bytes = b""
    pin: bytes = b""
    digest: str = ""
    fetched_at: datetime | None = None
    fetch_at: datetime | None = None
    refused: RefusedDocument | None = None
    hurry: bool = False
    accepted: str = ""
    job: TrustJob | None = None
    alarms: Mapping[str, Alarm] = msgspec.field(default_factory=dict)

    @property
    def bundle(self) -> str:
        """Return every trusted root, PEM."""
        return "".join(root.pem for root in self.roots)
