"""The states that a job of each kind can be in, as they are shown."""

from collections.abc import Mapping
from typing import Final

from agent.records.abandonment import Abandoned
from agent.records.ending import Ending, FarewellStage
from agent.records.phases import (
    Answering,
    AskDue,
    Condemned,
    Destroyed,
    Downloading,
    Finalizing,
    KeyChosen,
    KeyMade,
    Phase,
    Processing,
    Stage,
)
from agent.records.request import RequestKeyChosen, RequestKeyMade, RequestSigned
from agent.records.revocation import ReplaceStage, RevocationAsked, StatusDue
from agent.records.series import SeriesClosing, SeriesOpen


def _tags(*phases: type[Phase]) -> tuple[str, ...]:
    return tuple(str(phase.__struct_config__.tag) for phase in phases)


PHASES: Final[Mapping[str, tuple[str, ...]]] = {
    "issue": _tags(KeyChosen, KeyMade, Answering, Finalizing, Processing, Downloading),
    "deploy": tuple(Stage),
    "retire": _tags(Condemned, Destroyed),
    "revoke": _tags(RevocationAsked),
    "replace": tuple(ReplaceStage),
    "csr": _tags(RequestKeyChosen, RequestKeyMade, RequestSigned),
    "status": _tags(StatusDue),
    "renewal-info": _tags(AskDue),
    "abandon": _tags(Abandoned),
    "series": _tags(SeriesOpen, SeriesClosing),
    "farewell": tuple(FarewellStage),
    "end": _tags(Ending),
}
"""The tags of the phases, by the kind of the job; a phase without tag has stages."""
