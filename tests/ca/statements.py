"""How this CA states what it has revoked, and how it may be wrong about it."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """How CRLs and OCSP responses are made.

    Attributes:
        ocsp: Name the responder in certificates.
        crl: Name the CRL in certificates.
        validity: From thisUpdate to nextUpdate.
        age: How long ago thisUpdate was.
        delegated: A certificate of the responder's own signs, not the issuer.
        down: Answer 503 to everything.
    """

    ocsp: bool = True
    crl: bool = True
    validity: timedelta = timedelta(hours=1)
    age: timedelta = timedelta(0)
    delegated: bool = True
    down: bool = False
