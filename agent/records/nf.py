"""The aggregate of a network function: that it is, or was, decommissioned."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Final

import msgspec

MAX_TOMBSTONES: Final = 64
"""Instances of one name that are remembered; the oldest gives way."""


class Decommissioning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That an operator has asked for the end of a network function.

    Attributes:
        instance_id: Its NF instance id.
        asked_at: When.
        certificates: Its certificates then: whatever their tables say by now.
        keep_account: Its accounts are left open, also where nobody else uses them.
    """

    instance_id: str
    asked_at: datetime
    certificates: tuple[str, ...] = ()
    keep_account: bool = False


class Tombstone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left of a network function: an instance that never comes back.

    Attributes:
        instance_id: Its NF instance id.
        asked_at: When an operator asked for its end.
        ended_at: When nothing of it was left.
        certificates: Its certificates then.
        accounts: Accounts that were closed with it.
    """

    instance_id: str
    asked_at: datetime
    ended_at: datetime
    certificates: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()


class NfRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is durable of a network function; one file, one rename.

    Attributes:
        name: Its table in the configuration.
        ending: The end that is under way.
        tombstones: Instances that have ended, oldest first.
    """

    JOBS: ClassVar[Mapping[str, str]] = {}

    name: str
    ending: Decommissioning | None = None
    tombstones: tuple[Tombstone, ...] = ()

    def tombstone(self, instance_id: str) -> Tombstone | None:
        """Return what is left of an instance; None for one that has not ended."""
        wanted = instance_id.lower()
        found = (t for t in self.tombstones if t.instance_id.lower() == wanted)
        return next(found, None)

    def ends(self, instance_id: str) -> bool:
        """Tell whether an instance has ended, or is about to; a UUID has no case."""
        ending = self.ending
        begun = ending is not None and ending.instance_id.lower() == instance_id.lower()
        return begun or self.tombstone(instance_id) is not None
