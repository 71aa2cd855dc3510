"""The tables of network functions, and of what a request says for them."""

from typing import Annotated, Literal

import msgspec

from agent.config.section import Section
from agent.sba import domains

Digits3 = Annotated[str, msgspec.Meta(pattern="^[0-9]{3}$")]
Digits23 = Annotated[str, msgspec.Meta(pattern="^[0-9]{2,3}$")]
Country = Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")]
Attribute = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
"""Text of a subject; X.520 bounds organisation and common name."""

IdentifierType = Literal["NfInstanceId", "dns"]
Level = Literal["error", "warn", "off"]


class Plmn(Section, frozen=True, kw_only=True):
    """`plmn = { mcc, mnc }`: a public network, digits as text."""

    mcc: Digits3
    mnc: Digits23


class Snpn(Section, frozen=True, kw_only=True):
    """`snpn = { mcc, mnc, nid }`: a stand-alone non-public network."""

    mcc: Digits3
    mnc: Digits23
    nid: Annotated[str, msgspec.Meta(pattern="^[0-9A-Fa-f]{11}$")]


class Nf(Section, frozen=True, kw_only=True):
    """`[nf.NAME]`: a network function on this host.

    Attributes:
        instance_id: Its NF instance id, a UUID of version 4; the same as in its profile
            at the NRF.
        types: Its NF types (TS 29.510), such as `["AMF"]`.
        fqdn: Its names; default for an NRF, NSSF or SEPP: that of TS 23.003.
        plmn: Its network; default where a name of it says it.
        snpn: Its network, where that is a stand-alone non-public one.
        country: C of its certificates' subjects.
    """

    instance_id: str
    types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    fqdn: str | tuple[str, ...] = ()
    plmn: Plmn | None = None
    snpn: Snpn | None = None
    country: Country | None = None

    @property
    def home(self) -> domains.Home | None:
        """Return its home network domain; None where nothing says it."""
        if self.snpn is not None:
            return domains.home(self.snpn.mcc, self.snpn.mnc, self.snpn.nid)
        if self.plmn is not None:
            return domains.home(self.plmn.mcc, self.plmn.mnc)
        given = (self.fqdn,) if isinstance(self.fqdn, str) else self.fqdn
        read = (domains.read(name) for name in given)
        return next((named.home for named in read if named is not None), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Return its names."""
        if isinstance(self.fqdn, str):
            return (self.fqdn,)
        home = self.home
        if self.fqdn or home is None:
            return self.fqdn
        usual = {"NRF": domains.nrf, "NSSF": domains.nssf, "SEPP": domains.sepp}
        return tuple(usual[t](home) for t in self.types if t in usual)


class Subject(Section, frozen=True, kw_only=True):
    """`subject = { ... }`: a subject of one's own instead of the NF's."""

    country: Country | None = None
    organization: Attribute | None = None
    common_name: Attribute | None = None


class Csr(Section, frozen=True, kw_only=True):
    """`csr = { ... }`: what a CA takes in the requests for certificates of NFs.

    Attributes:
        san_policy: Which names the request repeats: the ordered identifiers, the DNS
            names as well, all names of the profile, or none because the CA's own
            profile decides.
        san_critical: Mark them critical; always so where the subject is empty.
        subject: Ask for the subject.
        extensions: Which further extensions are asked for.
    """

    san_policy: Literal[
        "identifiers-only", "identifiers-plus-dns", "whole-profile", "profile-decides"
    ] = "identifiers-plus-dns"
    san_critical: bool = True
    subject: bool = True
    extensions: tuple[Literal["key-usage", "extended-key-usage", "nf-types"], ...] = (
        "key-usage",
        "extended-key-usage",
        "nf-types",
    )
