"""Name constraints of an issuer (RFC 5280 section 4.2.1.10), for DNS names."""

from collections.abc import Sequence

from cryptography import x509


def permits(constraints: x509.NameConstraints, names: Sequence[str]) -> bool:
    """Tell whether an issuer with these constraints may issue for these DNS names."""
    permitted = _dns(constraints.permitted_subtrees)
    excluded = _dns(constraints.excluded_subtrees)
    return all(
        (not permitted or any(_within(name, tree) for tree in permitted))
        and not any(_within(name, tree) for tree in excluded)
        for name in names
    )


def _dns(subtrees: Sequence[x509.GeneralName] | None) -> list[str]:
    return [tree.value for tree in subtrees or () if isinstance(tree, x509.DNSName)]


def _within(name: str, tree: str) -> bool:
    """Tell whether adding labels on the left of `tree` can give `name`."""
    labels = name.lower().removeprefix("*.")
    base = tree.lower().removeprefix(".")
    return not base or labels == base or labels.endswith(f".{base}")
