"""What the names of a certificate must satisfy: what they are, who can prove them."""

import ipaddress
from collections.abc import Iterator

from agent.acme.identifiers import IP, WILDCARD, identifier, identifiers
from agent.config.challenges import PROVES
from agent.config.model import Certificate
from agent.config.rules import MAX_NAME, is_dns


def name_problems(path: str, certificate: Certificate) -> Iterator[str]:
    """Yield a clause for every rule that the names of a certificate break."""
    names = certificate.names
    if len(set(identifiers(names))) != len(names):
        yield f"{path}: a name stands twice"
    for name in names:
        if identifier(name).type == IP:
            yield from _address(path, name, certificate)
        else:
            yield from _dns(path, name, certificate)


def _address(path: str, name: str, certificate: Certificate) -> Iterator[str]:
    address = ipaddress.ip_address(name)
    challenge = certificate.challenge
    if not PROVES[challenge].addresses:
        yield f"{path}: {name} is an address, which {challenge} cannot prove"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        yield f"{path}: {name} is no address of its own, write {address.ipv4_mapped}"
    elif address.is_unspecified or address.is_multicast:
        yield f"{path}: {name} is not the address of one host"


def _dns(path: str, name: str, certificate: Certificate) -> Iterator[str]:
    challenge = certificate.challenge
    proves = PROVES[challenge]
    base = name.removeprefix(WILDCARD)
    if identifier(name).is_wildcard and not proves.wildcards:
        yield f"{path}: {name} is a wildcard, which {challenge} cannot prove"
    elif not base.isascii():
        yield f"{path}: {name} is not in a-labels{_a_labels(name)}"
    elif not is_dns(base):
        yield f"{path}: {base} is not a lower-case dns name in a-labels"
    elif proves.before and len(base) > MAX_NAME - len(proves.before):
        yield f"{path}: {name} is too long for a record of {challenge}"


def _a_labels(name: str) -> str:
    """Word what to write instead; a configuration shows what the CA will see.

    A name that is written in one script may read like another one, so it is not
    converted silently (RFC 8555 section 7.1.4, RFC 5890 section 4.4).
    """
    import idna  # noqa: PLC0415 -- its tables are needed for nothing else

    base = name.removeprefix(WILDCARD)
    try:
        text = idna.encode(base, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ", and has characters that no a-label can stand for"
    return f", write {name[: len(name) - len(base)]}{text}"
