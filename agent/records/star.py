"""What is wanted of, and agreed for, a STAR order (RFC 8739 section 3.1.1)."""

from datetime import datetime, timedelta

import msgspec


class StarWanted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the configuration wants of a series; seconds.

    Attributes:
        lifetime: How long each certificate lives.
        adjust: How much each is back-dated.
        duration: How long the series goes on.
        get: Certificates are fetched without a signature where the CA allows that.
    """

    lifetime: int
    adjust: int = 0
    duration: int
    get: bool = False


class StarTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the CA has agreed to: its answer holds, whatever was asked for.

    Attributes:
        end: No certificate is valid longer.
        lifetime: Nominal lifetime of each, seconds.
        adjust: How much each is back-dated, seconds.
        get: Certificates may be fetched without a signature.
    """

    end: datetime
    lifetime: int
    adjust: int = 0
    get: bool = False

    @property
    def life(self) -> timedelta:
        """Return the nominal lifetime."""
        return timedelta(seconds=self.lifetime)
