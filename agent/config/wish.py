"""What a certificate is to be: what is ordered, requested and held against, resolved.

It follows from the certificate's table, the NF that it names, and the policy of the CA
that it is ordered from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from agent.acme import tnauthlist
from agent.acme.device import is_device
from agent.acme.identifiers import (
    DNS,
    NF_INSTANCE_ID,
    TN_AUTH_LIST,
    Identifier,
    identifiers,
    ip_text,
)
from agent.config.authorities import Ca
from agent.config.model import Certificate, Config
from agent.config.nf import Csr, Nf, Subject
from agent.pki.request import CsrContent
from agent.sba import lint, nf
from agent.sba.findings import Levels
from agent.sba.profile import Profile
from agent.sba.purposes import USAGES, USES, KeyUsage, Purpose, key_usage

SPELLED_OUT: Final = Csr(san_policy="whole-profile")
"""The policy for certificates that name no NF: what their table spells out is asked."""
BOTH: Final = (NF_INSTANCE_ID, DNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one certificate is to be.

    Attributes:
        identifiers: What is ordered, in canonical form.
        allowed: What the certificate may name beside that.
        content: What the request says.
        profile: What the certificate is held against.
        levels: What a breach of each rule means.
        optional: What is ordered and may be missing in the certificate: a device is
            attested, and need not be named (draft-ietf-acme-device-attest section 3.2).
    """

    identifiers: tuple[Identifier, ...]
    allowed: tuple[Identifier, ...]
    content: CsrContent
    profile: Profile
    levels: Levels
    optional: tuple[Identifier, ...] = ()


def with_names(config: Config) -> Config:
    """Return the tree with the names that certificates have from their NFs."""
    tables = {
        name: replace(table, names=names_of(table, config.nf.get(table.nf or "")))
        for name, table in config.certificate.items()
    }
    return replace(config, certificate=tables)


def names_of(table: Certificate, of: Nf | None) -> tuple[str, ...]:
    """Return the names of a certificate: its own, or those of the NF that serves."""
    if table.names or of is None or not USES[purpose_of(table)].serves:
        return table.names
    return of.names


def purpose_of(table: Certificate) -> Purpose:
    """Return what a certificate is for; most NFs are client and server."""
    return Purpose(table.purpose or Purpose.TLS)


def wish_of(table: Certificate, of: Nf | None = None, ca: Ca | None = None) -> Wish:
    """Return what a certificate is to be when it is ordered from a CA.

    Args:
        table: Its table, with its names (`with_names`).
        of: The NF that it names.
        ca: The CA that it is ordered from; None for one without a policy of its own.
    """
    profile = profile_of(table, of)
    ordered = ordered_of(table, of, ca)
    hidden = _hidden(table)
    return Wish(
        identifiers=ordered,
        allowed=_identified(profile),
        content=_content(
            tuple(i for i in ordered if i not in hidden), profile, _policy(of, ca)
        ),
        profile=profile,
        levels=lint.levels({} if ca is None else ca.lint, of_nf=of is not None),
        optional=tuple(i for i in ordered if is_device(i)),
    )


def ordered_of(
    table: Certificate, of: Nf | None, ca: Ca | None
) -> tuple[Identifier, ...]:
    """Return the identifiers of an order, in canonical form."""
    beside = _unnamed(table)
    if of is None:
        return (*identifiers(table.names), *beside)
    types = table.identifiers or (BOTH if ca is None else ca.identifiers)
    instance = (nf.urn(of.instance_id),) if NF_INSTANCE_ID in types else ()
    names = (*instance, *(table.names if DNS in types else ()))
    return (*identifiers(names), *beside)


def _unnamed(table: Certificate) -> tuple[Identifier, ...]:
    """Return what is ordered whatever its CA's policy is: numbers, and a device."""
    numbers, attested = table.tn_auth_list, table.attestation
    return (
        *(() if numbers is None else (numbers.identifier,)),
        *(() if attested is None else attested.identifiers),
    )


def _hidden(table: Certificate) -> tuple[Identifier, ...]:
    """Return what the request keeps to itself."""
    attested = table.attestation
    return () if attested is None or attested.in_request else attested.identifiers


def profile_of(table: Certificate, of: Nf | None) -> Profile:
    """Return what a certificate is held against."""
    own = () if of is None else (nf.urn(of.instance_id),)
    sans = (*own, *table.names) if table.san is None else table.san
    addresses = {s: a for s in sans if (a := ip_text(s)) is not None}
    subject = _subject(table, of)
    return Profile(
        uris=tuple(s for s in sans if ":" in s and s not in addresses),
        dns=tuple(s for s in sans if ":" not in s and s not in addresses),
        addresses=tuple(addresses.values()),
        country=subject.country or "",
        organization=subject.organization or "",
        common_name=subject.common_name or "",
        usages=_usages(table, of),
        key_usage=_key_usage(table, of),
        nf_types=nf.in_order(table.nf_types or (() if of is None else of.types)),
        of_nf=of is not None,
    )


def _subject(table: Certificate, of: Nf | None) -> Subject:
    if table.subject is not None or of is None:
        return table.subject or Subject()
    home = of.home
    return Subject(country=of.country, organization=None if home is None else str(home))


def _usages(table: Certificate, of: Nf | None) -> tuple[str, ...]:
    if table.extended_key_usage:
        return tuple(USAGES.get(name, name) for name in table.extended_key_usage)
    return () if of is None else USES[purpose_of(table)].usages


def _key_usage(table: Certificate, of: Nf | None) -> tuple[KeyUsage, ...]:
    if table.key_usage:
        return tuple(KeyUsage(bit) for bit in table.key_usage)
    return () if of is None else key_usage(purpose_of(table), table.key.type)


def _policy(of: Nf | None, ca: Ca | None) -> Csr:
    """Return what the request says; what a table without an NF spells out is said."""
    if of is not None:
        return Csr() if ca is None else ca.csr
    return SPELLED_OUT


def _listed(identifier: Identifier) -> bool:
    return identifier.type == TN_AUTH_LIST


def _identified(profile: Profile) -> tuple[Identifier, ...]:
    """Return the names of a profile that can be ordered."""
    instances = (uri for uri in profile.uris if uri.lower().startswith(nf.URN))
    return identifiers((*instances, *profile.dns, *profile.addresses))


def _content(
    ordered: tuple[Identifier, ...], profile: Profile, policy: Csr
) -> CsrContent:
    every = _identified(profile)
    beside = tuple(i for i in every if i not in ordered)
    names: Mapping[str, tuple[Identifier, ...]] = {
        "identifiers-only": ordered,
        "identifiers-plus-dns": (*ordered, *(i for i in beside if i.type == DNS)),
        "whole-profile": (*ordered, *beside),
        "profile-decides": (),
    }
    subject = (
        ("C", profile.country),
        ("O", profile.organization),
        ("CN", profile.common_name),
    )
    whole, asked = policy.san_policy == "whole-profile", policy.extensions
    types = profile.nf_types if "nf-types" in asked else ()
    return CsrContent(
        identifiers=tuple(i for i in names[policy.san_policy] if not _listed(i)),
        uris=tuple(u for u in profile.uris if whole and not u.startswith(nf.URN)),
        critical=policy.san_critical,
        subject=subject if policy.subject else (),
        key_usage=profile.key_usage if "key-usage" in asked else (),
        usages=profile.usages if "extended-key-usage" in asked else (),
        extensions=(
            *(((nf.OID, nf.encode(types)),) if types else ()),
            # Whatever the policy says: these identifiers stand nowhere else.
            *((tnauthlist.OID, tnauthlist.der_of(i)) for i in ordered if _listed(i)),
        ),
    )
