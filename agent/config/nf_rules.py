"""What the tables of network functions must satisfy, and what names them."""

import difflib
import re
from collections.abc import Iterator
from typing import Final

from agent.acme.device import is_device
from agent.acme.identifiers import TN_AUTH_LIST, canonical, ip_text
from agent.config.attestation import attestation_problems
from agent.config.authorities import Ca
from agent.config.lookup import cas_of
from agent.config.model import Certificate, Config
from agent.config.nf import Nf
from agent.config.numbers import number_problems
from agent.config.rules import is_dns, known
from agent.config.wish import Wish, purpose_of, wish_of
from agent.sba import nf
from agent.sba.lint import DEFAULT
from agent.sba.purposes import USAGES, USES
from agent.sba.rules import RULES

_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,9})){1,20}")
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+")
_ONLY_NF: Final = ("purpose", "identifiers", "nf_types")
"""Settings of a certificate that say nothing where it names no NF."""


def nf_problems(config: Config) -> Iterator[str]:
    """Yield one clause for every rule that NFs, and what names them, break."""
    for name, ca in config.ca.items():
        yield from _lint(f"ca.{name}.lint", ca)
    for name, of in config.nf.items():
        yield from _nf(f"nf.{name}", of)
    yield from _same_instance(config)
    for name, table in config.certificate.items():
        yield from _certificate(config, f"certificate.{name}", table)
    yield from _one_purpose_one_key(config)


def _lint(path: str, ca: Ca) -> Iterator[str]:
    for rule in ca.lint.keys() - RULES.keys() - {DEFAULT}:
        near = difflib.get_close_matches(rule, [*RULES, DEFAULT], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(RULES)}"
        yield f"{path}.{rule}: there is no such rule, {hint}"


def _nf(path: str, of: Nf) -> Iterator[str]:
    try:
        nf.instance_id(of.instance_id)
    except ValueError as error:
        yield f"{path}.instance_id: {error}"
    yield from _types(f"{path}.types", of.types)
    for name in of.names:
        if not is_dns(name):
            yield f"{path}.fqdn: {name} is not a lower-case dns name in a-labels"
    if of.plmn is not None and of.snpn is not None:
        yield f"{path}: say either plmn or snpn"
    if of.home is None:
        yield f"{path}: say plmn or snpn, no name of it is below a home domain"


def _types(path: str, types: tuple[str, ...]) -> Iterator[str]:
    for one in types:
        if not nf.is_type(one):
            yield f"{path}: {one} is not 1 to 32 visible ascii characters"


def _same_instance(config: Config) -> Iterator[str]:
    """An instance id is of one NF; its types may be several."""
    owners: dict[str, str] = {}
    for name, of in config.nf.items():
        owner = owners.setdefault(of.instance_id.lower(), name)
        if owner != name:
            yield f"nf.{name}.instance_id: is that of nf.{owner}"


def _certificate(config: Config, path: str, table: Certificate) -> Iterator[str]:
    if problems := [*_subject_of(path, table)]:
        yield from problems
        return
    yield from _spelled(path, table)
    yield from _asked(path, table)
    if table.nf is None:
        yield from _without_nf(path, table)
        return
    yield from known(f"{path}.nf", table.nf, config.nf)
    of = config.nf.get(table.nf)
    if of is None or [*_nf("", of), *_types("", table.nf_types or ())]:
        return
    if USES[purpose_of(table)].encrypts and table.key.type == "ed25519":
        yield f"{path}.key.type: ed25519 cannot encrypt"
    for ca in cas_of(table):
        if ca in config.ca:
            yield from _wish(path, table, ca, wish_of(table, of, config.ca[ca]))


def _subject_of(path: str, table: Certificate) -> Iterator[str]:
    """What it is for; where that cannot be read, nothing follows from it."""
    numbers = table.tn_auth_list
    attested = table.attestation
    if not (table.names or table.nf or numbers or attested):
        yield f"{path}.names: name at least one, or an nf"
    if numbers is not None:
        yield from number_problems(f"{path}.tn_auth_list", numbers)
    if attested is not None:
        yield from attestation_problems(f"{path}.attestation", attested, table.key)


def _without_nf(path: str, table: Certificate) -> Iterator[str]:
    for field in _ONLY_NF:
        if getattr(table, field):
            yield f"{path}.{field}: needs nf, the network function that is meant"


def _spelled(path: str, table: Certificate) -> Iterator[str]:
    """Parts that a certificate spells out itself."""
    for usage in table.extended_key_usage or ():
        if usage not in USAGES and not _OID.fullmatch(usage):
            there = ", ".join(USAGES)
            yield f"{path}.extended_key_usage: {usage} is no oid; known: {there}"
    for name in table.san or ():
        if ip_text(name) is not None:
            continue
        if ":" in name and not _URI.fullmatch(name):
            yield f"{path}.san: {name} is not a uri of ascii characters"
        elif ":" not in name and not is_dns(name.removeprefix("*.")):
            yield f"{path}.san: {name} is not a lower-case dns name in a-labels"
    yield from _types(f"{path}.nf_types", table.nf_types or ())


def _asked(path: str, table: Certificate) -> Iterator[str]:
    """Endpoints of a certificate without names must be told what to ask for."""
    for index, endpoint in enumerate(table.endpoint):
        verify = endpoint.verify
        if verify and not verify.server_name and not table.names:
            where = f"{path}.endpoint[{index}].verify.server_name"
            yield f"{where}: name one, the certificate has no dns name"


def _wish(path: str, table: Certificate, ca: str, wish: Wish) -> Iterator[str]:
    if not wish.identifiers:
        yield (
            f"{path}.names: name at least one, nothing else of its nf can be ordered "
            f"from {ca}"
        )
    if table.san is not None:
        there = {canonical(i) for i in wish.allowed}
        for missing in (i for i in wish.identifiers if i not in there):
            if missing.type == TN_AUTH_LIST or is_device(missing):
                continue
            yield f"{path}.san: lacks {missing.name}, which is ordered from {ca}"


def _one_purpose_one_key(config: Config) -> Iterator[str]:
    """A key has one purpose, and one NF (TR 33.876 key issue 7)."""
    users: dict[tuple[str | None, str], tuple[str, object]] = {}
    for name, table in config.certificate.items():
        if table.key.adopt is None or table.nf is None:
            continue
        use = (table.nf, purpose_of(table))
        first = users.setdefault((table.key.token, table.key.adopt), (name, use))
        if first[1] != use:
            yield (
                f"certificate.{name}.key.adopt: is the key of "
                f"certificate.{first[0]}, which has another nf or purpose"
            )
