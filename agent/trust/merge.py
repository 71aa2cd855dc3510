"""What becomes of the roots in force when a document arrives, and when time passes.

A new root is trusted at once. How one leaves depends on the source: a signed list says
so by leaving it out; EST and files must lack it in two fetches or more, the last of
them a delay after the first. Either way it is trusted on until the overlap has passed,
so that peers whose certificates it issued are accepted meanwhile. Only `distrust` takes
a root away at once. Nothing of this ever leaves nothing, unless an operator said so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from agent.records.trust import RootRecord, Source, TrustRecord
from agent.trust.errors import (
    BoundsError,
    EmptyError,
    RollbackError,
    StepError,
)
from agent.trust.roots import MAX_BUNDLE, MAX_ROOTS, Document, Root

AGREEING: Final = 2
"""Fetches that must lack a root before it leaves; the second may be a mistake's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a list is kept.

    Attributes:
        source: Where it comes from.
        delay: How long fetches must lack a root before it leaves; not for signed lists.
        overlap: How long a root that has left is still trusted.
        max_step: How far the number of a signed list may go ahead at once.
    """

    source: Source
    delay: timedelta
    overlap: timedelta
    max_step: int


def signer_of(record: TrustRecord, pin: bytes) -> bytes:
    """Return the key that may sign now: the one learnt, as long as the pin is the same.

    An operator who pins another key begins anew; to pin the present signer does not.
    """
    return record.signer if pin in {record.pin, record.signer} else pin


def admit(
    record: TrustRecord, document: Document, policy: Policy, now: datetime
) -> None:
    """Hold a document against what is in force.

    Raises:
        RollbackError: It is older, or another one of the same number.
        StepError: Its number is too far ahead, and no operator has accepted it.
        EmptyError: It would leave nothing, and no operator has accepted it.
        BoundsError: Together with what is still trusted it is too large.
    """
    if policy.source == "signed" and not _is_new_series(record, document):
        _check_sequence(record, document, policy)
    usable = (root for root in document.trusted if root.not_after > now)
    if next(usable, None) is None and record.accepted != document.digest:
        raise EmptyError(
            "the list would leave nothing that is trusted",
            digest=document.digest,
            hint=f"if that is right: nfcertd trust accept {record.name}",
        )
    after = merge(record, document, policy, now).roots
    if len(after) > MAX_ROOTS or sum(len(root.pem) for root in after) > MAX_BUNDLE:
        raise BoundsError("the list and what it replaced are too large together")


def _is_new_series(record: TrustRecord, document: Document) -> bool:
    return document.pin not in {record.pin, record.signer}


def _check_sequence(record: TrustRecord, document: Document, policy: Policy) -> None:
    ours, theirs = record.sequence, document.sequence
    if theirs < ours:
        raise RollbackError(
            f"the list has the number {theirs}, and {ours} is in force",
            hint="somebody gives out an old list, or its server lost the new one",
        )
    if theirs == ours and document.digest != record.digest:
        raise RollbackError(
            f"the list has the number {theirs} as the one in force, and differs"
        )
    if ours and theirs - ours > policy.max_step and record.accepted != document.digest:
        raise StepError(
            f"the list has the number {theirs}, far ahead of {ours}",
            digest=document.digest,
            hint=f"if that is right: nfcertd trust accept {record.name}",
        )


def merge(
    record: TrustRecord, document: Document, policy: Policy, now: datetime
) -> TrustRecord:
    """Return the record after a document that was admitted."""
    offered = {root.fingerprint: root for root in document.trusted}
    kept = [
        _still_there(root)
        if root.fingerprint in offered
        else _missed(root, policy, now)
        for root in record.roots
        if not document.distrusts(root.fingerprint, root.key)
    ]
    known = {root.fingerprint for root in kept}
    new = [
        _taken(root, now)
        for fingerprint, root in offered.items()
        if fingerprint not in known and root.not_after > now
    ]
    after = replace(
        record,
        distrusted=_distrusted(record, document, now),
        sequence=document.sequence or record.sequence,
        expires=document.expires,
        signer=document.signer or record.signer,
        pin=document.pin or record.pin,
        digest=document.digest,
        fetched_at=now,
        refused=None,
    )
    return _settled(record, after, [*kept, *new], policy.overlap, now)


def passed(record: TrustRecord, overlap: timedelta, now: datetime) -> TrustRecord:
    """Return the record after time has passed: ended roots and overlaps are over."""
    return _settled(record, record, record.roots, overlap, now)


def next_passing(
    record: TrustRecord, overlap: timedelta, now: datetime
) -> datetime | None:
    """Return the next instant at which `passed` would take something away."""
    ends = (min(root.not_after, _end(root, overlap)) for root in record.roots)
    return min((end for end in ends if end > now), default=None)


def leaving(record: TrustRecord) -> dict[str, datetime]:
    """Return the fingerprints that are distrusted or on their way out, since when."""
    left = {
        root.fingerprint: root.removed_at
        for root in record.roots
        if root.removed_at is not None
    }
    return {**left, **record.distrusted}


def has_all_ended(record: TrustRecord, now: datetime) -> bool:
    """Tell whether roots are left and none of them is of any use."""
    return bool(record.roots) and all(root.not_after <= now for root in record.roots)


def _settled(
    before: TrustRecord,
    after: TrustRecord,
    roots: Iterable[RootRecord],
    overlap: timedelta,
    now: datetime,
) -> TrustRecord:
    """Drop what is over, and number the set where it has changed."""
    found = tuple(roots)
    left = tuple(r for r in found if now < min(r.not_after, _end(r, overlap)))
    emptied = bool(after.accepted) and after.accepted == after.digest
    if not left and not emptied:
        # An empty file would end the endpoints' service; what is there is kept.
        left = found
    after = replace(after, roots=left)
    if {r.fingerprint for r in left} == {r.fingerprint for r in before.roots}:
        return after
    return replace(after, version=before.version + 1, changed_at=now)


def _end(root: RootRecord, overlap: timedelta) -> datetime:
    return root.not_after if root.removed_at is None else root.removed_at + overlap


def _distrusted(
    record: TrustRecord, document: Document, now: datetime
) -> dict[str, datetime]:
    """Return what was ever taken away and not offered again, the latest of it."""
    known_keys = [(root.fingerprint, root.key) for root in record.roots]
    known_keys += [(root.fingerprint, root.key) for root in document.roots]
    of_keys = {f for f, key in known_keys if key in document.distrusted_keys}
    offered = {root.fingerprint for root in document.trusted}
    known = {f: at for f, at in record.distrusted.items() if f not in offered}
    fresh = {f: now for f in sorted(document.distrusted | of_keys) if f not in known}
    return dict([*known.items(), *fresh.items()][-MAX_ROOTS:])


def _still_there(root: RootRecord) -> RootRecord:
    return replace(root, missing_since=None, missed=0, removed_at=None)


def _missed(root: RootRecord, policy: Policy, now: datetime) -> RootRecord:
    if root.removed_at is not None:
        return root
    since, missed = root.missing_since or now, root.missed + 1
    established = policy.source == "signed" or (
        missed >= AGREEING and now - since >= policy.delay
    )
    return replace(
        root,
        missing_since=since,
        missed=missed,
        removed_at=now if established else None,
    )


def _taken(root: Root, now: datetime) -> RootRecord:
    return RootRecord(
        fingerprint=root.fingerprint,
        key=root.key,
        subject=root.subject,
        not_before=root.not_before,
        not_after=root.not_after,
        pem=root.pem,
        since=now,
    )
