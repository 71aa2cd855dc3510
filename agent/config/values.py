"""What a text of the configuration may look like: addresses, names, durations."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from agent.config.units import duration

MAX_NAME: Final = 253
"""Characters of a DNS name without its final dot."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def positive(path: str, text: str) -> Iterator[str]:
    """Yield a problem for a duration of nothing."""
    if not duration(text):
        yield f"{path}: must be longer than nothing"


def is_dns_name(text: str) -> bool:
    """Tell whether a text is a lower-case DNS name in A-labels, no wildcard."""
    return len(text) <= MAX_NAME and all(
        _LABEL.fullmatch(label) for label in text.split(".")
    )


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address with a port; IPv6 may have brackets."""
    host, _, port = text.rpartition(":")
    return is_ip(host.strip("[]")) and _is_port(port)


def is_target(text: str) -> bool:
    """Tell whether a text is a host, by name or address, with a port."""
    host, _, port = text.rpartition(":")
    return bool(host) and not re.search(r"\s", host) and _is_port(port)


def is_ip(text: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16
