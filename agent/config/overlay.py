"""What a bootstrap bundle adds to the files, and what waits while there is none.

Nobody wins silently: a table that both have is refused with both places. It knows
tables, and not where they come from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from agent.config.authorities import Account, Ca
from agent.config.lookup import accounts_at, cas_of, named_accounts
from agent.config.model import Certificate, Config
from agent.config.nf import Nf
from agent.config.section import Section
from agent.config.token_authority import TokenAuthority
from agent.config.trust import Trust, list_of

FIELDS: Final[Mapping[str, str]] = {
    "ca": "ca",
    "account": "account",
    "nf": "nf",
    "token_authority": "token-authority",
    "trust": "trust",
}
"""The tables that a bundle may bring: their attribute, their name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Tables that a bundle brings.

    Attributes:
        sequence: The bundle's number.
        ca: As in `Config`, and so are the others.
    """

    sequence: int
    ca: Mapping[str, Ca] = field(default_factory=dict)
    account: Mapping[str, Account] = field(default_factory=dict)
    nf: Mapping[str, Nf] = field(default_factory=dict)
    token_authority: Mapping[str, TokenAuthority] = field(default_factory=dict)
    trust: Mapping[str, Trust] = field(default_factory=dict)

    def tables(self) -> dict[str, Section]:
        """Return every table by its path."""
        return {
            f"{table}.{name}": section
            for attribute, table in FIELDS.items()
            for name, section in getattr(self, attribute).items()
        }


def clashes(config: Config, overlay: Overlay) -> Iterator[str]:
    """Yield a clause for each table that the files have as well."""
    for attribute, table in FIELDS.items():
        both = getattr(config, attribute).keys() & getattr(overlay, attribute).keys()
        for name in sorted(both):
            yield (
                f"{table}.{name}: stands in the configuration's files and in "
                f"bootstrap bundle {overlay.sequence}; remove it from one of them"
            )


def with_overlay(config: Config, overlay: Overlay) -> Config:
    """Return the tree with the tables of a bundle that clashes with none of it."""
    added = {
        attribute: {**getattr(config, attribute), **getattr(overlay, attribute)}
        for attribute in FIELDS
    }
    return replace(config, **added)


def set_aside(config: Config) -> tuple[Config, dict[str, str]]:
    """Return a tree that can run without a bundle, and why each certificate waits.

    What names a table that is not there is left out, and so on; it comes back with
    the bundle that brings the table, or is refused then.
    """
    cas = {
        name: ca
        for name, ca in config.ca.items()
        if all(
            list_of(roots) in {None, *config.trust}
            for roots in (ca.roots, ca.chain_roots)
        )
    }
    accounts = {n: one for n, one in config.account.items() if one.ca in cas}
    left = replace(config, ca=cas, account=accounts)
    missing = {
        name: next(_missing(left, table), "")
        for name, table in config.certificate.items()
    }
    kept = {n: t for n, t in config.certificate.items() if not missing[n]}
    waiting = {name: clause for name, clause in missing.items() if clause}
    return replace(left, certificate=kept), waiting


def _missing(config: Config, table: Certificate) -> Iterator[str]:
    """Yield what a certificate names, or needs, that is not there."""
    yield from (f"ca.{ca}" for ca in cas_of(table) if ca not in config.ca)
    yield from (
        f"account.{name}"
        for name in named_accounts(table)
        if name not in config.account
    )
    for ca in cas_of(table):
        if not accounts_at(config, table, ca):
            yield f"account of ca.{ca}"
    if table.nf is not None and table.nf not in config.nf:
        yield f"nf.{table.nf}"
    yield from (f"trust.{name}" for name in table.trust if name not in config.trust)
    named = table.token_authority
    if named is not None and named not in config.token_authority:
        yield f"token-authority.{named}"
    if table.challenge == "tkauth-01" and not config.token_authority:
        yield "token-authority"
