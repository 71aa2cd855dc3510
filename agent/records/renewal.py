"""What a CA said of when a certificate should be renewed (RFC 9773)."""

from datetime import datetime

import msgspec


class RenewalRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The renewal information of one certificate, as far as it was told.

    Attributes:
        certid: The certificate that it is about (section 4.1).
        start: Where the suggested window begins; None before the first answer.
        end: Where it ends.
        pick: The instant inside the window, drawn once for each distinct window.
        explanation: URL that tells a person why the window is what it is, or empty.
        ask_at: When the CA is asked again: its Retry-After, bounded, or our own wait.
    """

    certid: str
    start: datetime | None = None
    end: datetime | None = None
    pick: datetime | None = None
    explanation: str = ""
    ask_at: datetime | None = None
