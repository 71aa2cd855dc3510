"""What is durable of a STAR order: one key, and certificate after certificate."""

from datetime import datetime

import msgspec

from agent.records.job import Job
from agent.records.phases import Phase
from agent.records.star import StarTerms, StarWanted


class Series(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A STAR order that brings certificates.

    Attributes:
        order: URL of the order.
        names: What was ordered.
        certificate: URL on which one certificate follows another.
        terms: What was agreed.
        since: When the first certificate came.
        key: Id of the key that all of them are for.
        ca: Name of the CA in the configuration.
        directory: URL of its directory.
        account: Name of the account that ordered.
        account_url: URL that it had then.
        profile: The profile that the CA says they have.
        asked_profile: The profile that was asked for.
        asked: What the configuration wanted of the series.
        must_staple: They were asked to demand stapling.
        content: What they were to say beside their names.
    """

    order: str
    names: tuple[str, ...] = ()
    certificate: str
    terms: StarTerms
    since: datetime
    key: str
    ca: str
    directory: str
    account: str = ""
    account_url: str = ""
    profile: str = ""
    asked_profile: str = ""
    asked: StarWanted | None = None
    must_staple: bool = False
    content: str = ""


class SeriesOpen(Phase, frozen=True, kw_only=True, tag="open"):
    """Certificates are fetched; the job's `not_before` is when the next one is due.

    Attributes:
        series: The series.
        doubted: A fetch was refused: whether the order still stands is asked first.
    """

    series: Series
    doubted: bool = False


class SeriesClosing(Phase, frozen=True, kw_only=True, tag="closing"):
    """The CA is asked to bring no further certificate.

    Attributes:
        series: The series.
        why: Why, one clause.
        doubted: The CA refused to cancel it: whether it still stands is asked first.
    """

    series: Series
    why: str
    doubted: bool = False


SeriesJob = Job[SeriesOpen | SeriesClosing]
