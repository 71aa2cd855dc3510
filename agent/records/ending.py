"""What is remembered of a certificate whose network function is decommissioned."""

from datetime import datetime
from enum import StrEnum

import msgspec

from agent.records.job import Job
from agent.records.phases import Phase


class FarewellStage(StrEnum):
    """How far an endpoint has been taken out of service."""

    IN_SERVICE = "in-service"
    WITHDRAWN = "withdrawn"
    """Its link no longer points to a publication."""
    TOLD = "told"


class Farewell(Phase, frozen=True, kw_only=True, tag="farewell"):
    """An endpoint stops using the certificate.

    Attributes:
        stage: How far it is.
    """

    stage: FarewellStage = FarewellStage.IN_SERVICE


class Ending(Phase, frozen=True, kw_only=True, tag="ending"):
    """All that the certificate has is being given up.

    Attributes:
        nf: Name of the network function.
        instance_id: Its NF instance id.
    """

    nf: str
    instance_id: str


FarewellJob = Job[Farewell]
EndJob = Job[Ending]


class Ended(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That nothing is left of a certificate, because its network function is gone.

    Attributes:
        nf: Name of the network function.
        instance_id: Its NF instance id.
        at: Since when.
    """

    nf: str
    instance_id: str
    at: datetime
