"""Why a certificate is revoked: the reason codes of RFC 5280 section 5.3.1 by name."""

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, int]] = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "removeFromCRL": 8,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
"""Every reason code; 7 is not used."""

UNSPECIFIED: Final = "unspecified"
KEY_COMPROMISE: Final = "keyCompromise"

OURS: Final = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""What the holder of a certificate can know; the others are an authority's to say."""


def code_of(reason: str) -> int | None:
    """Return the code that a request carries, None where it carries none.

    unspecified is said by silence: "the reason code CRL entry extension SHOULD be
    absent instead of using the unspecified (0) reasonCode value".
    """
    return REASONS.get(reason) or None
