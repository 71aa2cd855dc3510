"""Name constraints of an issuer (RFC 5280 section 4.2.1.10): names and addresses."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography import x509

from agent.acme.identifiers import DNS, IP, Identifier


def permits(
    constraints: x509.NameConstraints, identifiers: Sequence[Identifier]
) -> bool:
    """Tell whether an issuer with these constraints may issue for these identifiers.

    A constraint applies to names of its own kind only.
    """
    return all(
        _allows(constraints, identifier, _KINDS[identifier.type])
        for identifier in identifiers
        if identifier.type in _KINDS
    )


_Within = Callable[[str, x509.GeneralName], bool | None]
"""Tells whether a value is within a subtree; None for a subtree of another kind."""


def _allows(
    constraints: x509.NameConstraints, identifier: Identifier, within: _Within
) -> bool:
    permitted = [
        found
        for tree in constraints.permitted_subtrees or ()
        if (found := within(identifier.value, tree)) is not None
    ]
    excluded = constraints.excluded_subtrees or ()
    return (not permitted or any(permitted)) and not any(
        within(identifier.value, tree) for tree in excluded
    )


def _dns(value: str, tree: x509.GeneralName) -> bool | None:
    """Tell whether adding labels on the left of `tree` can give the name."""
    if not isinstance(tree, x509.DNSName):
        return None
    labels = value.lower().removeprefix("*.")
    base = tree.value.lower().removeprefix(".")
    return not base or labels == base or labels.endswith(f".{base}")


def _ip(value: str, tree: x509.GeneralName) -> bool | None:
    """Tell whether an address is in a network; both families are one kind of name."""
    if not isinstance(tree, x509.IPAddress):
        return None
    network = tree.value
    if not isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return None
    return ipaddress.ip_address(value) in network


_KINDS: Final[Mapping[str, _Within]] = {DNS: _dns, IP: _ip}
