"""Rules about single values, for every table; a clause says what is refused."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from agent.config.units import LONGEST, duration

_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


MAX_NAME: Final = 253
"""Characters of a dns name in text form (RFC 1035 section 2.3.4)."""


def known(path: str, name: str, table: object) -> Iterator[str]:
    """Yield a clause where a name has no table."""
    if isinstance(table, dict) and name not in table:
        there = ", ".join(table) or "none is configured"
        yield f"{path}: there is no {name}; known: {there}"


def positive(path: str, text: str) -> Iterator[str]:
    """Yield a clause for a duration that is no time at all, or too long."""
    if not duration(text):
        yield f"{path}: must be longer than nothing"
    yield from bounded(path, text)


def bounded(path: str, text: str) -> Iterator[str]:
    """Yield a clause for a duration of a century or more."""
    if duration(text) >= LONGEST:
        yield f"{path}: must be shorter than a century"


def program(path: str, command: Sequence[str]) -> Iterator[str]:
    """Yield a clause where a program and its arguments cannot be run as they are."""
    if not command[0].startswith("/"):
        yield f"{path}: begin with an absolute path"
    elif "\0" in "".join(command):
        yield f"{path}: holds a NUL"


def is_dns(name: str) -> bool:
    """Tell whether a text is a lower-case dns name in a-labels, without wildcard."""
    labels = name.split(".")
    return len(name) <= MAX_NAME and all(_LABEL.fullmatch(label) for label in labels)


def is_address(text: str) -> bool:
    """Tell whether a text is an ip address with a port, `[...]:port` for IPv6."""
    host, _, port = text.rpartition(":")
    bracketed = re.fullmatch(r"\[(.*:.*)\]", host)
    literal = bracketed.group(1) if bracketed else host
    return is_ip(literal) and (":" in host) == bool(bracketed) and is_port(port)


def is_target(text: str) -> bool:
    """Tell whether a text is a host or an ip address, with a port."""
    host, _, port = text.rpartition(":")
    plain = not re.search(r"[\s\[\]:]", host) and host
    return bool(is_address(text) or plain) and is_port(port)


def is_port(text: str) -> bool:
    """Tell whether a text is the number of a port."""
    return text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16


def networks(path: str, given: Sequence[str]) -> Iterator[str]:
    """Yield a clause for each text that is no network such as 127.0.0.0/8."""
    for text in given:
        if not _parses(ipaddress.ip_network, text):
            yield f"{path}: {text} is not a network such as 127.0.0.0/8"


def is_ip(text: str) -> bool:
    """Tell whether a text is an ip address of either family."""
    return _parses(ipaddress.ip_address, text)


def _parses(parser: Callable[[str], object], text: str) -> bool:
    try:
        parser(text)
    except ValueError:
        return False
    return True
