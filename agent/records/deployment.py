"""What is remembered of an endpoint: what it served, and how far a deployment came."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Sight(StrEnum):
    """What one handshake with one address showed."""

    SERVED = "served"
    """A handshake showed a leaf certificate."""
    BROKEN = "broken"
    """Something answered and the TLS handshake failed before a certificate was seen."""
    UNREACHABLE = "unreachable"
    """Nothing answered."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one address served at one instant.

    Attributes:
        address: Address and port as configured.
        sight: What the handshake showed.
        fingerprint: SHA-256 of the leaf's DER, lower-case hexadecimal; empty if none.
        detail: Why it was broken or unreachable, one clause.
        at: When it was seen.
    """

    address: str
    sight: Sight
    fingerprint: str = ""
    detail: str = ""
    at: datetime
