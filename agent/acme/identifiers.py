"""Identifiers: what an order is for (RFC 8555 section 9.7.7, RFC 8738).

They come from the configuration as names, and from a CA as JSON. Whether two are the
same is decided here, by the rule of their type, and nowhere else.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

DNS: Final = "dns"
IP: Final = "ip"
NF_INSTANCE_ID: Final = "NfInstanceId"
"""A network function by its UUID (TS 33.310 annex J)."""
TN_AUTH_LIST: Final = "TNAuthList"
"""A list of telephone numbers and service provider codes (RFC 9448)."""
PERMANENT_IDENTIFIER: Final = "permanent-identifier"
HARDWARE_MODULE: Final = "hardware-module"
"""Devices (draft-ietf-acme-device-attest sections 3 and 4)."""
URN: Final = "urn:uuid:"
"""How a name begins that is the UUID of a network function (TS 29.571 5.3.2)."""
_UNNAMED: Final = (TN_AUTH_LIST, PERMANENT_IDENTIFIER, HARDWARE_MODULE)
"""Types that have no name; one begins with the type and a colon, as no dns name does.
"""
WILDCARD: Final = "*."
"""How a name begins that stands for all names one label below (RFC 8555 7.1.3)."""


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate names.

    Attributes:
        type: A type of IANA's registry of ACME identifier types.
        value: Text whose meaning is the type's; a dns name in A-labels.
    """

    type: Annotated[str, msgspec.Meta(max_length=64)]
    value: Annotated[str, msgspec.Meta(max_length=4096)]

    @property
    def is_wildcard(self) -> bool:
        """Tell whether it stands for all names below one."""
        return self.type == DNS and self.value.startswith(WILDCARD)

    @property
    def name(self) -> str:
        """Return the name that stands for it; `identifier` gives it back."""
        return f"{_PREFIXES.get(self.type, '')}{self.value}"


def identifier(name: str) -> Identifier:
    """Return what a name stands for: an NF, an address, or else a dns name.

    Types without names are told by their prefix; the configuration never writes it.

    >>> identifier("2001:DB8:0::1")
    Identifier(type='ip', value='2001:db8::1')
    """
    if name.lower().startswith(URN):
        value = name[len(URN) :]
        return canonical(Identifier(type=NF_INSTANCE_ID, value=value))
    for kind in _UNNAMED:
        if name.startswith(f"{kind}:"):
            return Identifier(type=kind, value=name[len(kind) + 1 :])
    address = ip_text(name)
    if address is None:
        return canonical(Identifier(type=DNS, value=name))
    return Identifier(type=IP, value=address)


def identifiers(names: Iterable[str]) -> tuple[Identifier, ...]:
    """Return what configured names stand for, in their order."""
    return tuple(identifier(name) for name in names)


def canonical(given: Identifier) -> Identifier:
    """Return the one form of all identifiers that are the same as this one.

    Names of DNS and UUIDs have no case (RFC 4343, RFC 9562), addresses are compared as
    addresses (RFC 8738 section 3); what the other types mean is in their octets.
    """
    rule = _RULES.get(given.type)
    return given if rule is None else replace(given, value=rule(given.value))


def same(left: Iterable[Identifier], right: Iterable[Identifier]) -> bool:
    """Tell whether two orders are for the same; neither order nor number matters."""
    return set(map(canonical, left)) == set(map(canonical, right))


def ip_text(text: str) -> str | None:
    """Return an address as RFC 8738 section 3 has it; None where it is none.

    IPv4 in dotted decimal, IPv6 in the form of RFC 5952, without zone and brackets.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(address)


def _address(value: str) -> str:
    return ip_text(value) or value


_PREFIXES: Final[Mapping[str, str]] = {NF_INSTANCE_ID: URN} | {
    kind: f"{kind}:" for kind in _UNNAMED
}
"""How the names of a type begin, where they begin with something."""
_RULES: Final[Mapping[str, Callable[[str], str]]] = {
    DNS: str.lower,
    IP: _address,
    NF_INSTANCE_ID: str.lower,
}
"""Types whose values have several forms; all others are compared octet for octet."""
