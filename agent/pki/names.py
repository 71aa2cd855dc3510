"""Identifiers as names of X.509 (RFC 5280 section 4.2.1.6)."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from cryptography import x509

from agent.acme import device, tnauthlist
from agent.acme.identifiers import (
    DNS,
    HARDWARE_MODULE,
    IP,
    NF_INSTANCE_ID,
    PERMANENT_IDENTIFIER,
    URN,
    Identifier,
    canonical,
)


class Beside(NamedTuple):
    """What a leaf says beside the identifiers that were ordered.

    Attributes:
        allowed: What it may name.
        must_staple: Whether it was asked to demand stapling (RFC 7633).
        optional: What was ordered, and need not be named.
    """

    allowed: Sequence[Identifier] = ()
    must_staple: bool = False
    optional: Sequence[Identifier] = ()


NOTHING: Final = Beside()


def general_names(identifiers: Sequence[Identifier]) -> list[x509.GeneralName]:
    """Return the alternative names that a request for identifiers has, in their order.

    A TNAuthList is none: it has an extension of its own.

    Raises:
        LookupError: An identifier of a type that has no such name; none is configured.
    """
    return [_NAMES[i.type](i) for i in identifiers]


def stands_for(leaf: x509.Certificate) -> tuple[Identifier, ...]:
    """Return the identifiers that a certificate is for: names, telephone numbers.

    A TNAuthList is one identifier, octet for octet (RFC 9448 section 3).
    """
    found: tuple[Identifier, ...] = ()
    for extension in leaf.extensions:
        match extension.value:
            case x509.SubjectAlternativeName() as names:
                found += provable(names)
            case x509.UnrecognizedExtension() as other:
                if other.oid.dotted_string == tnauthlist.OID:
                    found += (tnauthlist.identifier_of(other.value),)
            case _:
                pass
    return found


def provable(names: Iterable[x509.GeneralName]) -> tuple[Identifier, ...]:
    """Return the identifiers that names of a certificate stand for.

    Names of other kinds, which a CA adds by its own policy, are left out.
    """
    found = [_identifier(name) for name in names]
    return tuple(canonical(i) for i in found if i is not None)


def _identifier(name: x509.GeneralName) -> Identifier | None:
    match name:
        case x509.DNSName():
            return Identifier(type=DNS, value=name.value)
        case x509.IPAddress():
            return Identifier(type=IP, value=str(name.value))
        case x509.UniformResourceIdentifier() if name.value.lower().startswith(URN):
            return Identifier(type=NF_INSTANCE_ID, value=name.value[len(URN) :])
        case x509.OtherName():
            return device.identifier_of(name.type_id.dotted_string, name.value)
        case _:
            return None


def _dns(identifier: Identifier) -> x509.GeneralName:
    return x509.DNSName(identifier.value)


def _nf_instance(identifier: Identifier) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(identifier.name)


def _ip(identifier: Identifier) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(identifier.value))


def _device(identifier: Identifier) -> x509.GeneralName:
    oid = x509.ObjectIdentifier(device.OIDS[identifier.type])
    return x509.OtherName(oid, device.other_name(identifier))


_NAMES: Final[Mapping[str, Callable[[Identifier], x509.GeneralName]]] = {
    DNS: _dns,
    IP: _ip,
    NF_INSTANCE_ID: _nf_instance,
    PERMANENT_IDENTIFIER: _device,
    HARDWARE_MODULE: _device,
}
"""How each type of identifier stands in a certificate; one line adds one."""
