"""What is remembered of the bootstrap bundle that was taken last."""

from datetime import datetime

import msgspec


class BootstrapRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bundle in force; its secrets stay encrypted to the host's key.

    Attributes:
        name: Always `bootstrap`.
        instance: Which host it is for.
        sequence: Its number; an older one is never taken again.
        digest: SHA-256 of what was signed.
        signer: SHA-256 of the SubjectPublicKeyInfo of who signed it.
        issued: When it was made.
        expires: Until when it could be taken; it stays in force beyond.
        taken: When it was taken.
        bundle: The bundle as it came.
    """

    name: str = "bootstrap"
    instance: str
    sequence: int
    digest: str
    signer: str
    issued: datetime
    expires: datetime
    taken: datetime
    bundle: str
