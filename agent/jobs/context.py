"""What the jobs of a certificate are told about everything outside their record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.acme.identifiers import Identifier, identifiers, same
from agent.config.authorities import Account, Ca
from agent.config.endpoints import Endpoint
from agent.config.model import Certificate
from agent.config.nf import Nf
from agent.config.units import duration
from agent.config.wish import Wish, wish_of
from agent.records.certificate import Choice, Issuance, Wanted
from agent.records.ending import Ending
from agent.records.others import AccountRecord
from agent.records.revocation import IssuedRecord
from agent.records.star import StarWanted
from agent.records.trust import ListedRoots
from agent.renewal.breaker import UNKNOWN, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One CA of a certificate's list.

    Attributes:
        ca: Its name in the configuration.
        directory: URL of its directory.
        account: The account that orders there, None before its record exists.
        trusted: The peers trust what it issues.
        standing: Whether it may be asked.
    """

    ca: str
    directory: str
    account: AccountRecord | None
    trusted: bool = True
    standing: Standing = UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Configuration and neighbours of one certificate.

    Attributes:
        config: Its table.
        ca: Name of the CA that is ordered from: the first of the list, or the choice.
        directory: URL of that CA's directory.
        install: Id of this installation, for labels.
        account: Its account at that CA, None before its record exists.
        accounts: Every account, by name: an older one may have ordered.
        never_destroy: Its token's keys are destroyed by the HSM's operator only.
        standing: Whether that CA may be asked.
        authorities: Every CA of the list, in its order; empty where there is no choice.
        trust: What its lists of trusted roots trust now; a list without a version is
            not among them.
        leaving: Roots that its lists, or those of its CA, let go; since when.
        nf: The network function that it names.
        table: The table of its CA; None for one without a policy of its own.
        ends: Its network function is decommissioned, or about to be.
        end: With which instance, as the word of the operator has it; None where the
            tables say it.
    """

    config: Certificate
    ca: str
    directory: str
    install: str
    account: AccountRecord | None
    accounts: Mapping[str, AccountRecord] = field(default_factory=dict)
    never_destroy: bool = False
    standing: Standing = UNKNOWN
    authorities: tuple[Authority, ...] = ()
    trust: tuple[ListedRoots, ...] = ()
    leaving: Mapping[str, datetime] = field(default_factory=dict)
    nf: Nf | None = None
    table: Ca | None = None
    ends: bool = False
    end: Ending | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the endpoints; one that is neither told nor asked if none is given."""
        return self.config.endpoint or (Endpoint(),)

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Return what is ordered, in canonical form."""
        return self.wish.identifiers

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of what is ordered, as records have them."""
        return tuple(i.name for i in self.identifiers)

    @property
    def wish(self) -> Wish:
        """Return what the certificate is to be."""
        return wish_of(self.config, self.nf, self.table)

    def is_about(self, issuance: Issuance) -> bool:
        """Tell whether a certificate says what is wanted.

        One of an NF says that by its profile, because CAs differ in what is ordered.
        """
        if issuance.content != self.wish.profile.digest:
            return False
        return self.nf is not None or same(
            identifiers(issuance.names), self.identifiers
        )

    @property
    def grace(self) -> timedelta:
        """Return how long an unused key is kept."""
        return duration(self.config.grace)

    @property
    def look(self) -> str:
        """Return what decides the files of a publication beside its issuance."""
        snippets = [(e.name, _template(e), e.pin_source or "") for e in self.endpoints]
        rights = (self.config.group or "", *self.config.readers)
        return " ".join([*(part for s in sorted(snippets) for part in s), *rights])

    @property
    def wanted(self) -> Wanted:
        """Return what an issue job that begins now is begun for."""
        wish = self.config.wished_profile
        return Wanted(
            names=self.names,
            content=self.wish.profile.digest,
            ca=self.ca,
            directory=self.directory,
            account="" if self.account is None else self.account.name,
            profile="" if wish is None else wish.name,
            profile_required=wish is not None and wish.required,
            must_staple=self.config.must_staple,
            challenge=self.config.challenge,
            star=self.star,
        )

    @property
    def star(self) -> StarWanted | None:
        """Return what is wanted of a series; None for usual orders."""
        table = self.config.star
        if table is None:
            return None
        return StarWanted(
            lifetime=int(duration(table.lifetime).total_seconds()),
            adjust=int(duration(table.adjust).total_seconds()),
            duration=int(duration(table.duration).total_seconds()),
            get=table.get,
        )

    def endpoint(self, name: str) -> Endpoint | None:
        """Return an endpoint by name; None where it was removed."""
        return next((e for e in self.endpoints if e.name == name), None)


def _template(endpoint: Endpoint) -> str:
    return f"{endpoint.template}{' verify-peers' if endpoint.verify_peers else ''}"


def chosen_of(listed: tuple[Authority, ...], choice: Choice | None) -> Authority:
    """Return the CA of a list that is ordered from.

    The first one, unless a choice stands. It is void as soon as the configuration names
    another first CA, or no longer names the chosen one.
    """
    if choice is None or choice.first != listed[0].directory:
        return listed[0]
    wanted = (choice.ca, choice.directory)
    return next((o for o in listed if (o.ca, o.directory) == wanted), listed[0])


def account_of(issued: IssuedRecord, context: Context) -> AccountRecord | None:
    """Return the account that ordered a certificate, None where it is forgotten."""
    account = context.accounts.get(issued.account)
    if account is None or account.directory != issued.directory:
        return None
    return account


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountContext:
    """Configuration and neighbours of one account.

    Attributes:
        config: Its table.
        directory: URL of its CA's directory.
        install: Id of this installation, for labels.
        busy: A certificate whose challenge or request the account's key is bound to;
            empty for none.
        never_destroy: Tokens whose keys are destroyed by the HSM's operator only.
        idle: Every certificate that orders with it is one of a network function that
            is decommissioned.
    """

    config: Account
    directory: str
    install: str
    busy: str = ""
    never_destroy: frozenset[str] = frozenset()
    idle: bool = False

    @property
    def grace(self) -> timedelta:
        """Return how long a replaced key is kept."""
        return duration(self.config.grace)

    @property
    def eab(self) -> str:
        """Return the key identifier of the configured binding; empty for none."""
        return "" if self.config.eab is None else self.config.eab.kid

    @property
    def given(self) -> str:
        """Return what a registration gives to the CA: binding and agreement."""
        agreed = "terms agreed" if self.config.terms_agreed else ""
        return f"{self.eab} {agreed}".strip()
