"""What the jobs of a certificate are told about everything outside their record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from agent.acme.identifiers import Identifier, identifiers
from agent.config.endpoints import Endpoint
from agent.config.model import Certificate
from agent.config.units import duration
from agent.records.certificate import Wanted
from agent.records.others import AccountRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Configuration and neighbours of one certificate.

    Attributes:
        config: Its table.
        ca: Name of its CA.
        directory: URL of that CA's directory.
        install: Id of this installation, for labels.
        account: Its account, None before its record exists.
        accounts: Every account, by name: an older one may have ordered.
        never_destroy: Its token's keys are destroyed by the HSM's operator only.
    """

    config: Certificate
    ca: str
    directory: str
    install: str
    account: AccountRecord | None
    accounts: Mapping[str, AccountRecord] = field(default_factory=dict)
    never_destroy: bool = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints; one that is neither told nor asked if none is given."""
        return self.config.endpoint or (Endpoint(),)

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Return what is ordered, in canonical form."""
        return identifiers(self.config.names)

    @property
    def grace(self) -> timedelta:
        """Return how long an unused key is kept."""
        return duration(self.config.grace)

    @property
    def look(self) -> str:
        """Return what decides the files of a publication beside its issuance."""
        snippets = [(e.name, e.template, e.pin_source or "") for e in self.endpoints]
        rights = (self.config.group or "", *self.config.readers)
        return " ".join([*(part for s in sorted(snippets) for part in s), *rights])

    @property
    def wanted(self) -> Wanted:
        """Return what an issue job that begins now is begun for."""
        return Wanted(
            names=self.config.names,
            ca=self.ca,
            directory=self.directory,
            account="" if self.account is None else self.account.name,
        )

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint by name; None where it was removed."""
        return next((e for e in self.endpoints if e.name == name), None)
