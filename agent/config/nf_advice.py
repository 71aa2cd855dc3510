"""What is allowed for a network function, and rarely meant."""

from collections.abc import Iterator

from agent.acme.identifiers import NF_INSTANCE_ID
from agent.config.challenges import PROVES
from agent.config.lookup import cas_of
from agent.config.model import Certificate, Config
from agent.config.nf import Nf
from agent.config.wish import purpose_of, wish_of
from agent.sba import domains, nf
from agent.sba.purposes import USES

_FORMS = {
    "nrf": "NRF",
    "nssf": "NSSF",
    "sepp": "SEPP",
    "amf": "AMF",
    "amf-set": "AMF",
    "amf-instance": "AMF",
}
"""Forms of names that only one type has (TS 23.003 clause 28.3.2)."""


def nf_advice(config: Config) -> Iterator[str]:
    """Yield one clause for everything that an operator would want to look at."""
    for name, of in config.nf.items():
        yield from _nf(f"nf.{name}", of)
    for name, table in config.certificate.items():
        if table.nf is not None:
            path = f"certificate.{name}"
            yield from _certificate(config, path, table, config.nf[table.nf])


def _nf(path: str, of: Nf) -> Iterator[str]:
    for one in of.types:
        if one not in nf.KNOWN:
            yield f"{path}.types: {one} is no type of TS 29.510"
    if of.country is None:
        yield f"{path}.country: without it the subject lacks C, which TS 33.310 demands"
    for name in of.names:
        read = domains.read(name)
        if read is None:
            continue
        if read.home != of.home:
            yield f"{path}.fqdn: {name} is below the home domain of another network"
        if read.form in _FORMS and _FORMS[read.form] not in of.types:
            yield f"{path}.fqdn: {name} has the form of {_FORMS[read.form]}"


def _certificate(
    config: Config, path: str, table: Certificate, of: Nf
) -> Iterator[str]:
    purpose = purpose_of(table)
    wanted = USES[purpose].nf_type
    if wanted and wanted not in of.types:
        yield f"{path}.purpose: {purpose} is for types that include {wanted}"
    if table.key.type == "ed25519":
        yield f"{path}.key.type: ed25519 is no algorithm of TS 33.310 clause 6.1.1"
    if PROVES[table.challenge].network_functions:
        return
    wishes = (wish_of(table, of, config.ca[ca]) for ca in cas_of(table))
    if any(i.type == NF_INSTANCE_ID for wish in wishes for i in wish.identifiers):
        yield (
            f"{path}.challenge: {table.challenge} does not prove an NfInstanceId, the "
            "ca must have it authorized beforehand"
        )
